r"""Mozer 1992, "Induction of multiscale temporal structure": units with a time constant, and how fast they forget.

Problem. A unit keeps a share tau_i of its activation at every step, fixed by hand, 0 < tau_i <= 1:

    c_i(t) = tau_i c_i(t-1) + (1 - tau_i) tanh(net_i(t)),      net_i(t) = sum_j w_ij c_j(t-1) + sum_j v_ij x_j(t).

How far back does error flow through such units? In the focused net of 1989 units read inputs only, with a decay d_i of
their own: c_i(t) = d_i c_i(t-1) + f(net_i(t)), and

    dc_i(t)/dv_ij = d_i dc_i(t-1)/dv_ij + f'(net_i(t)) x_j(t)

is carried forward, as the cells of 1997 do with ds/dw.

Results, for every lag q and every number of units n. With errors through net_i cut the flow over q steps is exactly
tau_i^q, whatever the inputs: tau_i = exp(-1/T_i) gives exp(-q/T_i), T_i steps for a factor e. It is exponential for any
tau_i < 1, and only tau_i = 1 is a carousel, but then (1 - tau_i) shuts out the input: a unit with a long memory is slow to
write. The full one-step factor is delta_ij tau_i + (1 - tau_i) tanh'(net_i(t)) w_ij, and q steps are a sum over paths.
"""

import numpy as np
import sympy
from sympy import Eq, Integer, KroneckerDelta, Lambda, Sum, exp

from flowcheck.claims import (
    HYPOTHESIS,
    Check,
    Claim,
    Differentiate,
    Given,
    Induction,
    PathSum,
    Proof,
    Step,
    indices,
    lag,
    last_index,
    last_term,
    partial,
    pick_terms,
    quantity,
    total,
)
from flowcheck.notation import ROUTINES, tanh

i, j, k, a, b, n, N = indices("i j k a b n N")
t, r = sympy.symbols("t r", integer=True)
q, m = lag("q m")
T = sympy.Symbol("T", positive=True)
tau, decay = quantity("tau", r"\tau_{{{0}}}", positive=True), quantity("d", "d_{{{0}}}")
w, v = quantity("w", "w_{{{0} {1}}}"), quantity("v", "v_{{{0} {1}}}")
c, x, net = (quantity(name, letter + "_{{{0}}}({1})") for name, letter in (("c", "c"), ("x", "x"), ("net", r"\mathrm{{net}}")))

eq_net = Given("net_i(t) = sum_j w_ij c_j(t-1) + sum_j v_ij x_j(t)", net(i, t),
               Sum(w(i, a) * c(a, t - 1), (a, 1, n)) + Sum(v(i, a) * x(a, t), (a, 1, N)), forall=(i, t))
eq_c = Given("c_i(t) = tau_i c_i(t-1) + (1 - tau_i) tanh(net_i(t))", c(i, t), tau(i) * c(i, t - 1) + (1 - tau(i)) * tanh(net(i, t)),
             forall=(i, t))
through_c = Differentiate(eq_c, (c, net))


def flow(i, q):
    """dc_i(t+q) / dc_j(t)"""
    return total(c(i, t + q), c(j, t))


apart = Given("units of one step are varied one by one", total(c(i, r), c(j, r)), KroneckerDelta(i, j), forall=(i, j, r))
chain_net = Given("chain rule: net_i(t) reads units of step t-1", total(net(i, r), c(j, t)),
                  Sum(partial(net(i, r), c(a, r - 1)) * total(c(a, r - 1), c(j, t)), (a, 1, n)), forall=(i, r, j, t), lemma=True)

# Truncated: tau_i^q.

truncation = Given("truncation: d net_i(t) / d c_j(t-1) ~tr 0", partial(net(i, r), c(j, r - 1)), Integer(0), forall=(i, j, r))
one_step = Step("one step, truncated", total(c(i, r + 1), c(j, t)), tau(i) * total(c(i, r), c(j, t)), (through_c, chain_net, truncation),
                forall=(i, r, j, t))
powers = KroneckerDelta(i, j) * tau(i) ** q
power = Induction(
    "powers of the time constant", flow(i, q), powers, q, start=0, forall=(i, j, t, q),
    base=Step("no step", flow(i, q), powers, (apart,)),
    step=Step("one step more", flow(i, q), powers, (one_step, HYPOTHESIS)))
in_steps = Given("T_i steps: tau_i = exp(-1/T_i)", tau(i), exp(-1 / T))
in_time = Step("in units of time", flow(i, q), KroneckerDelta(i, j) * exp(-q / T), (power, in_steps))

# Full: the sum over paths.


def factor(i, j, t):
    """dc_i(t) / dc_j(t-1)"""
    return KroneckerDelta(i, j) * tau(i) + (1 - tau(i)) * tanh.slope(net(i, t)) * w(i, j)


