r"""Section 3.1: the error signals of BPTT in a fully recurrent net, and what one of them owes to another.

Problem. In a fully recurrent net with units 1..n an error occurs at unit u at time t and travels back to unit v. Forward
pass and error signals of BPTT (3.1, no numbers; w_ij: weight FROM j TO i):

    y^i(t) = f_i(net_i(t)),   net_i(t) = sum_j w_ij y^j(t-1)
    vartheta_k(t) = f'_k(net_k(t)) (d_k(t) - y^k(t))                     output unit k, target d_k(t)
    vartheta_j(t) = f'_j(net_j(t)) sum_i w_ij vartheta_i(t+1)            other units
    w_jl changes by alpha vartheta_j(t) y^l(t-1).

How is the error scaled over q steps? Printed, step by step:

    (1)  d vartheta_v(t-q) / d vartheta_u(t) = f'_v(net_v(t-1)) w_uv                                          q = 1
                                             = f'_v(net_v(t-q)) sum_l d vartheta_l(t-q+1)/d vartheta_u(t) w_lv    q > 1

Assumptions. E is half the squared error, which is what the printed vartheta_k means. What inputs and biases add to net_i
does not depend on y and drops out of every derivative. Slopes f' are functions of the forward pass, which stays what it
is; f' >= 0, as for every squashing function here. Number of units n and lag q are symbols throughout.

Results. All hold, and the error signals are the derivatives -dE/dnet.
"""

import numpy as np
import sympy
from sympy import Eq, KroneckerDelta, Le, Lt, Sum

from flowcheck.claims import (
    Cases,
    Check,
    Claim,
    Differentiate,
    Given,
    GradientCheck,
    Proof,
    Step,
    ValueCheck,
    indices,
    lag,
    partial,
    pick,
    pick_terms,
    quantity,
    total,
)
from flowcheck.notation import ROUTINES

u, v, i, j, k, l, n, K = indices("u v i j k l n K")  # noqa: E741  (the paper's letters)
q, m = lag("q m")
w = quantity("w", "w_{{{0} {1}}}")
y, target = quantity("y", "y^{{{0}}}({1:t})"), quantity("target", "d_{{{0}}}({1:t})")
net = quantity("net", r"\mathrm{{net}}_{{{0}}}({1:t})")
shown = quantity("shown", "x_{{{0}}}({1:t})")
slope = quantity("slope", r"f'_{{{0}}}(\mathrm{{net}}_{{{0}}}({1:t}))", nonnegative=True)
squashed = quantity("squashed", r"f_{{{0}}}(\mathrm{{net}}_{{{0}}}({1:t}))")
vartheta = quantity("vartheta", r"\vartheta_{{{0}}}({1:t})")
E = sympy.Symbol("E", real=True)
alpha = sympy.Symbol("alpha", positive=True)


def flow(v, q):
    """d vartheta_v(t-q) / d vartheta_u(t)"""
    return partial(vartheta(v, q), vartheta(u, 0))


# Forward pass, and what an error signal is: vartheta_i(t) = -dE/dnet_i(t).

eq_net = Given("net_i(t) = sum_j w_ij y^j(t-1) + what inputs and biases add", net(i, m),
               Sum(w(i, j) * y(j, m + 1), (j, 1, n)) + shown(i, m), forall=(i, m))
eq_y = Given("y^i(t) = f_i(net_i(t))", y(i, m), squashed(i, m), forall=(i, m))
signal = Given("an error signal is vartheta_i(t) = -dE/dnet_i(t)", vartheta(i, m), -total(E, net(i, m)), forall=(i, m))
of_y = Given("y^i(t) = f_i(net_i(t)), differentiated", partial(y(i, m), net(j, m)), KroneckerDelta(i, j) * slope(i, m),
             forall=(i, j, m))

# At an output unit: E is half the sum of squared errors of step t.

half_square = Given("E = 1/2 sum_k (d_k(t) - y^k(t))^2 at the step of the target", E,
                    Sum((target(k, m) - y(k, m)) ** 2, (k, 1, K)) / 2)
direct_E = Given("at an output unit E depends on net_k(t) through y^k(t) only", total(E, net(i, m)), partial(E, net(i, m)),
                 forall=(i, m))
at_output = Step("vartheta_k(t)", vartheta(i, m), slope(i, m) * (target(i, m) - y(i, m)),
                 (signal, direct_E, Differentiate(half_square, (y,)), of_y, pick_terms))

# At another unit: E depends on net_j(t) through the net inputs of step t+1.

chain_rule = Given("chain rule: E depends on net_j(t) through the net inputs of step t+1", total(E, net(j, m)),
                   Sum(total(E, net(i, m - 1)) * partial(net(i, m - 1), net(j, m)), (i, 1, n)), forall=(j, m),
                   where=(m >= 1,), lemma=True)
read_back = Given("vartheta_i(t) read backwards", total(E, net(i, m)), -vartheta(i, m), forall=(i, m))
one_weight = Step("net_i(t+1) by net_j(t)", partial(net(i, m - 1), net(j, m)), w(i, j) * slope(j, m),
                  (Differentiate(eq_net, (y,)), of_y, pick_terms), forall=(i, j, m), where=(m >= 1,))
