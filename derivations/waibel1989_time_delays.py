r"""Waibel, Hanazawa, Hinton, Shikano & Lang 1989, time-delay nets (TDNN): a flow that ends.

Problem. Layers a = 1, 2, ... without recurrence; each reads the layer below at the last D_a + 1 steps:

    net^a_i(t) = sum_{d=0}^{D_a} sum_j w^{a,d}_ij y^{a-1}_j(t-d),      y^a_i(t) = f_i(net^a_i(t)),      y^0 = x, the input.

How far back does an error at layer a at step t reach the input?

Delays are counted from the longest, e = 1..D_a + 1 with d = D_a + 1 - e, so that every sum starts at 1.

Results, for every number of layers, delays D and units. Through one layer the flow over lag q <= D_1 is one weight,
w^{1,q}_ij times the slope: it does not decay with q at all. Through a layers it is exactly zero beyond lag D_1 + ...
+ D_a, whatever the weights: the net sees that many steps and one of its input, and no training makes that more. So
there is no long time lag problem, and no long time lag either.
"""

import numpy as np
import sympy
from sympy import Eq, Integer, KroneckerDelta, Sum

from flowcheck.claims import (
    HYPOTHESIS,
    Check,
    Claim,
    Differentiate,
    Given,
    Induction,
    Proof,
    Step,
    indices,
    lag,
    pick_terms,
    quantity,
    total,
)
from flowcheck.notation import ROUTINES

i, j, k, e, b, n, a = indices("i j k e b n a")
t, t0, d = sympy.symbols("t t_0 d", integer=True)
r = lag("r")
w = quantity("w", "w^{{{0},{3}}}_{{{1} {2}}}")
net, y = quantity("net", r"\mathrm{{net}}^{{{0}}}_{{{1}}}({2})"), quantity("y", "y^{{{0}}}_{{{1}}}({2})")
slope = quantity("slope", r"f'_{{{1}}}(\mathrm{{net}}^{{{0}}}_{{{1}}}({2}))")
D = quantity("D", "D_{{{0}}}", integer=True, nonnegative=True)
span = quantity("span", r"\mathrm{{span}}_{{{0}}}", integer=True, nonnegative=True)
anything = sympy.Symbol("z")

eq_net = Given("net^a_i(t) = sum over delays and units of the layer below", net(a, i, t),
               Sum(w(a, i, k, D(a) + 1 - e) * y(a - 1, k, t - (D(a) + 1 - e)), (k, 1, n), (e, 1, D(a) + 1)), forall=(a, i, t))
of_y = Given("y^a_i(t) = f_i(net^a_i(t)), by the chain rule", total(y(a, i, t), anything), slope(a, i, t) * total(net(a, i, t), anything),
             forall=(a, i, t, anything))
x = y(0, j, t0)
given = Given("weights do not depend on the input", total(w(a, i, k, d), x), Integer(0), forall=(a, i, k, d))
through_net = Differentiate(eq_net, (w, y))

# One layer, at lag q = D + 1 - b: the weight of that delay.

steps_apart = Given("inputs are varied one by one, also over time", total(y(0, k, t), x), KroneckerDelta(k, j) * KroneckerDelta(t, t0),
                    forall=(k, t))
longest = D(1) + 1
one_layer = Step("one layer", total(y(1, i, t), x), slope(1, i, t) * Sum(KroneckerDelta(t - (longest - e), t0) * w(1, i, j, longest - e),
                 (e, 1, longest)), (of_y, through_net, given, steps_apart, pick_terms), forall=(i, t))
at_lag = Given("t = t_0 + D + 1 - b: only the delay d = D + 1 - b reads step t_0", KroneckerDelta(t0 - b + e, t0), KroneckerDelta(e, b),
               forall=(e,))
one_weight = Step("one weight", total(y(1, i, t0 + longest - b), x), slope(1, i, t0 + longest - b) * w(1, i, j, longest - b),
                  (one_layer, at_lag, pick_terms), forall=(i,))

# Any number of layers: zero beyond the sum of the delays, that is for t - t_0 = span_a + 1 + r, r >= 0.

sum_of_delays = Given("span_a = D_1 + ... + D_a", span(a), span(a - 1) + D(a), forall=(a,))
beyond = total(y(a, i, t0 + span(a) + 1 + r), x)
too_old = Given("an input does not depend on inputs of other steps", total(y(0, k, t0 + span(0) + 1 + r), x), Integer(0), forall=(k, r))
no_flow = Induction(
    "zero beyond the window", beyond, Integer(0), a, start=0, forall=(i, r, a),
    base=Step("the input itself", beyond, Integer(0), (too_old,)),
    step=Step("one layer more", beyond, Integer(0), (of_y, through_net, given, sum_of_delays, HYPOTHESIS)))


def window(values, q):
    """One layer: f'_i(net_i(t)) w^q_ij at lag q <= D, zero beyond."""
    name = "W_x" if q == 0 else f"W_x_{q}"
    return ROUTINES["sigma_prime"](values["net"][-1])[:, None] * values.get(name, np.zeros_like(values["W_x"]))


def claim(id, title, fact, **more):
    """A claim about time-delay networks."""
    derived = Eq(fact.lhs, fact.rhs, evaluate=False)
    return Claim(f"TDNN {id}", "", "Waibel 1989", title, "exact", None, derived, Proof(fact), **more)


CLAIMS = [
    claim("one layer", "one layer: the weight of that delay", one_weight,
          checks=[Check("tdnn", "y", "x", False, window, range(0, 13))]),
    claim("window", "a layers: exactly zero beyond the sum of their delays", no_flow),
]
