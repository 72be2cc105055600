r"""Section 3.2: a unit through which error flows for any time unchanged, the constant error carousel (CEC).

Problem. A unit j with a single connection, to itself, scales its error by f'_j(net_j(t)) w_jj per step:

    vartheta_j(t) = f'_j(net_j(t)) vartheta_j(t+1) w_jj.

What must f_j and w_jj be so that the error neither grows nor decays? Printed (no numbers):

    f'_j(net_j(t)) w_jj = 1.0,
    integrated: f_j(net_j(t)) = net_j(t) / w_jj for arbitrary net_j(t), so f_j is linear, and the activation stays:
    y^j(t+1) = f_j(net_j(t+1)) = f_j(w_jj y^j(t)) = y^j(t).        CEC: f_j(x) = x, w_jj = 1.0.

Results. All of it holds but for the constant of integration, which the paper drops: f_j(net) = net / w_jj + C has
constant error flow for every C. The activation stays only for C = 0; that, not the integration, removes C.
"""

import numpy as np
import sympy
from sympy import Derivative, Eq, Function, Integer, KroneckerDelta, Product, Sum

from flowcheck.claims import (
    HYPOTHESIS,
    Check,
    Claim,
    Counterexample,
    Differentiate,
    Given,
    Induction,
    Proof,
    Step,
    chain,
    equal,
    lag,
    last_factor,
    partial,
    pick,
    quantity,
)

q, m = lag("q m")
w = sympy.Symbol("w_{jj}", nonzero=True, real=True)
x, y = sympy.symbols(r"\mathrm{net}_{j} y^{j}(t)", real=True)
tau = sympy.Symbol(r"\tau_{j}", positive=True)
slope = quantity("slope", r"f'_{{j}}(\mathrm{{net}}_{{j}}({0:t}))")
vartheta = quantity("vartheta", r"\vartheta_{{j}}({0:t})")
f = quantity("f", r"f_{{j}}({0})")
constant = sympy.Symbol("C", real=True)


def flow(q):
    """d vartheta_j(t-q) / d vartheta_j(t)"""
    return partial(vartheta(q), vartheta(0))


# The error signal: BPTT of section 3.1, where of all weights out of j only the one to j itself is not zero.

i, n = sympy.symbols("i n", integer=True, positive=True)
j = sympy.Symbol("j", integer=True, positive=True)
weight_out, theta = quantity("weight_out", "w_{{{0} j}}"), quantity("theta", r"\vartheta_{{{0}}}({1:t})")
of_all = Given("BPTT: vartheta_j(t-m) = f'_j(net_j(t-m)) sum_i w_ij vartheta_i(t-m+1)", vartheta(m),
               slope(m) * Sum(weight_out(i) * theta(i, m - 1), (i, 1, n)), forall=(m,), where=(m >= 1,))
only_itself = Given("j has one connection, to itself", weight_out(i), w * KroneckerDelta(i, j), forall=(i,))
of_j = Given("unit j", theta(j, m), vartheta(m), forall=(m,))
bptt = Step("BPTT of one unit", vartheta(m), slope(m) * w * vartheta(m - 1), (of_all, only_itself, pick, of_j), forall=(m,),
            where=(m >= 1,))

# The condition.

same_error = Given("an error is itself", flow(0), Integer(1))
backwards = Differentiate(bptt, (vartheta,))
wanted = Given("constant error flow: d vartheta_j(t-1) / d vartheta_j(t) = 1", flow(1), Integer(1))
one_step = Step("(1) for one unit", flow(1), slope(1) * w, (backwards, same_error))
condition = chain("what constant flow needs", slope(1) * w, equal("one step", flow(1), right=[one_step]),
                  equal("constant flow", Integer(1), wanted))

# Over q steps: the product of the factors; 1 if every factor is 1.