propagated = Step("vartheta_j(t)", vartheta(j, m), slope(j, m) * Sum(w(i, j) * vartheta(i, m - 1), (i, 1, n)),
                  (signal, chain_rule, read_back, one_weight), forall=(j, m), where=(m >= 1,))

# A weight: what net_j(t) does for it.

change = quantity("change", r"\Delta w_{{{0} {1}}}({2:t})")
descent = Given("gradient descent: net_j(t) adds -alpha dE/dnet_j(t) dnet_j(t)/dw_jl", change(j, l, m),
                -alpha * total(E, net(j, m)) * partial(net(j, m), w(j, l)), forall=(j, l, m))
apart = Given("weights are varied one by one", partial(w(i, j), w(k, l)), KroneckerDelta(i, k) * KroneckerDelta(j, l),
              forall=(i, j, k, l))
update = Step("Delta w_jl", change(j, l, m), alpha * vartheta(j, m) * y(l, m + 1),
              (descent, read_back, Differentiate(eq_net, (w,)), apart, pick_terms), forall=(j, l, m))

# (1): the error signals of BPTT, differentiated by one of them.

injected = Given("the errors injected at time t are independent of each other", flow(i, 0), KroneckerDelta(i, u), forall=(i,))
backwards = Differentiate(propagated, (vartheta,))

first_step = Step("(1) for q = 1", flow(v, 1), slope(v, 1) * w(u, v), (backwards, injected, pick), forall=(v,))
further_step = Step("(1) for q > 1", flow(v, q), slope(v, q) * Sum(flow(j, q - 1) * w(j, v), (j, 1, n)), (backwards,),
                    forall=(v, q), where=(q > 1,))
recursion = sympy.Piecewise((slope(v, 1) * w(u, v), Eq(q, 1)), (further_step.rhs, q > 1))
eq_1 = Eq(flow(v, q), recursion, evaluate=False)
proof_1 = Proof(first_step, further_step, Cases("(1)", eq_1.lhs, eq_1.rhs, (first_step, further_step)))

# Numbers: d net_u(t) / d net_v(t-q) [u, v], and the weight update, each from its own formula.


def f_prime(values, m):
    """[f'_1(net_1(t-m)), ..., f'_n(net_n(t-m))], logistic units."""
    return ROUTINES["sigma_prime"](values["net"][-1 - m])


def largest_slope_of(values, q):
    """f'_max over the steps t-1 ... t-q."""
    return ROUTINES["sigma_prime"](values["net"][-1 - q:-1]).max()


def flow_by_recursion(values, q):
    """(1): from q = 1 up."""
    W = values["W_y"]
    flows = f_prime(values, 1) * W
    for lags in range(2, q + 1):
        flows = np.einsum("v,ul,lv->uv", f_prime(values, lags), flows, W)
    return flows


def own_inputs(values):
    """What inputs and biases add to net(t)."""
    return values["W_x"] @ values["x"][-1] + values["b"]


def net_now(values):
    """net(t) = W y(t-1) + what inputs and biases add."""
    return values["W_y"] @ values["y"][-2] + own_inputs(values)


def weight_change(values, errors):
    """sum over all steps of vartheta_j(t-q) y^l(t-q-1), vartheta(t) = errors."""
    W, change = values["W_y"], np.zeros_like(values["W_y"])
    for m in range(len(values["y"]) - 1):
        change += np.outer(errors, values["y"][-2 - m])
        errors = f_prime(values, m + 1) * (W.T @ errors)
    return change


def check(evaluate, lags, relation="="):
    """A check of the fully recurrent net: net input to net input, full gradient."""
    return Check("conventional", "net", "net", False, evaluate, lags, relation)


def claim(id, title, status, printed, derived, *facts, journal="", **more):
    """A claim of section 3.1."""
    return Claim(id, journal, "3.1", title, status, printed, derived, Proof(*facts), **more)


def stated(fact):
    """The equation that a fact states."""
    return Eq(fact.lhs, fact.rhs, evaluate=False)


def le(fact):
    """The inequality that a fact states."""
    return (Lt if fact.relation == "<" else Le)(fact.lhs, fact.rhs, evaluate=False)


reads_net = ValueCheck("conventional", "net", net_now)

CLAIMS = [
    claim("3.1 net input", "net input of a unit", "definition", stated(eq_net), stated(eq_net), eq_net, checks=[reads_net],
          note="Printed without what inputs and biases add."),
    claim("3.1 activation", "activation of a unit", "definition", stated(eq_y), stated(eq_y), eq_y,
          checks=[ValueCheck("conventional", "y", lambda values: ROUTINES["sigma"](net_now(values)))]),
    claim("3.1 output error", "error signal of an output unit", "exact", stated(at_output), stated(at_output), at_output),
    claim("3.1 error", "error signal of another unit", "exact", stated(propagated), stated(propagated), propagated,
          checks=[check(flow_by_recursion, range(1, 2))]),
    claim("3.1 weight update", "what a weight contributes", "exact", stated(update), stated(update), update,
          checks=[GradientCheck("conventional", "net", "W_y", False, weight_change)]),
    claim("1", "error flow from u to v", "exact", eq_1, eq_1, *proof_1.facts, journal="3.1",
          checks=[check(flow_by_recursion, range(1, 101))]),
]
