r"""Williams & Peng 1990, truncated BPTT: which terms of the gradient a pass over k2 steps keeps.

Problem. After every k1 steps, at step T, errors are sent back over the last k2 >= k1 steps (the publication's BPTT(h; h')
has h = k2, h' = k1). Those of the last k1 steps enter on the way; older ones had their turn in the pass before. Steps are
counted back from T: p = 1 is T, m = 1 is T. The pass is

    e_i(m) = sum_l e_l(m-1) a_li(m-1) + sum_{p=1}^{k1} delta_pm d_i(p),     e_i(0) = 0,

where d_i(p) is the error injected at y_i, p-1 steps before T, and a_li(m) = partial y_l / partial y_i one step apart.
The gradient of the pass is sum_{m=1}^{k2} sum_i e_i(m) b_i(m), b_i(m) the direct derivative of y_i by the weight there.

The flow F_ki(p, m), of an error from y_k at p to y_i at m, is the same pass with a unit error of y_k at p.

Results, for every net, k1 <= k2 and m. A pass keeps exactly the terms (p, m) with p <= k1, m <= k2: an error that enters
at p travels at least k2 - k1 and at most k2 - 1 steps, k2 - p in all; the terms left out have m > k2. A pass has
k1 k2 - k1 (k1 - 1) / 2 pairs with m >= p. So k1 = 1 gives each error the same k2 - 1 lags at the cost of one pass a step;
k1 = k2 gives separate windows, in which the first error of a window is not sent back at all; k1 = k2 >= T is BPTT.
Nothing is approximated in what is kept: beyond lag k2 - 1 the flow is exactly zero, below it is the full one.
"""

import sympy
from sympy import Eq, Integer, KroneckerDelta, Le, Sum

from flowcheck.claims import (
    HYPOTHESIS,
    Claim,
    Given,
    Induction,
    Proof,
    Step,
    chain,
    equal,
    indices,
    lag,
    last_term,
    pick_terms,
    quantity,
    split_at,
)

i, k, a, n, p, k1, k2 = indices("i k a n p k_1 k_2")
m, r, R = lag("m r R")
e, d, b = (quantity(name, name + "_{{{0}}}({1})") for name in "edb")
jac = quantity("a", "a_{{{0} {1}}}({2})")
part = quantity("G", "G_{{{0}}}({1},{2})")
flow = quantity("F", "F_{{{0} {1}}}({2},{3})")

# One pass: e_i(m) is the sum of what each of the k1 errors makes of y_i, G_i(p, m).

nothing_yet = (Given("before the pass", e(i, 0), Integer(0), forall=(i,)),
               Given("before the pass", part(i, p, 0), Integer(0), forall=(i, p)),
               Given("before the pass", flow(k, i, p, 0), Integer(0), forall=(k, i, p)))
backwards = Given("the pass: e_i(m) = sum_l e_l(m-1) a_li(m-1) + what enters at m", e(i, m), Sum(e(a, m - 1) * jac(a, i, m - 1), (a, 1, n))
                  + Sum(KroneckerDelta(p, m) * d(i, p), (p, 1, k1)), forall=(i, m), where=(m > 0,))
one_error = Given("G: the pass with the errors of step p alone", part(i, p, m), Sum(part(a, p, m - 1) * jac(a, i, m - 1), (a, 1, n))
                  + KroneckerDelta(p, m) * d(i, p), forall=(i, p, m), where=(m > 0,))
unit_error = Given("F: the pass with a unit error of y_k at p alone", flow(k, i, p, m),
                   Sum(flow(k, a, p, m - 1) * jac(a, i, m - 1), (a, 1, n)) + KroneckerDelta(p, m) * KroneckerDelta(k, i),
                   forall=(k, i, p, m), where=(m > 0,))
parts = Sum(part(i, p, m), (p, 1, k1))
each_error = Induction(
    "errors of different steps add", e(i, m), parts, m, start=0, forall=(i, m),
    base=Step("before the pass", e(i, m), parts, nothing_yet, right=nothing_yet),
    step=Step("one step further back", e(i, m), parts, (backwards, HYPOTHESIS), right=(one_error,)))