factors = Product(slope(m) * w, (m, 1, q))
product_of_factors = Induction(
    "product of factors", flow(q), factors, q, start=0, forall=(q,),
    base=Step("no step", flow(q), factors, (same_error,), right=(last_factor,)),
    step=Step("one step more", flow(q), factors, (backwards, HYPOTHESIS), right=(last_factor,)))
every_factor = Given("f'_j(net_j(t-m)) w_jj = 1 at every step", slope(m), 1 / w, forall=(m,))
carousel = Induction(
    "constant error flow", flow(q), Integer(1), q, start=0, forall=(q,),
    base=Step("no step", flow(q), Integer(1), (same_error,)),
    step=Step("one step more", flow(q), Integer(1), (backwards, HYPOTHESIS, every_factor)))

# Integration. F stands for the function of net that f_j(net) is.

F = Function("F", real=True)
at_every_net = Given("f'_j(net) w_jj = 1 for arbitrary net", Derivative(F(x), x), 1 / w)
no_slope = Step("f_j(net) - net / w_jj has slope 0", Derivative(F(x), x) - 1 / w, Integer(0), (at_every_net,))
integrated = Given("a function with slope 0 everywhere is a constant", f(x), x / w + constant, forall=(x,), lemma=True)
solution = sympy.dsolve(Eq(F(x).diff(x), 1 / w), F(x)).rhs.subs(sympy.Symbol("C1"), constant)
by_integration = Step("f_j(net) = net / w_jj + C", f(x), solution, (integrated,), forall=(x,))


def shifted_by_one(relation):
    """f_j(net) = net / 2 + 1 has f'_j w_jj = 1 for w_jj = 2; both sides at net = 0, C = f_j(0)."""
    member = x / 2 + 1
    assert member.diff(x) * 2 == 1
    return Eq(member.subs(x, 0), relation.rhs.subs({w: 2, constant: member.subs(x, 0), x: 0}))


# Constant activation: y^j(t+1) = f_j(w_jj y^j(t)).

next_activation = Step("y^j(t+1) = f_j(w_jj y^j(t))", f(w * y), y + constant, (by_integration,))
stays = Given("the activation stays constant", f(w * y), y)
no_constant = chain("y^j(t+1) = y^j(t) leaves C = 0", constant, equal("from the solution", f(w * y) - y, right=[next_activation]),
                    equal("constant activation", Integer(0), stays))
zero_constant = Given("C = 0", constant, Integer(0))
activation = chain("constant activation", f(w * y), equal("f_j(net) = net / w_jj + C", y + constant, next_activation),
                   equal("C = 0", y, zero_constant))

# Weight conflicts: the one weight w_ji, and the one weight w_kj, sums up signals of all steps, to store and to protect.

y_of, theta_k = quantity("y_of", "y^{{{0}}}({1:t})"), quantity("theta_k", r"\vartheta_{{k}}({0:t})")
k, T = sympy.symbols("k T", integer=True, positive=True)
alpha = sympy.Symbol("alpha", positive=True)
change_in, change_out = quantity("change_in", r"\Delta w_{{ji}}")(), quantity("change_out", r"\Delta w_{{kj}}")()
each_in, each_out = quantity("each_in", r"\Delta w_{{ji}}({0:t})"), quantity("each_out", r"\Delta w_{{kj}}({0:t})")
summed = (Given("a weight changes by the sum over all steps", change_in, Sum(each_in(m), (m, 0, T))),
          Given("a weight changes by the sum over all steps", change_out, Sum(each_out(m), (m, 0, T))))
contributions = (Given("3.1: alpha vartheta_j(t) y^i(t-1)", each_in(m), alpha * vartheta(m) * y_of(i, m + 1), forall=(m,)),
                 Given("3.1: alpha vartheta_k(t) y^j(t-1)", each_out(m), alpha * theta_k(m) * y_of(j, m + 1), forall=(m,)))
