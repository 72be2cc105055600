r"""Fahlman 1991, recurrent cascade-correlation: error flow through one self-connection.

Problem. Hidden units are added one at a time and then frozen. Each reads inputs I_i(t) (the net's inputs and the outputs
of units that were there before it) and itself one step before:

    net(t) = sum_i w_i I_i(t) + w_s V(t-1),      V(t) = f(net(t)),      f logistic up to a constant.

Printed, for the derivatives that are carried forward while the unit is trained:

    dV(t)/dw_i = f'(net(t)) ( I_i(t)    + w_s dV(t-1)/dw_i )
    dV(t)/dw_s = f'(net(t)) ( V(t-1) + w_s dV(t-1)/dw_s ).

Assumption. What the unit reads does not depend on it: units before it are frozen and do not read it. (This is the
architecture, not an approximation; nothing is truncated.)

Results, for every lag q. The flow through a unit is prod_{m=1}^q f'(net(t+m)) w_s: the net of section 3.1 with n = 1. It
vanishes for every input sequence if |w_s| < 4, and for |w_s| > 4 only while net stays where f' > 1/|w_s|; error never
comes back from a later unit to an earlier one, so no other path from V(t) to V(t+q) exists. The derivatives hold; in closed
form they are the flow times what each weight did.
"""

import numpy as np
import sympy
from sympy import Abs, Eq, Integer, KroneckerDelta, Le, Product, Rational, Sum

from flowcheck.claims import (
    HYPOTHESIS,
    Check,
    Claim,
    Differentiate,
    Given,
    Induction,
    Proof,
    Step,
    below,
    chain,
    equal,
    indices,
    lag,
    last_factor,
    pick,
    quantity,
    total,
)
from flowcheck.notation import ROUTINES, sigma

i, j, n = indices("i j n")
t, r = sympy.symbols("t r", integer=True)
q, m = lag("q m")
w_s, w_max = sympy.Symbol("w_s", real=True), sympy.Symbol("w_{max}", positive=True)
w, read = quantity("w", "w_{{{0}}}"), quantity("I", "I_{{{0}}}({1})")
V, net = quantity("V", "V({0})"), quantity("net", r"\mathrm{{net}}({0})")
slope = quantity("slope", r"f'(\mathrm{{net}}({0}))", nonnegative=True)
anything = sympy.Symbol("z")

eq_net = Given("net(t) = sum_i w_i I_i(t) + w_s V(t-1)", net(t), Sum(w(i) * read(i, t), (i, 1, n)) + w_s * V(t - 1), forall=(t,))
of_V = Given("V(t) = f(net(t)), by the chain rule", total(V(t), anything), slope(t) * total(net(t), anything), forall=(t, anything))
through = (of_V, Differentiate(eq_net, (w, read, V, sympy.Symbol)))

# The flow through the unit.


def flow(q):
    """dV(t+q) / dV(t)"""
    return total(V(t + q), V(t))


def constant(source, *forall):
    """What does not depend on a source."""
    return tuple(Given("frozen units and inputs do not depend on the unit; weights are given", total(node, source), Integer(0),
                       forall=(i, r, *forall)) for node in (read(i, r), w(i), w_s))


itself = Given("dV/dV = 1", total(V(r), V(r)), Integer(1), forall=(r,))
one_step = Step("one step", total(V(r + 1), V(t)), slope(r + 1) * w_s * total(V(r), V(t)), (*through, *constant(V(t), t)),
                forall=(r, t))
factors = Product(slope(t + m) * w_s, (m, 1, q))
product = Induction(
    "product of factors", flow(q), factors, q, start=0, forall=(t, q),
    base=Step("no step", flow(q), factors, (itself,), right=(last_factor,)),
    step=Step("one step more", flow(q), factors, (one_step, HYPOTHESIS), right=(last_factor,)))
logistic = Given("f is logistic", slope(t), sigma.slope(net(t)), forall=(t,))
quarter = Step("f' <= 1/4, as 1/4 - f (1 - f) = (1/2 - f)^2", slope(t), Rational(1, 4), (logistic,), "<=", forall=(t,))
largest = Given("w_max bounds |w_s|", Abs(w_s), w_max, relation="<=")
bound = (w_max / 4) ** q
decay = Induction(
    "the bound", Abs(flow(q)), bound, q, start=0, forall=(t, q), relation="<=",
    base=Step("no step", Abs(flow(q)), bound, (itself,), "<="),
    step=chain("one step more", Abs(flow(q)), equal("one step, f' >= 0", slope(t + q) * Abs(w_s) * Abs(flow(q - 1)), one_step),
               below("f' <= 1/4", Abs(w_s) * Abs(flow(q - 1)) / 4, quarter),
               below("the weight", w_max * Abs(flow(q - 1)) / 4, largest), below("the bound at q-1", bound, HYPOTHESIS)))

# What is carried forward.

by_w, by_s = (lambda node: total(node, w(j))), (lambda node: total(node, w_s))
apart = (Given("weights are varied one by one", by_w(w(i)), KroneckerDelta(i, j), forall=(i, j)),
         Given("weights are varied one by one", by_w(w_s), Integer(0), forall=(j,)),
         Given("inputs and frozen units do not depend on the weights", by_w(read(i, t)), Integer(0), forall=(i, j, t)))
apart_s = (Given("weights are varied one by one", by_s(w_s), Integer(1)),
           Given("weights are varied one by one", by_s(w(i)), Integer(0), forall=(i,)),
           Given("inputs and frozen units do not depend on the weights", by_s(read(i, t)), Integer(0), forall=(i, t)))
of_input = Step("weight from an input", by_w(V(t)), slope(t) * (read(j, t) + w_s * by_w(V(t - 1))), (*through, *apart, pick),
                forall=(j, t))
of_itself = Step("the self-connection", by_s(V(t)), slope(t) * (V(t - 1) + w_s * by_s(V(t - 1))), (*through, *apart_s), forall=(t,))


def gains(values, q):
    """prod_{m=0}^{q-1} f'(net(t-m)) w_s on the diagonal."""
    net = (values["net_x"] + values["net_s"])[len(values["net_x"]) - q:]
    return np.diag((ROUTINES["sigma_prime"](net) * values["w_s_y"]).prod(axis=0))


def log10_bound(values, q):
    """log10 (w_max / 4)^q."""
    return q * np.log10(np.abs(values["w_s_y"]).max() / 4)


def claim(id, title, status, fact, printed=False, **more):
    """A claim about recurrent cascade-correlation."""
    derived = (Le if fact.relation == "<=" else Eq)(fact.lhs, fact.rhs, evaluate=False)
    return Claim(f"RCC {id}", "", "Fahlman 1991", title, status, derived if printed else None, derived, Proof(fact), **more)


CLAIMS = [
    claim("flow", "through a unit: the product of its factors f' w_s", "exact", product,
          checks=[Check("rcc", "y", "y", False, gains, range(1, 101))]),
    claim("bound", "decay for |w_s| < 4", "inequality", decay,
          checks=[Check("rcc", "y", "y", False, log10_bound, range(1, 101), "<=")],
          note="|w_s| = 4 is the same bound as |w_ij| < 4 in section 3.1; for a symmetric f (range -1/2 ... 1/2) f' is the same."),
    claim("input weights", "carried forward for a weight from an input", "exact", of_input, True),
    claim("self weight", "carried forward for the self-connection", "exact", of_itself, True),
]
