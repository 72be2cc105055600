r"""Gers, Schraudolph & Schmidhuber 2002, "Learning precise timing": what peepholes add to the flow inside a cell.

Problem. Gates of a block see the states of its cells v = 1..S: input and forget gate the old ones, the output gate the
new ones; h is dropped.

    net_l(t) = sum_u w_lu y^u(t-1) + sum_v w_{l c^v} s_{c^v}(t-1)      l = in, phi
    s_{c^v}(t) = y^phi(t) s_{c^v}(t-1) + y^in(t) g(net_{c^v}(t))
    net_out(t) = sum_u w_{out u} y^u(t-1) + sum_v w_{out c^v} s_{c^v}(t),    y^{c^v}(t) = y^out(t) s_{c^v}(t)

Printed for the weights of the peepholes (section on training), with the truncation of 1997, by which no error leaves
through a peephole either:

    ds_{c^v}(t)/dw_{in c^x}  ~tr y^phi(t) ds_{c^v}(t-1)/dw_{in c^x}  + g(net_{c^v}(t)) f'_in(net_in(t)) s_{c^x}(t-1)
    ds_{c^v}(t)/dw_{phi c^x} ~tr y^phi(t) ds_{c^v}(t-1)/dw_{phi c^x} + s_{c^v}(t-1) f'_phi(net_phi(t)) s_{c^x}(t-1)
    Delta w_{out c^x}(t) = alpha delta_out(t) s_{c^x}(t)

One block is written, without its index j; all blocks are alike, for every size S.

Results. The printed forms hold. Truncated flow is the product of the forget gates, as without peepholes. What truncation
leaves out is short: with errors through y^u(t-1) cut and the peepholes open, one step is

    ds_{c^v}(t)/ds_{c^x}(t-1) = delta_vx y^phi(t) + s_{c^v}(t-1) f'_phi(net_phi(t)) w_{phi c^x}
                                + g(net_{c^v}(t)) f'_in(net_in(t)) w_{in c^x},

which mixes the cells of a block: q steps are a sum over all paths through its S cells, for S = 1 a product. A cell with
f'_phi = f'_in = 0 (closed or open gates, not half open) has the flow of a cell without peepholes.
"""

import numpy as np
import sympy
from sympy import Eq, Integer, KroneckerDelta, Lambda, Product, Sum

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
    last_factor,
    last_index,
    partial,
    pick,
    pick_terms,
    quantity,
    total,
)
from flowcheck.notation import g, sigma

v, x, u, i, a, b, n, S = indices("v x u i a b n S")
t, r = sympy.symbols("t r", integer=True)
q, m = lag("q m")
alpha = sympy.Symbol("alpha", positive=True)

s, net_c = quantity("s", "s_{{c^{{{0}}}}}({1})"), quantity("net_c", r"\mathrm{{net}}_{{c^{{{0}}}}}({1})")
y, y_c = quantity("y", "y^{{{0}}}({1})"), quantity("y_c", "y^{{c^{{{0}}}}}({1})")
LETTERS = {"in": r"\mathrm{{in}}", "phi": r"\varphi", "out": r"\mathrm{{out}}"}


def of_gates(name, template):
    """One quantity for each of the three gates; GATE in the template is its letter."""
    return (quantity(f"{name}_{gate}", template.replace("GATE", letter)) for gate, letter in LETTERS.items())


net_in, net_phi, net_out = of_gates("net", r"\mathrm{{net}}_{{GATE}}({0})")
y_in, y_phi, y_out = of_gates("y", "y^{{GATE}}({0})")
w_in, w_phi, w_out = of_gates("w", "w_{{GATE {0}}}")
p_in, p_phi, p_out = of_gates("p", "w_{{GATE c^{{{0}}}}}")
w_c = quantity("w_c", "w_{{c^{{{0}}} {1}}}")
E = quantity("E", "E({0})")

# Forward pass.