input_signal = Step("Delta w_ji", change_in, alpha * Sum(vartheta(m) * y_of(i, m + 1), (m, 0, T)), (*summed, *contributions))
output_signal = Step("Delta w_kj", change_out, alpha * Sum(theta_k(m) * y_of(j, m + 1), (m, 0, T)), (*summed, *contributions))
carried = Given("constant error flow: vartheta_j(t-m) = vartheta_j(t), whatever is shown at t-m-1", vartheta(m), vartheta(0), forall=(m,))
conflict = Step("Delta w_ji in a carousel", change_in, alpha * vartheta(0) * Sum(y_of(i, m + 1), (m, 0, T)),
                (*summed, *contributions, carried))

# Mozer's fixed time constant, for comparison: c(t) = tau c(t-1) + (1 - tau) tanh(net(t)), one self-connection tau.

leaky = Given("error of c_j(t-m): tau_j times the error of c_j(t-m+1)", vartheta(m), tau * vartheta(m - 1), forall=(m,),
              where=(m >= 1,))
decay = Induction(
    "flow through a time constant", flow(q), tau ** q, q, start=0, forall=(q,),
    base=Step("no step", flow(q), tau ** q, (same_error,)),
    step=Step("one step more", flow(q), tau ** q, (Differentiate(leaky, (vartheta,)), HYPOTHESIS)))


def identity(values, q):
    """d s_i(t) / d s_j(t-q) = 1 for i = j, else 0."""
    return np.eye(values["s"].shape[1])


def claim(id, title, status, printed, derived, *facts, **more):
    """A claim of section 3.2."""
    return Claim(id, "", "3.2", title, status, printed, derived, Proof(*facts), **more)


eq_condition = Eq(slope(1) * w, 1)
eq_solution_printed, eq_solution = Eq(f(x), x / w), Eq(f(x), x / w + constant)
eq_activation = Eq(f(w * y), y)
eq_carousel = Eq(flow(q), 1)


def stated(fact):
    """The equation that a fact states."""
    return Eq(fact.lhs, fact.rhs, evaluate=False)


CLAIMS = [
    claim("3.2 error", "error signal of a unit connected to itself only", "exact", stated(bptt), stated(bptt), bptt),
    claim("3.2 condition", "constant error flow requires f' w = 1.0", "exact", eq_condition, eq_condition, condition),
    claim("3.2 product", "flow over q steps of one unit", "exact", None, Eq(flow(q), factors), product_of_factors),
    claim("3.2 integration", "integrating the condition", "erratum", eq_solution_printed, eq_solution, no_slope, by_integration,
          counterexample=Counterexample("f_j(net) = net/2 + 1, w_jj = 2, at net = 0: 1 is not 0", shifted_by_one),
          note="Printed without the constant of integration C. Error flow is constant for every C; what removes C is the next "
               "line, the demand that the activation stays (see '3.2 constant of integration')."),
    claim("3.2 constant of integration", "a constant activation needs C = 0", "exact", None, Eq(constant, 0), no_constant),
    claim("3.2 activation", "activation has to remain constant", "exact", eq_activation, eq_activation, activation),
    claim("3.2 carousel", "constant error carousel", "exact", eq_carousel, eq_carousel, carousel,
          checks=[Check("carousel", "s", "s", False, identity, range(1, 101))]),
    claim("3.2 input weight", "input weight conflict: what w_ji is told", "exact", None, stated(input_signal), input_signal,
          note="Printed in words. One sum for the step at which j is to store and for all others at which it is to be left alone."),
    claim("3.2 output weight", "output weight conflict: what w_kj is told", "exact", None, stated(output_signal), output_signal,
          note="Printed in words: w_kj has to read j at one step and to keep j from disturbing k at the others."),
    claim("3.2 conflict over a lag", "in a carousel every input of the lag gets the same error", "exact", None, stated(conflict), conflict,
          note="The error does not say at which step the input was to be stored; the conflict grows with the lag."),
    claim("3.2 time constant", "compare Mozer's time constants", "exact", None, Eq(flow(q), tau ** q), decay,
          note="Error decays as tau_j^q; only tau_j = 1 is a carousel."),
]
