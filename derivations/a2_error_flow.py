r"""Appendix A.2: error flow inside a memory cell, equations (30)-(41).

Problem. How is an error scaled that enters cell c_j at its output at time t, stays for q steps, and leaves through the
input gate in_j or the cell's input? Printed result, with truncated backprop:

    (41)  d vartheta_v(t-q) / d vartheta_j(t) ~tr y^{out_j}(t) h'(s_{c_j}(t))
              * { g'(net_{c_j}(t-q)) y^{in_j}(t-q)            v = c_j
                { g(net_{c_j}(t-q)) f'_{in_j}(net_{in_j}(t-q))   v = in_j.

It is scaled on entry, at t, and on exit, at t-q; in between, for whatever q, not at all.

Setting. The forward pass of A.1, blocks of size 1. Units are of two kinds, each numbered from 1: gates and cells
l = 1..M, among them in_j, out_j, c_j; ordinary units i = 1..N. Net inputs read all units, but ordinary units do not
read gates. An error vartheta_x(t) is -dE/dx(t), all later effects of x(t) included; x is a net input but for vartheta_j
(output of c_j, (31)) and vartheta_{s_{c_j}} (state). Then the chain rule makes vartheta_x the sum, over the equations
that read x, of their direct derivative times their error.

Truncation (~tr): errors that reach a net input of a gate or cell go no further back, d net_l(t) / d y^u(t-1) ~tr 0.

Signs: partial d is the direct derivative of one equation, or of one error by another; upright d takes all paths within
the steps between. The paper writes one sign for both; under truncation ds(t)/ds(t-1) is 1 in either sense.

Results. (30)-(41) hold. (37) does need its ~tr: y^{in_j}(t) is also read by gates and cells at t+1. Without truncation
the one-step factors (30) do not chain.
"""

import numpy as np
import sympy
from sympy import Eq, Integer, KroneckerDelta, Piecewise, Product, Sum