def gate_net(net, w, p, state_time):
    """Net input of a gate with peepholes."""
    return Given("net input of a gate with peepholes", net(t), Sum(w(u) * y(u, t - 1), (u, 1, n))
                 + Sum(p(x) * s(x, state_time), (x, 1, S)), forall=(t,))


eq_net_in, eq_net_phi = gate_net(net_in, w_in, p_in, t - 1), gate_net(net_phi, w_phi, p_phi, t - 1)
eq_net_out = gate_net(net_out, w_out, p_out, t)
eq_net_c = Given("net input of a cell", net_c(v, t), Sum(w_c(v, u) * y(u, t - 1), (u, 1, n)), forall=(v, t))
eq_in, eq_phi, eq_out = (Given("a gate is logistic", gate(t), sigma(net(t)), forall=(t,))
                         for gate, net in ((y_in, net_in), (y_phi, net_phi), (y_out, net_out)))
eq_s = Given("s(t) = y^phi(t) s(t-1) + y^in(t) g(net_c(t))", s(v, t), y_phi(t) * s(v, t - 1) + y_in(t) * g(net_c(v, t)), forall=(v, t))
eq_start = Given("s(0) = 0", s(v, 0), Integer(0), forall=(v,))
eq_c = Given("y^c(t) = y^out(t) s(t)", y_c(v, t), y_out(t) * s(v, t), forall=(v, t))
through_s = Differentiate(eq_s, (s, y_in, y_phi, net_c))
through_gates = tuple(Differentiate(eq, (net,)) for eq, net in ((eq_in, net_in), (eq_phi, net_phi)))
nets = (net_in, net_phi)

# What moves a net input: chain rule over what it reads. What of it is cut is said by `no_outputs` and `no_peepholes`.


def reads(source, *forall, own=True):
    """Chain rule for the net inputs of in, phi and cells; `own`: a gate reads the source, a weight, itself."""
    def moved(node, terms):
        return Given("chain rule: a net input reads weights, units and states", total(node, source), terms, forall=forall, lemma=True)

    def through_units(node):
        return Sum(partial(node, y(u, r - 1)) * total(y(u, r - 1), source), (u, 1, n))
    return (moved(net_c(v, r), through_units(net_c(v, r))), *(
        moved(net(r), (partial(net(r), source) if own else 0) + through_units(net(r))
              + Sum(partial(net(r), s(a, r - 1)) * total(s(a, r - 1), source), (a, 1, S))) for net in nets))


no_outputs = tuple(Given("truncation: d net(t) / d y^u(t-1) ~tr 0", partial(node, y(u, r - 1)), Integer(0), forall=(v, u, r))
                   for node in (net_c(v, r), net_out(r), *(net(r) for net in nets)))
no_peepholes = tuple(Given("truncation: no error leaves through a peephole", partial(net(r), s(a, r - 1)), Integer(0), forall=(a, r))
                     for net in nets)
apart = Given("states of one step are varied one by one", partial(s(v, r), s(x, r)), KroneckerDelta(v, x), forall=(v, x, r))
peephole = tuple(Step("a peephole is one weight", partial(net(r), s(a, r - 1)), p(a), (Differentiate(eq, (s,)), apart, pick),
                      forall=(a, r)) for net, p, eq in ((net_in, p_in, eq_net_in), (net_phi, p_phi, eq_net_phi)))
of_state = reads(s(x, t), v, r, x, t, own=False)


# The flow, truncated.


def flow(v, q):
    """ds_{c^v}(t+q) / ds_{c^x}(t)"""
    return total(s(v, t + q), s(x, t))


start = Given("states of one step are varied one by one", total(s(v, r), s(x, r)), KroneckerDelta(v, x), forall=(v, x, r))
gates = KroneckerDelta(v, x) * Product(y_phi(t + m), (m, 1, q))
one_step_truncated = Step("one step, truncated", total(s(v, r + 1), s(x, t)), y_phi(r + 1) * total(s(v, r), s(x, t)),
                          (through_s, *through_gates, *of_state, *no_outputs, *no_peepholes), forall=(v, r, x, t))