held = Given("units of one step are varied one by one", partial(c(i, r), c(j, r)), KroneckerDelta(i, j), forall=(i, j, r))
one_weight = Step("net_i(t) reads each unit by one weight", partial(net(i, r), c(j, r - 1)), w(i, j),
                  (Differentiate(eq_net, (c,)), held, pick_terms), forall=(i, j, r))
further = Step("one step", total(c(i, r + 1), c(j, t)), Sum(factor(i, k, r + 1) * total(c(k, r), c(j, t)), (k, 1, n)),
               (through_c, chain_net, one_weight), right=(pick_terms,), forall=(i, r, j, t))
first = Step("the factor of one step", total(c(i, r + 1), c(j, r)), factor(i, j, r + 1), (further, apart, pick_terms), forall=(i, r, j))
paths = PathSum(Lambda((a, b, m), factor(b, a, t + m)), j, i, q, n)
path_sum = Induction(
    "sum over all paths", flow(i, q), paths, q, forall=(i, j, t, q),
    base=Step("one step", flow(i, q), paths, (first,), right=(last_index,)),
    step=Step("one step more", flow(i, q), paths, (further, HYPOTHESIS), right=(last_index,)))

# What such a unit holds: a weighted mean of the past, the older the lighter.

held_value = tau(i) ** q * c(i, 0) + (1 - tau(i)) * Sum(tau(i) ** (q - m) * tanh(net(i, m)), (m, 1, q))
memory = Induction(
    "what a unit holds", c(i, q), held_value, q, start=0, forall=(i, q),
    base=Step("at the start", c(i, q), held_value, right=(last_term,)),
    step=Step("one step more", c(i, q), held_value, (eq_c, HYPOTHESIS), right=(last_term,)))

# Focused backpropagation, 1989: no weights between units.

eq_focused = Given("1989: c_i(t) = d_i c_i(t-1) + f(net_i(t))", c(i, t), decay(i) * c(i, t - 1) + tanh(net(i, t)), forall=(i, t))
eq_inputs = Given("1989: net_i(t) = sum_j v_ij x_j(t)", net(i, t), Sum(v(i, a) * x(a, t), (a, 1, N)), forall=(i, t))
weights_apart = (Given("weights are varied one by one", total(v(a, b), v(i, j)), KroneckerDelta(a, i) * KroneckerDelta(b, j),
                       forall=(a, b, i, j)),
                 Given("inputs are given", total(x(a, t), v(i, j)), Integer(0), forall=(a, t, i, j)))
focused = Step("focused backpropagation", total(c(i, t), v(i, j)), decay(i) * total(c(i, t - 1), v(i, j)) + tanh.slope(net(i, t)) * x(j, t),
               (Differentiate(eq_focused, (c, net)), Differentiate(eq_inputs, (v, x)), *weights_apart, pick_terms), forall=(i, j, t))


def powers_of_tau(values, q):
    """tau_i^q on the diagonal."""
    return np.diag(values["tau"][-1] ** q)


def product_of_factors(values, q):
    """J(t) J(t-1) ... J(t-q+1), J_ij = delta_ij tau_i + (1 - tau_i) tanh'(net_i) w_ij."""
    product = np.eye(len(values["W_y"]))
    for m in range(q):
        tau, slope = values["tau"][-1 - m], ROUTINES["tanh_prime"](values["net"][-1 - m])
        product = product @ (np.diag(tau) + ((1 - tau) * slope)[:, None] * values["W_y"])
    return product


def claim(id, title, status, fact, printed=False, **more):
    """A claim about units with time constants."""
    derived = Eq(fact.lhs, fact.rhs, evaluate=False)
    return Claim(f"Mozer {id}", "", "Mozer 1992", title, status, derived if printed else None, derived, Proof(fact), **more)


CLAIMS = [
    claim("flow", "truncated flow: a power of the time constant", "truncated", power,
          checks=[Check("mozer", "y", "y", True, powers_of_tau, range(1, 101))]),
    claim("time", "a time constant of T steps", "truncated", in_time,
          note="Half of the error is left after T log 2 steps; at lag 10 T it is 5e-5."),
    claim("one step", "one step, full", "exact", first),
    claim("paths", "q steps, full", "exact", path_sum, checks=[Check("mozer", "y", "y", False, product_of_factors, range(1, 62, 6))]),
    claim("memory", "what a unit holds after q steps", "exact", memory,
          note="tau_i = 1 keeps c_i(0) for ever and reads nothing; the cell of 1997 has the input gate instead of 1 - tau_i."),
    claim("focused", "focused backpropagation, 1989", "exact", focused, True,
          note="No truncation: a focused net has no weights between its units. With d_i = 1 this is (27) without an input gate."),
]
