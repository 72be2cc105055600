r"""Elman 1990, "Finding structure in time": training with the context held constant, and the flow that it leaves.

Problem. The hidden units read the input and a context, which is a copy of the hidden units one step before:

    net_i(t) = sum_j w_ij c_j(t) + sum_j v_ij x_j(t),      y_i(t) = f_i(net_i(t)),      c_j(t) = y_j(t-1).

Training by plain backpropagation takes the context for one more input: its value is y_j(t-1), its derivative is zero. What
is left of the error flow through time, and what of the gradient?

Assumption, precisely: d c_j(t) / d z = 0 for everything z that was computed before step t, weights included. The value of
c_j(t) is not touched; E(t) is the error of step t alone.

Results, for every net and every lag q >= 1. The flow dnet_i(t+q)/dnet_j(t) is exactly zero, not small: zero at lag 1
already, whatever the weights. At lag 0 nothing changes. The gradient of E(t) is delta_i(t) c_j(t), one term; the full
gradient, with c_j(t) = y_j(t-1) in the derivative too, adds f' sum_l w_il dy_l(t-1)/dw. Elman training is truncated BPTT
with k1 = k2 = 1, and the rule of 1997 on a net without memory cells. The net itself may still carry information for any
time; only learning does not see it.
"""

import numpy as np
import sympy
from sympy import Eq, Integer, KroneckerDelta, Sum

from flowcheck.claims import (
    Check,
    Claim,
    Differentiate,
    Given,
    Proof,
    Step,
    indices,
    pick_terms,
    quantity,
    total,
)
from flowcheck.notation import ROUTINES

i, j, k, l_, a, b, n, m, q = indices("i j k l a b n m q")
t, r = sympy.symbols("t r", integer=True)
w, v = quantity("w", "w_{{{0} {1}}}"), quantity("v", "v_{{{0} {1}}}")
net, y = quantity("net", r"\mathrm{{net}}_{{{0}}}({1})"), quantity("y", "y_{{{0}}}({1})")
c, x = quantity("c", "c_{{{0}}}({1})"), quantity("x", "x_{{{0}}}({1})")
slope = quantity("slope", r"f'_{{{0}}}(\mathrm{{net}}_{{{0}}}({1}))")
E, delta = quantity("E", "E({0})"), quantity("delta", r"\delta_{{{0}}}({1})")
anything = sympy.Symbol("z")

# Forward pass.

eq_net = Given("net_i(t) = sum_j w_ij c_j(t) + sum_j v_ij x_j(t)", net(i, t),
               Sum(w(i, a) * c(a, t), (a, 1, n)) + Sum(v(i, a) * x(a, t), (a, 1, m)), forall=(i, t))
of_y = Given("y_i(t) = f_i(net_i(t)), by the chain rule", total(y(i, t), anything), slope(i, t) * total(net(i, t), anything),
             forall=(i, t, anything))
copy = Given("the context is a copy: c_j(t) = y_j(t-1)", c(j, t), y(j, t - 1), forall=(j, t))
constant = Given("Elman training: the context is a constant, dc_j(t)/dz = 0", total(c(j, t), anything), Integer(0), forall=(j, t, anything))
followed = Given("the full gradient: dc_j(t)/dz = dy_j(t-1)/dz", total(c(j, t), anything), total(y(j, t - 1), anything),
                 forall=(j, t, anything))
through_net = Differentiate(eq_net, (w, v, c, x))


def free(source, *forall):
    """Weights and inputs do not depend on a vector of the net."""
    return tuple(Given("weights and inputs do not depend on the net", total(other, source), Integer(0), forall=(a, b, r, *forall))
                 for other in (w(a, b), v(a, b), x(a, r)))


# The flow.

of_net = free(net(j, t), j, t)
itself = Given("net inputs of one step are varied one by one", total(net(i, t), net(j, t)), KroneckerDelta(i, j), forall=(i, j, t))
no_flow = Step("no flow from lag 1 on", total(net(i, t + q), net(j, t)), Integer(0), (through_net, *of_net, constant), forall=(i, j, t, q))
no_output = Step("no flow from outputs either", total(y(i, t + q), y(j, t)), Integer(0),
                 (of_y, through_net, *free(y(j, t), j, t), constant), forall=(i, j, t, q))
one_step = Step("one step of the net itself", total(net(i, t + 1), net(j, t)), w(i, j) * slope(j, t),
                (through_net, *of_net, followed, of_y, itself, pick_terms), forall=(i, j, t))

# The gradient of one step.

weights_apart = (
    Given("weights are varied one by one", total(w(a, b), w(l_, k)), KroneckerDelta(a, l_) * KroneckerDelta(b, k), forall=(a, b, l_, k)),
    *(Given("weights are varied one by one; inputs are given", total(other, w(l_, k)), Integer(0), forall=(a, b, r, l_, k))
      for other in (v(a, b), x(a, r))))
by_weight = total(net(i, t), w(l_, k))
moved = Step("what a weight moves", by_weight, KroneckerDelta(i, l_) * c(k, t), (through_net, *weights_apart, constant, pick_terms),
             forall=(i, l_, k, t))
full = Step("what a weight moves, full", by_weight,
            KroneckerDelta(i, l_) * y(k, t - 1) + Sum(w(i, a) * slope(a, t - 1) * total(net(a, t - 1), w(l_, k)), (a, 1, n)),
            (through_net, *weights_apart, followed, of_y, pick_terms, copy), forall=(i, l_, k, t))
of_E = Given("chain rule: E(t) reads the hidden units of step t", total(E(t), anything),
             -Sum(delta(i, t) * total(net(i, t), anything), (i, 1, n)), forall=(t, anything), lemma=True)
gradient = Step("the gradient", -total(E(t), w(l_, k)), delta(l_, t) * y(k, t - 1), (of_E, moved, pick_terms, copy), forall=(l_, k, t))


def no_flow_at_all(values, q):
    """Zeros, [i, j]."""
    n = values["net"].shape[1]
    return np.zeros((n, n))


def one_step_factor(values, q):
    """w_ij f'_j(net_j(t-1)), lag 1."""
    return values["W_y"] * ROUTINES["sigma_prime"](values["net"][-2])


def claim(id, title, status, fact, printed=False, **more):
    """A claim about Elman training."""
    derived = Eq(fact.lhs, fact.rhs, evaluate=False)
    return Claim(f"Elman {id}", "", "Elman 1990", title, status, derived if printed else None, derived, Proof(fact), **more)


CLAIMS = [
    claim("flow", "net input to net input: exactly zero from lag 1 on", "truncated", no_flow,
          checks=[Check("elman", "net", "net", True, no_flow_at_all, range(1, 101))],
          note="Holds as the context's derivative is set to zero; its value is y_j(t-1) all the same. What the context holds is not used: "
               "one with a memory of its own, c_j(t) = alpha c_j(t-1) + y_j(t-1), passes no error either."),
    claim("outputs", "output to output: exactly zero from lag 1 on", "truncated", no_output),
    claim("net", "one step of the same net, context followed", "exact", one_step,
          checks=[Check("elman", "net", "net", False, one_step_factor, range(1, 2))],
          note="What training leaves out is (1) of section 3.1: it need not be small."),
    claim("weights", "what a weight from the context moves", "truncated", moved),
    claim("full", "what a weight from the context moves, context followed", "exact", full,
          note="The sum is what Elman training leaves out at every step."),
    claim("gradient", "the gradient of one step: one term", "truncated", gradient,
          note="Truncated BPTT with k1 = k2 = 1."),
]