truncated_flow = Induction(
    "product of the forget gates", flow(v, q), gates, q, start=0, forall=(v, x, t, q),
    base=Step("no step", flow(v, q), gates, (start,), right=(last_factor,)),
    step=Step("one step more", flow(v, q), gates, (one_step_truncated, HYPOTHESIS), right=(last_factor,)))

# The flow with open peepholes.


def factor(v, x, t):
    """ds_{c^v}(t) / ds_{c^x}(t-1) with open peepholes."""
    return (KroneckerDelta(v, x) * y_phi(t) + s(v, t - 1) * sigma.slope(net_phi(t)) * p_phi(x)
            + g(net_c(v, t)) * sigma.slope(net_in(t)) * p_in(x))


opened = (through_s, *through_gates, *of_state, *no_outputs, *peephole)
further = Step("one step, open peepholes", total(s(v, r + 1), s(x, t)), Sum(factor(v, i, r + 1) * total(s(i, r), s(x, t)), (i, 1, S)),
               opened, right=(pick_terms,), forall=(v, r, x, t))
first = Step("the factor of one step", total(s(v, r + 1), s(x, r)), factor(v, x, r + 1), (further, start, pick_terms), forall=(v, r, x))
paths = PathSum(Lambda((a, b, m), factor(b, a, t + m)), x, v, q, S)
path_sum = Induction(
    "sum over all paths through the cells of the block", flow(v, q), paths, q, forall=(v, x, t, q),
    base=Step("one step", flow(v, q), paths, (first,), right=(last_index,)),
    step=Step("one step more", flow(v, q), paths, (further, HYPOTHESIS), right=(last_index,)))
saturated = tuple(Given("saturated gates: f' = 0", sigma.slope(net(r)), Integer(0), forall=(r,)) for net in nets)
no_slope = Step("saturated gates pass nothing", total(s(v, r + 1), s(x, r)), KroneckerDelta(v, x) * y_phi(r + 1), (first, *saturated),
                forall=(v, r, x))

# What is stored for the peepholes.


def stored(words, p, term):
    """ds_{c^v}(t) / dw of a peephole from c^x, truncated."""
    of_weight = reads(p(x), v, r, x)
    own = tuple(Differentiate(eq, (w,)) for eq, w in ((eq_net_in, p_in), (eq_net_phi, p_phi)))
    apart = Given("weights are varied one by one", partial(p(v), p(x)), KroneckerDelta(v, x), forall=(v, x))
    others = tuple(Given("weights are varied one by one", partial(other(v), p(x)), Integer(0), forall=(v, x))
                   for other in (p_in, p_phi) if other is not p)
    return Step(words, total(s(v, t), p(x)), y_phi(t) * total(s(v, t - 1), p(x)) + term,
                (through_s, *through_gates, *of_weight, *no_outputs, *no_peepholes, *own, apart, *others, pick), forall=(v, x, t))


into_in = stored("peephole into the input gate", p_in, g(net_c(v, t)) * sigma.slope(net_in(t)) * s(x, t - 1))
into_phi = stored("peephole into the forget gate", p_phi, s(v, t - 1) * sigma.slope(net_phi(t)) * s(x, t - 1))

# The output gate: errors e_v(t) = -dE(t)/dy^{c^v}(t) of the block's cells reach it within the step.

e, delta_out = quantity("e", "e_{{c^{{{0}}}}}({1})"), quantity("delta_out", r"\delta_{{\mathrm{{out}}}}({0})")
anything = sympy.Symbol("z")
of_E = Given("chain rule: E(t) reads the cells of the block", total(E(t), anything), -Sum(e(v, t) * total(y_c(v, t), anything), (v, 1, S)),
             forall=(t, anything), lemma=True)
