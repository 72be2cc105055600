r"""Lin, Horne, Tino & Giles 1996, NARX nets: jumps of up to n_y steps delay the decay of error flow, and do not stop it.

Problem. Outputs are fed back through a line of n_y delays (n_y = N below),

    y_k(t) = Psi_k( y(t-1), ..., y(t-N), inputs ),      a_{lk}(d, t) = partial y_l(t) / partial y_k(t-d),   d = 1..N,

so error can jump. How many factors does it meet on its way back over q steps, and how small does it get?

Flow over q steps from y_u(t) to y_k(t-q) is the sum over all paths. Paths are sorted by their number of factors p:
phi^p_k(q) is the sum over those of p factors, by the last of which error jumps d steps from y_l at t-(q-d):

    phi^0_k(q) = delta_{q0} delta_{uk},      phi^p_k(q) = sum_{d=1}^N sum_l phi^{p-1}_l(q-d) a_{lk}(d, t-(q-d)).

Jumps are counted from the longest, d = N + 1 - e, e = 1..N.

Results, for every N, q, p and number of units n. phi^p is exactly zero unless p <= q <= p N: lag q is crossed in ceil(q/N) to q
factors, and ceil(q/N) is reached, by jumps of N. If the row sums of |a|, over all jumps and units, stay below rho, then
sum_k |phi^p_k(q)| <= rho^p, for whatever q: for rho < 1 all p >= ceil(q/N) together give rho^{ceil(q/N)} / (1 - rho). Against
the rho^q of N = 1 the rate per step is the N-th root: two or three times the lag for N of two or three, and still
exponential.
"""

import numpy as np
import sympy
from sympy import Abs, Eq, Integer, KroneckerDelta, Lambda, Le, Sum

from flowcheck.claims import (
    HYPOTHESIS,
    Check,
    Claim,
    Given,
    Induction,
    PathSum,
    Proof,
    Step,
    below,
    chain,
    equal,
    indices,
    lag,
    last_index,
    last_term,
    pick_terms,
    quantity,
    split_at,
    triangle,
)
from flowcheck.notation import ROUTINES

k, i, e, b, b_to, n, N, m = indices("k i e b b' n N m")
p, r, c, P = lag("p r c P")
q, d = sympy.symbols("q d", integer=True)
u = sympy.Symbol("u", integer=True, positive=True)
rho = sympy.Symbol("rho", positive=True)
phi = quantity("phi", r"\varphi^{{{0}}}_{{{1}}}({2})")
jump = quantity("a", "a_{{{0} {1}}}({2},{3:t})")

# Paths of p factors. No path has none but the one that stays.

stays = Given("no factor: nothing but lag 0", phi(0, k, q), KroneckerDelta(q, 0) * KroneckerDelta(u, k), forall=(k, q))


def last_jump(p, k, q, d):
    """sum over jumps d and units l of phi^{p-1}_l(q-d) a_lk(d, t-(q-d))."""
    return Sum(phi(p - 1, i, q - d) * jump(i, k, d, q - d), (i, 1, n), (e, 1, N))


paths = Given("paths of p factors by their last one", phi(p, k, q), last_jump(p, k, q, N + 1 - e), forall=(p, k, q), where=(p > 0,))
shortest_first = Given("the same, jumps counted from the shortest", phi(p, k, q), last_jump(p, k, q, e), forall=(p, k, q), where=(p > 0,))

# Too long and too short lags.


line = quantity("line", r"\mathrm{{reach}}_{{{0}}}", integer=True, nonnegative=True)  # p N
one_line_more = Given("p N = (p-1) N + N", line(p), line(p - 1) + N, forall=(p,), where=(p > 0,))
elsewhere = (Given("lag 0 alone: 0 N + 1 + r is not 0", phi(0, k, line(0) + 1 + r), Integer(0), forall=(k, r)),
             Given("lag 0 alone: -1 - r is not 0", phi(0, k, -1 - r), Integer(0), forall=(k, r)))
too_far = phi(p, k, line(p) + 1 + r)
unreachable = Induction(
    "p factors reach p N steps at most", too_far, Integer(0), p, start=0, forall=(k, r, p),
    base=Step("no factor", too_far, Integer(0), elsewhere),
    step=Step("one factor more", too_far, Integer(0), (one_line_more, paths, HYPOTHESIS)))
too_near = phi(p, k, p - 1 - r)
overshot = Induction(
    "p factors go back p steps at least", too_near, Integer(0), p, start=0, forall=(k, r, p),
    base=Step("no factor", too_near, Integer(0), elsewhere),
    step=Step("one factor more", too_near, Integer(0), (shortest_first, HYPOTHESIS)))

# Exactly p N steps: jumps of N alone, as after any shorter one the rest is too far for p - 1 factors.

of_lag_0 = (Given("0 N = 0", line(0), Integer(0)), stays)
longest = phi(p, k, line(p))
by_longest = Sum(phi(p - 1, i, line(p - 1)) * jump(i, k, N, line(p - 1)), (i, 1, n))
reached = Step("the last jump is N", longest, by_longest, (one_line_more, paths, split_at(Integer(1), N), unreachable),
               forall=(k, p), where=(p >= 1,))