along = Sum(d(k, p) * flow(k, i, p, m), (k, 1, n))
along_flow = Induction(
    "an error along its flow", part(i, p, m), along, m, start=0, forall=(i, p, m),
    base=Step("before the pass", part(i, p, m), along, nothing_yet, right=nothing_yet),
    step=Step("one step further back", part(i, p, m), along, (one_error, HYPOTHESIS), right=(unit_error, pick_terms)))
sent = Sum(along, (p, 1, k1))
kept_error = Step("every error of the last k1 steps, along its full flow", e(i, m), sent, (each_error, along_flow), forall=(i, m))

# Its gradient.

term = d(k, p) * flow(k, i, p, m) * b(i, m)
one_pass = Sum(Sum(e(i, m) * b(i, m), (i, 1, n)), (m, 1, k2))
kept_terms = Sum(Sum(Sum(Sum(term, (i, 1, n)), (k, 1, n)), (p, 1, k1)), (m, 1, k2))
terms = Step("the terms of a pass", one_pass, kept_terms, (kept_error,))
of_all = quantity("c", "c({0})")  # what all errors of the pass add at m
everything = Sum(of_all(m), (m, 1, k2 + R))
two_parts = Sum(of_all(m), (m, 1, k2)) + Sum(of_all(k2 + r), (r, 1, R))
left_out = Step("what the pass leaves out", everything, two_parts, (split_at(k2, k2 + R),), right=(split_at(k2, k2),))

# Lags: the error of p is sent from m = p to m = k2.

reach = quantity("reach", r"\mathrm{{reach}}({0})", integer=True)
lags = Given("the lag is m - p, at most k2 - p", reach(p), k2 - p, forall=(p,))
oldest = Given("p <= k1: the pass is for the errors of the last k1 steps", p, k1, relation="<=")
newest = Given("p >= 1: p = 1 + p'", p, 1 + sympy.Symbol("p'", integer=True, nonnegative=True))
at_least = Step("at least k2 - k1 steps", k2 - k1, reach(p), (), "<=", right=(lags, oldest))
at_most = Step("at most k2 - 1 steps", reach(p), k2 - 1, (lags, newest), "<=")
pairs = Sum(k2 - p + 1, (p, 1, k1))
count = k1 * k2 - k1 * (k1 - 1) / 2
number = Induction(
    "pairs of steps", pairs, count, k1, forall=(k1,),
    base=Step("k1 = 1: k2 pairs", pairs, count, (last_term, last_term)),
    step=Step("one error more", pairs, count, (last_term, HYPOTHESIS)))
windows = chain("separate windows", pairs.subs(k1, k2), equal("k1 = k2", count.subs(k1, k2), number),
                equal("half of the square", k2 * (k2 + 1) / 2))


def claim(id, title, fact, status="exact", **more):
    """A claim about one pass."""
    derived = (Le if fact.relation == "<=" else Eq)(fact.lhs, fact.rhs, evaluate=False)
    return Claim(f"TBPTT {id}", "", "Williams 1990", title, status, None, derived, Proof(fact), **more)


CLAIMS = [
    claim("errors", "each error of the last k1 steps along its full flow", kept_error,
          note="Holds for every m. Errors of earlier steps do not enter: they were sent back by the pass k1 steps before."),
    claim("terms", "the terms that a pass keeps: p <= k1, m <= k2", terms, "truncated"),
    claim("left out", "the terms that it leaves out: m > k2", left_out),
    claim("shortest reach", "each error is sent back k2 - k1 steps or more", at_least, "inequality"),
    claim("longest reach", "no error is sent back more than k2 - 1 steps", at_most, "inequality",
          note="Between the two the reach depends on where in its window an error falls: k2 - p."),
    claim("pairs", "pairs of steps in one pass", number),
    claim("windows", "pairs of steps for k1 = k2", windows),
]