from flowcheck.claims import (
    HYPOTHESIS,
    Cases,
    Check,
    Claim,
    Differentiate,
    Given,
    Induction,
    LocalDerivative,
    Proof,
    Step,
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
from flowcheck.notation import ROUTINES, g, h, sigma

i, l, u, v, M, N = indices("i l u v M N")
in_j, out_j, c_j = indices("in_j out_j c_j")
q, m = lag("q m")
k, a = sympy.symbols("k a", integer=True)  # steps back from t; k = -1 is t+1

w = quantity("w", "w_{{{0} {1}}}")
net, net_o = (quantity(name, r"\mathrm{{net}}_{{{0}}}({1:t})") for name in ("net", "net_o"))  # _o: ordinary units
y, y_o = (quantity(name, "y^{{{0}}}({1:t})") for name in ("y", "y_o"))
s = quantity("s", "s_{{c_j}}({0:t})")
slope = quantity("slope", r"f'_{{{0}}}(\mathrm{{net}}_{{{0}}}({1:t}))")
theta, theta_o = (quantity(name, r"\vartheta_{{{0}}}({1:t})") for name in ("theta", "theta_o"))
theta_j = quantity("theta_j", r"\vartheta_{{j}}({0:t})")
theta_s = quantity("theta_s", r"\vartheta_{{s_{{c_j}}}}({0:t})")
theta_y = quantity("theta_y", r"\vartheta_{{y^{{{0}}}}}({1:t})")
theta_e = quantity("theta_e", r"\vartheta^{{e}}_{{{0}}}({1:t})")


def now(fact):
    """The fact at time t."""
    return fact.at({k: 0})


def over_all(ordinary, gates_and_cells):
    """Sum over all units, of terms in i (ordinary) and in l (gates and cells)."""
    return Sum(ordinary, (i, 1, N)) + Sum(gates_and_cells, (l, 1, M))


# Forward pass, A.1.


def forward(words, lhs, rhs, *others):
    """An equation of the forward pass, for every time step."""
    return Given(words, lhs, rhs, forall=(k, *others))


eq_net = forward("(7)-(9) net_u(t) = sum over all units", net(u, k), over_all(w(u, i) * y_o(i, k + 1), w(u, l) * y(l, k + 1)), u)
eq_net_o = forward("(6) net_v(t) = sum over all units", net_o(v, k), over_all(w(v, i) * y_o(i, k + 1), w(v, l) * y(l, k + 1)), v)
eq_in = forward("(7) y^{in_j}(t) = f(net_{in_j}(t))", y(in_j, k), sigma(net(in_j, k)))
eq_out = forward("(8) y^{out_j}(t) = f(net_{out_j}(t))", y(out_j, k), sigma(net(out_j, k)))
eq_s = forward("(9) s(t) = s(t-1) + y^{in_j}(t) g(net_{c_j}(t))", s(k), s(k + 1) + y(in_j, k) * g(net(c_j, k)))
eq_c = forward("(9) y^{c_j}(t) = y^{out_j}(t) h(s(t))", y(c_j, k), y(out_j, k) * h(s(k)))
eq_o = Given("(6) slope of an ordinary unit", partial(y_o(v, k), net_o(v, k)), slope(v, k), forall=(v, k))
of_s, of_c, of_in, of_out = map(LocalDerivative, (eq_s, eq_c, eq_in, eq_out))

one_by_one = "activations of one step are varied one by one"
apart = Given(one_by_one, partial(y(l, k), y(u, k)), KroneckerDelta(l, u), forall=(l, u, k))
apart_o = Given(one_by_one, partial(y_o(i, k), y_o(v, k)), KroneckerDelta(i, v), forall=(i, v, k))
mixed = Given(one_by_one, partial(y_o(i, k), y(u, k)), Integer(0), forall=(i, u, k))
mixed_o = Given(one_by_one, partial(y(l, k), y_o(v, k)), Integer(0), forall=(l, v, k))


def reads(receiver, equation, of, sender, *rules):
    """d net_receiver(t+1) / d y^sender(t) = w."""
    return Step("a net input reads each unit by one weight", partial(receiver(l, k - 1), sender(u, k)), w(l, u),
                (Differentiate(equation, (y, y_o)), *rules, pick), forall=(l, u, k))


weight = (reads(net, eq_net, y, y, apart, mixed), reads(net_o, eq_net_o, y, y, apart, mixed),
          reads(net, eq_net, y_o, y_o, apart_o, mixed_o), reads(net_o, eq_net_o, y_o, y_o, apart_o, mixed_o))
truncation = tuple(Given("truncation: d net_l(t) / d y^u(t-1) ~tr 0 for gates and cells l", partial(net(l, k), unit(u, a)),
                         Integer(0), forall=(l, u, k, a)) for unit in (y, y_o))
gates_inside = tuple(Given("gates feed gates and cells only (section 4)", partial(net_o(i, k), y(gate, a)), Integer(0),
                           forall=(i, k, a)) for gate in (in_j, out_j))
truncated = (*truncation, *weight)


# Errors, by the chain rule over the equations that read a variable.


def chain_rule(words, lhs, rhs, *others):
    """The error of a variable from those of its readers."""
    return Given(f"chain rule: {words}", lhs, rhs, forall=(k, *others), lemma=True)


def next_step(sender):
    """What all net inputs at t+1 send back to y^sender(t)."""
    return over_all(partial(net_o(i, k - 1), sender) * theta_o(i, k - 1), partial(net(l, k - 1), sender) * theta(l, k - 1))


at_output = chain_rule("y^{c_j}(t) is read by net inputs at t+1", theta_j(k), next_step(y(c_j, k)))
at_y_out = chain_rule("y^{out_j}(t) is read by y^{c_j}(t) and net inputs at t+1", theta_y(out_j, k),
                      partial(y(c_j, k), y(out_j, k)) * theta_j(k) + next_step(y(out_j, k)))
at_y_in = chain_rule("y^{in_j}(t) is read by s(t) and net inputs at t+1", theta_y(in_j, k),
                     partial(s(k), y(in_j, k)) * theta_s(k) + next_step(y(in_j, k)))
at_out = chain_rule("net_{out_j}(t) is read by y^{out_j}(t)", theta(out_j, k),
                    partial(y(out_j, k), net(out_j, k)) * theta_y(out_j, k))
at_in = chain_rule("net_{in_j}(t) is read by y^{in_j}(t)", theta(in_j, k), partial(y(in_j, k), net(in_j, k)) * theta_y(in_j, k))
at_c = chain_rule("net_{c_j}(t) is read by s(t)", theta(c_j, k), partial(s(k), net(c_j, k)) * theta_s(k))
at_s = chain_rule("s(t) is read by s(t+1) and y^{c_j}(t)", theta_s(k),
                  partial(s(k - 1), s(k)) * theta_s(k - 1) + partial(y(c_j, k), s(k)) * theta_j(k))
at_ordinary = chain_rule("y^v(t) of an ordinary unit is read by net inputs at t+1", theta_e(v, k),
                         partial(y_o(v, k), net_o(v, k)) * next_step(y_o(v, k)), v)
injected = quantity("injected", r"e_{{{0}}}({1:t})")  # what a target adds at an output unit; depends on no other error
ordinary = Given("ordinary units have external error only, and what targets inject",
                 theta_o(v, k), theta_e(v, k) + injected(v, k), forall=(v, k))

# (30)

within_step = "of the activations at t-k-1 only y^{c_j} depends on s at that step, by (9)"
sources = Given(within_step, total(y(l, k), s(k)), KroneckerDelta(l, c_j) * y(out_j, k) * h.slope(s(k)), forall=(l, k))
sources_o = Given(within_step, total(y_o(i, k), s(k)), Integer(0), forall=(i, k))
itself = Given("dx/dx = 1", total(s(k), s(k)), Integer(1), forall=(k,))
through_s, through_in = Differentiate(eq_s, (s, y, net)), Differentiate(eq_in, (net,))
through_net = Differentiate(eq_net, (y, y_o))
before = s(k + 1)
eq_30_brackets = (1 + total(y(in_j, k), before) * g(net(c_j, k)) + y(in_j, k) * g.slope(net(c_j, k)) * total(net(c_j, k), before))
eq_30_factor = 1 + y(out_j, k + 1) * h.slope(before) * (
    w(in_j, c_j) * sigma.slope(net(in_j, k)) * g(net(c_j, k)) + w(c_j, c_j) * y(in_j, k) * g.slope(net(c_j, k)))
brackets = Step("(30), first line", total(s(k), before), eq_30_brackets, (through_s, itself), forall=(k,))
one_step = chain("(30), no truncation", total(s(k), before), equal("first line", eq_30_brackets, brackets),
                 equal("all paths within the step", eq_30_factor, through_in, through_net, sources, sources_o, pick), forall=(k,))
cut_nets = Given("truncation: net inputs of gates and cells pass nothing on", total(net(l, k), s(a)), Integer(0),
                 forall=(l, k, a))
one_step_truncated = chain("(30), truncated", total(s(k), before), equal("first line", eq_30_brackets, brackets),
                           equal("truncation", Integer(1), through_in, cut_nets), forall=(k,))

# Without truncation the factors do not chain: gates carry state past s. One block alone, two steps.

other = quantity("x", "x_{{{0}}}({1:t})")  # what inputs, biases and other units add
eq_net_alone = forward("(7)-(9) for one block alone", net(u, k),
                       sum(w(u, unit) * y(unit, k + 1) for unit in (c_j, in_j, out_j)) + other(u, k), u)
through_alone, through_out = Differentiate(eq_net_alone, (y,)), Differentiate(eq_out, (net,))
through_c = Differentiate(eq_c, (s, y))


def gain(u):
    """d s(t) / d y^u(t-1): through the input gate and through the cell's input."""
    return w(in_j, u) * sigma.slope(net(in_j, 0)) * g(net(c_j, 0)) + w(c_j, u) * y(in_j, 0) * g.slope(net(c_j, 0))


leaving = y(out_j, 2) * h.slope(s(2))
past_s = leaving * (gain(in_j) * w(in_j, c_j) * sigma.slope(net(in_j, 1))
                    + (gain(out_j) + gain(c_j) * h(s(1))) * w(out_j, c_j) * sigma.slope(net(out_j, 1)))
factor_alone = eq_30_factor.subs(k, 0) * total(s(1), s(2))
no_gates = Given("gates of step t-2 do not depend on s(t-2)", total(y(out_j, 2), s(2)), Integer(0))
no_gates_in = Given("gates of step t-2 do not depend on s(t-2)", total(y(in_j, 2), s(2)), Integer(0))
y_2 = Step("y^{c_j}(t-2)", total(y(c_j, 2), s(2)), leaving, (through_c, itself, no_gates))
two_steps = Step("(30) over two steps", total(s(0), s(2)), factor_alone + past_s, (
    through_s, through_in, through_alone, through_c, through_in, through_out, through_alone, y_2, no_gates, no_gates_in))

# (31)-(37)

eq_31 = over_all(w(i, c_j) * theta_o(i, k - 1), w(l, c_j) * theta(l, k - 1))
output_error = Step("(31)", theta_j(k), eq_31, (at_output, *weight), forall=(k,))
output_error_truncated = Step("(31), truncated", theta_j(k), Sum(w(i, c_j) * theta_o(i, k - 1), (i, 1, N)),
                              (at_output, *truncated), forall=(k,))
out_error_cut = Step("error of y^{out_j}", theta_y(out_j, k), h(s(k)) * theta_j(k),
                     (at_y_out, of_c, *gates_inside, *truncation), forall=(k,))
in_error_cut = Step("error of y^{in_j}", theta_y(in_j, k), g(net(c_j, k)) * theta_s(k),
                    (at_y_in, of_s, *gates_inside, *truncation), forall=(k,))
out_error = Step("(32)", theta(out_j, k), sigma.slope(net(out_j, k)) * h(s(k)) * theta_j(k), (at_out, of_out, out_error_cut),
                 forall=(k,))
in_error = Step("(37)", theta(in_j, k), sigma.slope(net(in_j, k)) * g(net(c_j, k)) * theta_s(k), (at_in, of_in, in_error_cut),
                forall=(k,))
in_error_full = Step(
    "(37), no truncation", theta(in_j, k),
    sigma.slope(net(in_j, k)) * (g(net(c_j, k)) * theta_s(k) + Sum(w(l, in_j) * theta(l, k - 1), (l, 1, M))),
    (at_in, of_in, at_y_in, of_s, *gates_inside, *weight), forall=(k,))
cell_error = Step("(36)", theta(c_j, k), g.slope(net(c_j, k)) * y(in_j, k) * theta_s(k), (at_c, of_s), forall=(k,))
state_error = Step("(33)", theta_s(k), theta_s(k - 1) + y(out_j, k) * h.slope(s(k)) * theta_j(k), (at_s, of_s, of_c), forall=(k,))
errors = (theta, theta_o, theta_e, theta_s, theta_j)
later_first = tuple(
    Given("backward pass: an error at a later step does not depend on one at an earlier step", partial(late, early), Integer(0),
          forall=(v, k, a), where=(a > k,))
    for early in (theta_s(a), theta_j(a)) for late in (theta_o(v, k), theta(v, k), theta_s(k)))
back = tuple(Differentiate(e, errors) for e in (ordinary, at_ordinary))
ordinary_later = tuple(
    Step("an ordinary unit's error is made of errors one step later", partial(theta_o(v, k), error(k)), Integer(0),
         (*back, *later_first), forall=(v, k)) for error in (theta_s, theta_j))
eq_34 = partial(theta_j(k), theta_s(k - 1))
from_outside = Step("(34)", eq_34, Integer(0), (Differentiate(output_error_truncated, errors), *ordinary_later), forall=(k,))
unscaled = Step("(35)", partial(theta_s(k), theta_s(k - 1)), Integer(1), (
    Differentiate(state_error, errors), from_outside,
    Given("an error is itself", partial(theta_s(k), theta_s(k)), Integer(1), forall=(k,))), forall=(k,))

# (38), (39)

external = Step("(38)", theta_e(v, k), slope(v, k) * over_all(w(i, v) * theta_o(i, k - 1), w(l, v) * theta(l, k - 1)),
                (at_ordinary, eq_o, *weight), forall=(v, k))
external_truncated = Step("(38), truncated", theta_e(v, k), slope(v, k) * Sum(w(i, v) * theta_o(i, k - 1), (i, 1, N)),
                          (at_ordinary, eq_o, *truncated), forall=(v, k))
no_external = Step("(39)", partial(theta_e(v, 1), theta_j(0)), Integer(0),
                   (Differentiate(external_truncated, errors), *ordinary_later), forall=(v,))

# (40), (41): q steps inside the cell.


def flow(error):
    """d error / d vartheta_j(t)"""
    return partial(error, theta_j(0))


outside = Induction(
    "no error that entered at c_j is ever outside of it", flow(theta_o(v, q)), Integer(0), q, start=0, forall=(v, q),
    base=Step("at t", flow(theta_o(v, q)), Integer(0), ordinary_later),
    step=Step("one step more", flow(theta_o(v, q)), Integer(0),
              (Differentiate(ordinary, errors), Differentiate(external_truncated, errors), HYPOTHESIS)))
entry = y(out_j, 0) * h.slope(s(0))
itself_j = Given("an error is itself", flow(theta_j(0)), Integer(1))
inside = Differentiate(state_error, errors)
at_entry = Step("(40), q = 0", flow(theta_s(0)), partial(y(c_j, 0), s(0)), (inside, itself_j, *later_first), right=(of_c,))
output_again = Step("nothing comes back to the output of c_j", flow(theta_j(q)), Integer(0),
                    (Differentiate(output_error_truncated, errors), outside), forall=(q,), where=(q > 0,))
one_step_inside = Step("(40), q > 0", flow(theta_s(q)), partial(s(q - 1), s(q)) * flow(theta_s(q - 1)),
                       (inside, output_again), forall=(q,), where=(q > 0,), right=(of_s,))
state_flow = Piecewise((at_entry.rhs, Eq(q, 0)), (one_step_inside.rhs, q > 0))
eq_40 = Cases("(40)", flow(theta_s(q)), state_flow, (at_entry, one_step_inside))

factors = Product(partial(s(m - 1), s(m)), (m, 1, q)) * partial(y(c_j, 0), s(0))
product_of_factors = Induction(
    "(40) unrolled", flow(theta_s(q)), factors, q, start=0, forall=(q,),
    base=Step("q = 0", flow(theta_s(q)), factors, (at_entry,), right=(last_factor,)),
    step=Step("one factor more", flow(theta_s(q)), factors, (one_step_inside, HYPOTHESIS), right=(last_factor,)))
constant_inside = Induction(
    "(40) for every q", flow(theta_s(q)), entry, q, start=0, forall=(q,),
    base=Step("q = 0", flow(theta_s(q)), entry, (at_entry, of_c)),
    step=Step("a factor of 1 more", flow(theta_s(q)), entry, (one_step_inside, of_s, HYPOTHESIS)))

leave_by_cell = Step("v = c_j", flow(theta(v, q)), entry * g.slope(net(c_j, q)) * y(in_j, q),
                     (Differentiate(cell_error, errors), constant_inside))
leave_by_gate = Step("v = in_j", flow(theta(v, q)), entry * g(net(c_j, q)) * sigma.slope(net(in_j, q)),
                     (Differentiate(in_error, errors), constant_inside))
eq_41 = Piecewise((leave_by_cell.rhs, Eq(v, c_j)), (leave_by_gate.rhs, Eq(v, in_j)), evaluate=False)
cell_flow = Cases("(41)", flow(theta(v, q)), eq_41, (leave_by_cell, leave_by_gate))

# Numbers: d sender(t) / d receiver(t-q) [sender unit, receiver unit], cell lstm1997, blocks of any size.


def at(values, name, q=0):
    """A vector at time t-q."""
    return values[name][-1 - q]


def of_cell(values, gate):
    """A gate's value for each of its cells."""
    return np.repeat(gate, values["s"].shape[1] // values["net_in"].shape[1])


def entry_scale(values, q=0):
    """y^{out_j}(t-q) h'(s_{c_j}(t-q)), one number per cell."""
    return of_cell(values, at(values, "y_out", q)) * ROUTINES["h_prime"](at(values, "s", q))


def flow_to_state(values, q):
    """(40): y^{out_j}(t) h'(s_{c_j}(t)) on the diagonal."""
    return np.diag(entry_scale(values))


def flow_to_cell_input(values, q):
    """(41), v = c_j."""
    return np.diag(entry_scale(values) * ROUTINES["g_prime"](at(values, "net_c", q)) * of_cell(values, at(values, "y_in", q)))


def flow_to_input_gate(values, q):
    """(41), v = in_j: cell by block."""
    blocks = values["net_in"].shape[1]
    scale = entry_scale(values) * ROUTINES["g"](at(values, "net_c", q))
    own_block = np.repeat(np.eye(blocks), len(scale) // blocks, axis=0)
    return scale[:, None] * own_block * ROUTINES["sigma_prime"](at(values, "net_in", q))


def identity(values, q):
    """(35) over q steps."""
    return np.eye(values["s"].shape[1])


def one_step_factor(values, q):
    """(30) without truncation, for every pair of cells i, j: delta_ij + ..."""
    block = np.repeat(np.arange(values["net_in"].shape[1]), values["s"].shape[1] // values["net_in"].shape[1])
    through_gate = ROUTINES["sigma_prime"](at(values, "net_in"))[block] * ROUTINES["g"](at(values, "net_c"))
    through_input = of_cell(values, at(values, "y_in")) * ROUTINES["g_prime"](at(values, "net_c"))
    reaches = values["W_in_y"][block] * through_gate[:, None] + values["W_c_y"] * through_input[:, None]
    return np.eye(len(block)) + reaches * entry_scale(values, 1)


def check(sender, receiver, evaluate, truncated=True, lags=range(1, 101)):
    """A check of the memory cells of 1997."""
    return Check("lstm1997", sender, receiver, truncated, evaluate, lags)


def claim(number, title, status, printed, fact, checks=(), note="", name=""):
    """A claim of A.2 at time t; the journal counts two less than the preprint."""
    derived = Eq(fact.lhs, fact.rhs, evaluate=False)
    return Claim(name or str(number), f"A.{number - 2}", "A.2", title, status, derived if printed else None, derived,
                 Proof(fact), note=note, checks=checks)


CLAIMS = [
    claim(30, "one step of the state, no truncation: first line", "exact", True, now(brackets), name="30 first line"),
    claim(30, "one step of the state, no truncation: weights put in", "exact", False, now(one_step), name="30 no truncation",
          checks=[check("s", "s", one_step_factor, False, range(1, 2))],
          note="Of all units only c_j depends on s_{c_j} within the step."),
    claim(30, "one step of the state", "truncated", True, now(one_step_truncated)),
    claim(30, "factors of (30) do not chain", "exact", False, two_steps, name="30 two steps",
          note="One block alone. Without truncation gates carry state past s_{c_j}: what is added to the product of the two "
               "factors is zero only if the weights from c_j to its gates are, or those from its gates on."),
    claim(31, "error at the output of c_j", "exact", True, now(output_error),
          note="Redefinition of vartheta_j: without f'. Sums run over ordinary units i and over gates and cells l."),
    claim(32, "error at the output gate", "truncated", True, now(out_error)),
    claim(33, "error of the state", "exact", True, now(state_error),
          note="With ds(t+1)/ds(t) the direct derivative of (9), which is 1; with the factor (30) the way over y^{c_j}(t) would "
               "count twice. Under truncation the two agree."),
    claim(34, "no error comes back from outside", "truncated", True, now(from_outside)),
    claim(35, "no scaling within the state", "truncated", True, now(unscaled), checks=[check("s", "s", identity)]),
    claim(36, "error at the input of c_j", "exact", True, now(cell_error)),
    claim(37, "error at the input gate", "truncated", True, now(in_error),
          note="The ~tr is needed, where (36) is exact: y^{in_j}(t) is also read by gates and cells at t+1."),
    claim(37, "error at the input gate, no truncation", "exact", False, now(in_error_full), name="37 no truncation"),
    claim(38, "external error", "exact", True, now(external)),
    claim(39, "no external error flow", "truncated", True, no_external),
    claim(40, "error flow within the cell", "truncated", True, eq_40),
    claim(40, "error flow within the cell, unrolled", "truncated", True, product_of_factors, name="40 product"),
    claim(40, "error flow within the cell, every factor 1", "truncated", True, constant_inside, name="40 every lag",
          checks=[check("y", "s", flow_to_state)]),
    claim(41, "error flow from output to input", "truncated", True, cell_flow,
          checks=[check("y", "net_c", flow_to_cell_input), check("y", "net_in", flow_to_input_gate)],
          note="Scaled at t and at t-q only: no factor depends on the lag."),
]