through_out = (Differentiate(eq_c, (y_out, s)), Differentiate(eq_out, (net_out,)))
within = Given("within a step no state depends on the output gate", total(s(v, t), net_out(t)), Integer(0), forall=(v, t))
itself = Given("dx/dx = 1", total(net_out(t), net_out(t)), Integer(1), forall=(t,))
def_delta = Given("delta_out(t) = -dE(t)/dnet_out(t)", delta_out(t), -total(E(t), net_out(t)), forall=(t,))
gate_error = Step("error of the output gate", delta_out(t), sigma.slope(net_out(t)) * Sum(s(v, t) * e(v, t), (v, 1, S)),
                  (def_delta, of_E, *through_out, within, itself), forall=(t,))
no_state = total(s(v, t), p_out(x))
unmoved = Induction(
    "no state depends on peepholes into the output gate", no_state, Integer(0), t, start=0, forall=(v, x, t),
    base=Step("s(0) = 0", no_state, Integer(0), (Differentiate(eq_start, (s,)),)),
    step=Step("one step more", no_state, Integer(0), (
        through_s, *through_gates, *reads(p_out(x), v, r, x), *no_outputs, *no_peepholes,
        *(Differentiate(eq, (p_out,)) for eq in (eq_net_in, eq_net_phi)), HYPOTHESIS)))
chain_out = Given("chain rule: net_out(t) reads weights, units and the new states", total(net_out(t), p_out(x)),
                  partial(net_out(t), p_out(x))
                  + Sum(partial(net_out(t), y(u, t - 1)) * total(y(u, t - 1), p_out(x)), (u, 1, n))
                  + Sum(partial(net_out(t), s(a, t)) * total(s(a, t), p_out(x)), (a, 1, S)), forall=(t, x), lemma=True)
one_weight = Given("weights are varied one by one", partial(p_out(v), p_out(x)), KroneckerDelta(v, x), forall=(v, x))
change_out = Step("peephole into the output gate", -alpha * total(E(t), p_out(x)), alpha * delta_out(t) * s(x, t), (
    of_E, *through_out, chain_out, unmoved, *no_outputs, Differentiate(eq_net_out, (p_out,)), one_weight, pick),
    right=(gate_error,), forall=(t, x), where=(t >= 0,))


def gates_over(values, q):
    """prod_{m=0}^{q-1} y^phi(t-m) on the diagonal."""
    gates = values["y_f"]
    return np.diag(gates[len(gates) - q:].prod(axis=0))


def claim(id, title, status, fact, printed=False, **more):
    """A claim of the publication, or a finding."""
    derived = Eq(fact.lhs, fact.rhs, evaluate=False)
    return Claim(f"Gers 2002 {id}", "", "Gers 2002", title, status, derived if printed else None, derived, Proof(fact), **more)


CLAIMS = [
    claim("flow", "truncated: the product of the forget gates, as without peepholes", "truncated", truncated_flow,
          checks=[Check("lstm_peephole", "s", "s", True, gates_over, range(1, 101))]),
    claim("one step", "one step with open peepholes", "truncated", first,
          note="Cut are the errors through y^u(t-1) only. Exact for a block whose outputs feed no gate and no cell."),
    claim("paths", "q steps with open peepholes", "truncated", path_sum,
          note="A path may change cells at every step, as each cell's state moves the gates of its whole block. For S = 1 there is one "
               "path: a product of q factors."),
    claim("saturated", "saturated gates hide the peepholes", "truncated", no_slope),
    claim("into in", "stored for a peephole into the input gate", "truncated", into_in, True),
    claim("into phi", "stored for a peephole into the forget gate", "truncated", into_phi, True),
    claim("delta out", "error of the output gate", "exact", gate_error),
    claim("into out", "change of a peephole into the output gate", "truncated", change_out, True),
]
