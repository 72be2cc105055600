r"""Appendix A.2: one step of the state of a memory cell, equation (30).

Problem. What becomes of a change of s_{c_j}(t-1) in s_{c_j}(t)? Printed, no truncation, then with it:

    (30)  ds(t-k)/ds(t-k-1) = 1 + [dy^{in_j}(t-k)/ds(t-k-1)] g(net_{c_j}(t-k)) + y^{in_j}(t-k) g'(net_{c_j}(t-k)) dnet_{c_j}(t-k)/ds(t-k-1)
                            = 1 + sum_u [dy^{in_j}(t-k)/dy^u(t-k-1) dy^u(t-k-1)/ds(t-k-1)] g(net_{c_j}(t-k))
                                + y^{in_j}(t-k) g'(net_{c_j}(t-k)) sum_u [dnet_{c_j}(t-k)/dy^u(t-k-1) dy^u(t-k-1)/ds(t-k-1)]
                            ~tr 1

Setting of all pages on A.2. The forward pass of A.1, blocks of size 1. Units are of two kinds, each numbered from 1: gates
and cells l = 1..M, among them in_j, out_j, c_j; ordinary units i = 1..N. Net inputs read all units, but ordinary units do
not read gates.

Signs: partial d is the direct derivative of one equation, or of one error by another; upright d takes all paths within the
steps between. The paper writes one sign for both; under truncation ds(t)/ds(t-1) is 1 in either sense.

Truncation (~tr): errors that reach a net input of a gate or cell go no further back, d net_l(t) / d y^u(t-1) ~tr 0.

Results. (30) holds. Without truncation the factor is 1 + y^{out_j}(t-1) h'(s(t-1)) [...], and the factors do not chain: gates
carry state past s_{c_j}, so over two steps more is added than their product.
"""

import numpy as np
import sympy
from sympy import Eq, Integer, KroneckerDelta, Sum

from flowcheck.claims import (
    Check,
    Claim,
    Differentiate,
    Given,
    LocalDerivative,
    Proof,
    Step,
    chain,
    equal,
    indices,
    lag,
    partial,
    pick,
    quantity,
    total,
)
from flowcheck.notation import ROUTINES, g, h, sigma

from ._memory_cell_numbers import error_at_state, of_cell

i, j, l, u, v, M, N = indices("i j l u v M N")  # noqa: E741  (the paper's letters)
in_j, out_j, c_j = indices("in_j out_j c_j")
q, m = lag("q m")
k, a = sympy.symbols("k a", integer=True)  # steps back from t; k = -1 is t+1

w = quantity("w", "w_{{{0} {1}}}")
net, net_o = (quantity(name, r"\mathrm{{net}}_{{{0}}}({1:t})") for name in ("net", "net_o"))  # _o: ordinary units
y, y_o = (quantity(name, "y^{{{0}}}({1:t})") for name in ("y", "y_o"))
s = quantity("s", "s_{{c_j}}({0:t})")
slope = quantity("slope", r"f'_{{{0}}}(\mathrm{{net}}_{{{0}}}({1:t}))")


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
held_in = tuple(Given("chain rule: y^{in_j}(t) and net_{c_j}(t) depend on s(t-1) through the units of step t-1", total(of, before),
                      over_all(partial(of, y_o(i, k + 1)) * total(y_o(i, k + 1), before),
                               partial(of, y(l, k + 1)) * total(y(l, k + 1), before)), forall=(k,), lemma=True)
                for of in (y(in_j, k), net(c_j, k)))
second_line = Step(
    "(30), second line", total(s(k), before),
    1 + held_in[0].rhs * g(net(c_j, k)) + y(in_j, k) * g.slope(net(c_j, k)) * held_in[1].rhs, (brackets, *held_in), forall=(k,))
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


# Numbers, cell lstm1997, blocks of any size.


def identity(values, q):
    """(30), truncated, over q steps."""
    return np.eye(values["s"].shape[1])


def one_step_factor(values, q):
    """(30) without truncation, for every pair of cells i, j: delta_ij + ..."""
    blocks, cells = len(values["net_in"][-1]), len(values["s"][-1])
    block = np.repeat(np.arange(blocks), cells // blocks)
    through_gate = ROUTINES["sigma_prime"](values["net_in"][-1])[block] * ROUTINES["g"](values["net_c"][-1])
    through_input = of_cell(values, values["y_in"][-1]) * ROUTINES["g_prime"](values["net_c"][-1])
    reaches = values["W_in_y"][block] * through_gate[:, None] + values["W_c_y"] * through_input[:, None]
    before = {name: rows[:-1] for name, rows in values.items() if name in ("s", "y_out", "net_in")}
    return np.eye(cells) + reaches * error_at_state(before, np.ones(cells))


def check(sender, receiver, evaluate, truncated=True, lags=range(1, 101)):
    """A check of the memory cells of 1997."""
    return Check("lstm1997", sender, receiver, truncated, evaluate, lags)


def claim(number, title, status, printed, fact, checks=(), note="", name=""):
    """A claim of A.2 at time t; the journal counts two less than the preprint."""
    derived = Eq(fact.lhs, fact.rhs, evaluate=False)
    return Claim(f"{number} {name}".strip(), f"A.{number - 2}", "A.2", title, status, derived if printed else None, derived,
                 Proof(fact), note=note, checks=checks)


CLAIMS = [
    claim(30, "one step of the state, no truncation: first line", "exact", True, now(brackets), name="first line"),
    claim(30, "one step of the state, no truncation: second line", "exact", True, now(second_line), name="second line"),
    claim(30, "one step of the state, no truncation: weights put in", "exact", False, now(one_step), name="no truncation",
          checks=[check("s", "s", one_step_factor, False, range(1, 2))],
          note="Of all units only c_j depends on s_{c_j} within the step."),
    claim(30, "one step of the state", "truncated", True, now(one_step_truncated), checks=[check("s", "s", identity)]),
    claim(30, "factors of (30) do not chain", "exact", False, two_steps, name="two steps",
          note="One block alone. Without truncation gates carry state past s_{c_j}: what is added to the product of the two "
               "factors is zero only if the weights from c_j to its gates are, or those from its gates on."),
]
