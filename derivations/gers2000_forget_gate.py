r"""Gers, Schmidhuber & Cummins 2000, "Learning to forget": the flow inside a cell is the product of the forget gates.

Problem. A forget gate phi_j of block j scales what its cells c_j^v keep:

    net_l(t) = sum_u w_lu y^u(t-1)             l = in_j, phi_j, c_j^v
    s_{c_j^v}(0) = 0,    s_{c_j^v}(t) = y^{phi_j}(t) s_{c_j^v}(t-1) + y^{in_j}(t) g(net_{c_j^v}(t)).

How is an error scaled on its way from s(t+q) back to s(t)? What is stored for the weights? Section 3 of the publication
has, for the three classes of weights that move a state,

    ds(t)/dw_{c_j^v m}   ~tr y^{phi_j}(t) ds(t-1)/dw_{c_j^v m}   + g'(net_{c_j^v}(t)) y^{in_j}(t) y^m(t-1)
    ds(t)/dw_{in_j m}    ~tr y^{phi_j}(t) ds(t-1)/dw_{in_j m}    + g(net_{c_j^v}(t)) f'_{in_j}(net_{in_j}(t)) y^m(t-1)
    ds(t)/dw_{phi_j m}   ~tr y^{phi_j}(t) ds(t-1)/dw_{phi_j m}   + s(t-1) f'_{phi_j}(net_{phi_j}(t)) y^m(t-1).

Truncation (~tr), as in 1997: errors that reach a net input of a gate or cell go no further back.

Results, for every block, cell, step t and lag q. The flow is prod_{m=1}^q y^{phi_j}(t+m): the carousel where every gate is
1, exponential decay as soon as they stay below a bound < 1, and one closed gate stops all that was before it. The stored
derivatives hold; in closed form each input of step tau is scaled by the forget gates of the steps after tau.
"""

from itertools import combinations

import numpy as np
import sympy
from sympy import Eq, Integer, KroneckerDelta, Le, Product, Sum

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
    partial,
    pick,
    quantity,
    total,
)
from flowcheck.notation import g, sigma

j, v, l, m, u, p, x, n = indices("j v l m u p x n")  # noqa: E741  (the paper's letters)
t, r = sympy.symbols("t r", integer=True)
q, k = lag("q k")
phi_max = sympy.Symbol(r"y^{\varphi}_{max}", positive=True)


def unit(name, template):
    """Units of one kind, by their indices."""
    return quantity(name, template, integer=True, positive=True)


gate_in, gate_phi = unit("gate_in", r"\mathrm{{in}}_{{{0}}}"), unit("gate_phi", r"\varphi_{{{0}}}")
cell = unit("cell", "c_{{{0}}}^{{{1}}}")
in_j, phi_j, c = gate_in(j), gate_phi(j), cell(j, v)
w = quantity("w", "w_{{{0} {1}}}")
net = quantity("net", r"\mathrm{{net}}_{{{0}}}({1})")
y = quantity("y", "y^{{{0}}}({1})", nonnegative=True)
s = quantity("s", "s_{{c_{{{0}}}^{{{1}}}}}({2})")

# Forward pass.

eq_net = Given("net_l(t) = sum_u w_lu y^u(t-1)", net(l, t), Sum(w(l, u) * y(u, t - 1), (u, 1, n)), forall=(l, t))
eq_in = Given("y^{in_j}(t) = f(net_{in_j}(t))", y(in_j, t), sigma(net(in_j, t)), forall=(j, t))
eq_phi = Given("y^{phi_j}(t) = f(net_{phi_j}(t))", y(phi_j, t), sigma(net(phi_j, t)), forall=(j, t))
eq_s = Given("s(t) = y^{phi_j}(t) s(t-1) + y^{in_j}(t) g(net_{c_j^v}(t))", s(j, v, t),
             y(phi_j, t) * s(j, v, t - 1) + y(in_j, t) * g(net(c, t)), forall=(j, v, t))
through_s, through_in, through_phi = (Differentiate(eq_s, (s, y, net)), Differentiate(eq_in, (net,)),
                                      Differentiate(eq_phi, (net,)))

# The flow: product of the forget gates, by induction over q.


def flow(q):
    """ds(t+q) / ds(t)"""
    return total(s(j, v, t + q), s(j, v, t))


chain_state = Given("chain rule: net_l(t) reads units at t-1", total(net(l, r), s(j, v, t)),
                    Sum(partial(net(l, r), y(u, r - 1)) * total(y(u, r - 1), s(j, v, t)), (u, 1, n)), forall=(l, r, j, v, t), lemma=True)
truncation = Given("truncation: d net_l(t) / d y^u(t-1) ~tr 0 for gates and cells l", partial(net(l, t), y(u, t - 1)), Integer(0),
                   forall=(l, u, t))
cut = Step("a net input passes no error on", total(net(l, r), s(j, v, t)), Integer(0), (chain_state, truncation), forall=(l, r, j, v, t))
itself = Given("ds/ds = 1", total(s(j, v, r), s(j, v, r)), Integer(1), forall=(j, v, r))
one_step = Step("one step", total(s(j, v, r + 1), s(j, v, t)), y(phi_j, r + 1) * total(s(j, v, r), s(j, v, t)),
                (through_s, through_in, through_phi, cut), forall=(j, v, r, t))