jumps = PathSum(Lambda((b, b_to, m), jump(b, b_to, N, line(m - 1))), u, k, p, n)
crossing = Induction(
    "p jumps of N", longest, jumps, p, forall=(k, p),
    base=Step("one jump", longest, jumps, (reached, *of_lag_0, pick_terms), right=(last_index, *of_lag_0)),
    step=Step("one jump more", longest, jumps, (reached, HYPOTHESIS), right=(last_index,)))

# How small p factors make it.

size = quantity("alpha", r"\alpha_{{{0}}}", nonnegative=True)
row_sum = Given("alpha_d bounds the row sums of jumps of d", Sum(Abs(jump(i, k, d, q)), (k, 1, n)), size(d), forall=(i, d, q),
                relation="<=")
all_jumps = Given("rho bounds the sum of the alpha_d", Sum(size(N + 1 - e), (e, 1, N)), rho, relation="<=")
one_unit = Given("nothing but y_u at lag 0", Sum(Abs(phi(0, k, q)), (k, 1, n)), Integer(1), forall=(q,), relation="<=")


def mass(p, q):
    """sum_k |phi^p_k(q)|"""
    return Sum(Abs(phi(p, k, q)), (k, 1, n))


back = N + 1 - e
before, row = Abs(phi(p - 1, i, q - back)), Sum(Abs(jump(i, k, back, q - back)), (k, 1, n))
shrinking = Induction(
    "p factors", mass(p, q), rho ** p, p, start=0, relation="<=", forall=(q, p),
    base=Step("no factor", mass(p, q), rho ** p, (one_unit,), "<="),
    step=chain(
        "one factor more", mass(p, q),
        equal("the last jump", Sum(Abs(last_jump(p, k, q, back)), (k, 1, n)), paths),
        below("paths may cancel", Sum(Sum(before * row, (i, 1, n)), (e, 1, N)), triangle),
        below("the row sums", Sum(size(back) * mass(p - 1, q - back), (e, 1, N)), row_sum),
        below("p - 1 factors", rho ** (p - 1) * Sum(size(back), (e, 1, N)), HYPOTHESIS),
        below("all jumps", rho ** p, all_jumps)))

# All numbers of factors.

of_all = Step("the flow obeys the chain rule", Sum(phi(m, k, q), (m, 1, P)),
              Sum(Sum(Sum(phi(m - 1, i, q - back), (m, 1, P)) * jump(i, k, back, q - back), (i, 1, n)), (e, 1, N)), (paths,))
geometric = Sum((1 - rho) * rho ** (c + m - 1), (m, 1, P))
closed = Induction(
    "all numbers of factors from c on", geometric, rho ** c - rho ** (c + P), P, start=0, forall=(c, P),
    base=Step("none", geometric, rho ** c - rho ** (c + P), (last_term,)),
    step=Step("one number more", geometric, rho ** c - rho ** (c + P), (last_term, HYPOTHESIS)))


# Numbers: units of tanh, delays 1, 2, ... with weights W_y_1, W_y_2, ...


def delays(values):
    """[W of delay 1, W of delay 2, ...]"""
    return [values[f"W_y_{d}"] for d in range(1, 1 + sum(name.startswith("W_y_") for name in values))]


def flow_by_jumps(values, q):
    """F(q) = sum_d F(q-d) a(d, t-(q-d)), the flow from all units at t."""
    flows, slope = [np.eye(values["y"].shape[1])], ROUTINES["tanh_prime"]
    for r in range(1, q + 1):
        flows.append(sum(flows[r - d] * slope(values["net"][-1 - (r - d)]) @ W for d, W in enumerate(delays(values), 1) if d <= r))
    return flows[q]


def log10_bound(values, q):
    """log10 of the sum of rho^p, p = ceil(q/N) ... q: every number of factors that crosses lag q; slopes of tanh are at most 1."""
    rho = sum(np.abs(W).sum(axis=1).max() for W in delays(values))
    return np.log10(sum(rho ** p for p in range(-(-q // len(delays(values))), q + 1)))


def claim(id, title, fact, status="exact", **more):
    """A claim about NARX nets."""
    derived = (Le if fact.relation == "<=" else Eq)(fact.lhs, fact.rhs, evaluate=False)
    return Claim(f"NARX {id}", "", "Lin 1996", title, status, None, derived, Proof(fact), **more)


CLAIMS = [
    claim("reach", "p factors reach p n_y steps at most: exactly zero beyond", unreachable,
          note="So lag q takes at least ceil(q/n_y) factors."),
    claim("overshoot", "p factors go back p steps at least", overshot, note="So lag q takes at most q factors."),
    claim("crossing", "lag p n_y in p factors: the longest jumps alone", crossing),
    claim("factors", "what p factors leave of an error", shrinking, "inequality",
          checks=[Check("narx", "y", "y", False, log10_bound, range(1, 61), "<=")],
          note="At any lag, summed over all units; rho bounds the row sums over all jumps together."),
    claim("all paths", "the flow over all numbers of factors obeys the chain rule", of_all,
          checks=[Check("narx", "y", "y", False, flow_by_jumps, range(1, 62, 6))]),
    claim("geometric", "all numbers of factors from c = ceil(q/n_y) on", closed,
          note="With 'NARX reach' and 'NARX factors': |flow| <= rho^{ceil(q/n_y)} / (1 - rho) for rho < 1."),
]