gates = Product(y(phi_j, t + k), (k, 1, q))
product = Induction(
    "product of the forget gates", flow(q), gates, q, start=0, forall=(j, v, t, q),
    base=Step("no step", flow(q), gates, (itself,), right=(last_factor,)),
    step=Step("one step more", flow(q), gates, (one_step, HYPOTHESIS), right=(last_factor,)))

always_open = Given("every forget gate is 1", y(phi_j, r), Integer(1), forall=(j, r))
carousel = Induction(
    "open gates: the carousel", flow(q), Integer(1), q, start=0, forall=(j, v, t, q),
    base=Step("no step", flow(q), Integer(1), (itself,)),
    step=Step("one step more", flow(q), Integer(1), (one_step, HYPOTHESIS, always_open)))
below_max = Given("y^phi_max bounds the forget gates on the way", y(phi_j, r), phi_max, forall=(j, r), relation="<=")
decay = Induction(
    "decay", flow(q), phi_max ** q, q, start=0, forall=(j, v, t, q), relation="<=",
    base=Step("no step", flow(q), phi_max ** q, (itself,), "<="),
    step=chain("one step more", flow(q), equal("the last gate", y(phi_j, t + q) * flow(q - 1), one_step),
               below("the bound at q-1", y(phi_j, t + q) * phi_max ** (q - 1), HYPOTHESIS),
               below("the last gate is below the bound", phi_max ** q, below_max)))
closed_gate = Given("the forget gate is closed at step t+p, p >= 1", y(phi_j, t + p), Integer(0))
after = total(s(j, v, t + p + q), s(j, v, t))
forgotten = Induction(
    "a closed forget gate ends the flow", after, Integer(0), q, start=0, forall=(q,),
    base=Step("at the closed gate", after, Integer(0), (one_step, closed_gate)),
    step=Step("one step more", after, Integer(0), (one_step, HYPOTHESIS)))

# What is stored for the weights.


def by(node, weight=(l, m)):
    """d node / dw_lm, all paths."""
    return total(node, w(*weight))


different = tuple(
    Given("a unit is of one kind", KroneckerDelta(a, b), Integer(0), forall=tuple(a.free_symbols | b.free_symbols))
    for a, b in combinations((in_j, gate_phi(l), cell(p, x)), 2))
weights_apart = Given("weights are varied one by one", partial(w(x, u), w(l, m)),
                      KroneckerDelta(x, l) * KroneckerDelta(u, m), forall=(x, u, l, m))
chain_weight = Given("chain rule: net_x(t) reads weights, and units at t-1", by(net(x, t)), partial(net(x, t), w(l, m))
                     + Sum(partial(net(x, t), y(u, t - 1)) * by(y(u, t - 1)), (u, 1, n)), forall=(x, l, m, t), lemma=True)
net_cut = Step("dnet_x(t)/dw_lm ~tr", by(net(x, t)), KroneckerDelta(x, l) * y(m, t - 1),
               (chain_weight, truncation, Differentiate(eq_net, (w,)), weights_apart, pick), forall=(x, l, m, t))


def stored(receiver, term):
    """ds(t)/dw for the weights into one unit."""
    return Step(f"stored for w_{receiver} m", by(s(j, v, t), (receiver, m)), y(phi_j, t) * by(s(j, v, t - 1), (receiver, m)) + term,
                (through_s, through_in, through_phi, net_cut, *different, eq_in), right=(eq_in,), forall=(j, v, m, t))


of_cell = stored(c, g.slope(net(c, t)) * y(in_j, t) * y(m, t - 1))
of_in = stored(in_j, g(net(c, t)) * sigma.slope(net(in_j, t)) * y(m, t - 1))
of_phi = stored(phi_j, s(j, v, t - 1) * sigma.slope(net(phi_j, t)) * y(m, t - 1))


def gates_over(values, q):
    """prod_{m=0}^{q-1} y^{phi}(t-m) on the diagonal."""
    gates = values["y_f"]
    return np.diag(gates[len(gates) - q:].prod(axis=0))


def claim(id, title, status, fact, printed=False, **more):
    """A claim of the publication, or a finding."""
    derived = (Le if fact.relation == "<=" else Eq)(fact.lhs, fact.rhs, evaluate=False)
    return Claim(f"Gers 2000 {id}", "", "Gers 2000", title, status, derived if printed else None, derived, Proof(fact), **more)


CLAIMS = [
    claim("flow", "the flow is the product of the forget gates", "truncated", product,
          checks=[Check("lstm", "s", "s", True, gates_over, range(1, 101))]),
    claim("carousel", "gates of 1 make the cell of 1997", "truncated", carousel),
    claim("decay", "gates below a bound: exponential decay", "inequality", decay,
          note="With truncated flow. For a bound y^phi_max < 1 the flow vanishes; a gate that stays 1/2 halves it every step."),
    claim("closed", "a closed forget gate ends the flow", "truncated", forgotten),
    claim("cell weights", "stored for weights into a cell", "truncated", of_cell, True),
    claim("input gate weights", "stored for weights into the input gate", "truncated", of_in, True),
    claim("forget gate weights", "stored for weights into the forget gate", "truncated", of_phi, True,
          note="The new class: the old state s(t-1) stands where in_j has g(net_c(t))."),
]
