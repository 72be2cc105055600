r"""Appendix A.1: truncated backprop of memory cell blocks, equations (10)-(29), for every block size S.

Problem. What do the weights of gates, cells and ordinary units add to the error E(t) of one step, if errors that reach
a net input of the hidden layer go no further back? Printed, for cell v of block j and the weight w_lm from m to l:

    (11)-(13)  dy^l(t)/dw_lm ~tr f'_l(net_l(t)) y^m(t-1)      l = i, in_j, out_j; 0 for other weights
    (25)  ds(t)/dw_{in_j m} = ds(t-1)/dw_{in_j m} + g(net_{c_j^v}(t)) f'_{in_j}(net_{in_j}(t)) y^m(t-1)
    (27)  ds(t)/dw_{c_j^v m} = ds(t-1)/dw_{c_j^v m} + g'(net_{c_j^v}(t)) f_{in_j}(net_{in_j}(t)) y^m(t-1)
    (23)  e_s = f_{out_j}(net_{out_j}(t)) h'(s(t)) sum_k w_{k c_j^v} e_k(t)
    (26)  Delta w_{in_j m}(t) = alpha sum_v e_{s_{c_j^v}}(t) ds_{c_j^v}(t)/dw_{in_j m}
    (28)  Delta w_{c_j^v m}(t) = alpha e_{s_{c_j^v}}(t) ds_{c_j^v}(t)/dw_{c_j^v m}

Setting. Units of the hidden layer are ordinary units i, gates in_j, out_j and cells c_j^v. They read all units u = 1..n
of the step before; of these u = 1..N are no gates, and those the outputs k = 1..K read. Inputs are units too: y^u(t-1)
of an input unit is what is shown to the hidden layer when it computes step t. Upright d takes all paths, partial d is
the direct derivative of one equation.

Time. By A.1 outputs read y^u(t-1), but (20)-(28) join e_k(t) with h(s(t)). Both cannot be: with outputs one step later
E(t) does not depend on s(t). Reading A, the order of the experiments: outputs read y^u(t). (10) is derived with t-1 as
it is printed, (19)-(28) with reading A, in which (22) needs y^m(t) for l = k.

Truncation (~tr): d net_l(t) / d y^u(t-1) ~tr 0 for gates and cells, and for ordinary units too, as (11) has it.

Results. (11)-(15), (20), (21), (23), (25)-(28) hold for every t and S. (19) lacks the factor 2 of (16). With l a cell,
(24) is one term, not a sum. (29) holds, but the count of (22) needs K(H + CS) for its K(H + C).
"""

from itertools import combinations, product

import sympy
from sympy import Eq, Integer, KroneckerDelta, Le, Rational, Sum

from flowcheck.claims import (
    HYPOTHESIS,
    Claim,
    Counterexample,
    Differentiate,
    Given,
    Induction,
    Proof,
    Step,
    indices,
    last_term,
    one_unit,
    partial,
    pick_terms,
    quantity,
    total,
)
from flowcheck.notation import g, h, sigma

i, j, k, l, m, p, u, v, x = indices("i j k l m p u v x")
n, N, K, C, I, S = indices("n N K C I S")
H = sympy.Symbol("H", integer=True, nonnegative=True)
t = sympy.Symbol("t", integer=True)
tau = sympy.Symbol("tau", integer=True, positive=True)
alpha = sympy.Symbol("alpha", positive=True)
anything = sympy.Symbol("z")


def unit(name, template):
    """Units of one kind, by their indices."""
    return quantity(name, template, integer=True, positive=True)


hidden, output = unit("hidden", "{0}"), unit("output", "{0}")
gate_in, gate_out = unit("gate_in", r"\mathrm{{in}}_{{{0}}}"), unit("gate_out", r"\mathrm{{out}}_{{{0}}}")
cell = unit("cell", "c_{{{0}}}^{{{1}}}")
in_j, out_j, c = gate_in(j), gate_out(j), cell(j, v)
size = unit("size", "S_{{{0}}}")

w, step_of_w = quantity("w", "w_{{{0} {1}}}"), quantity("step_of_w", r"\Delta w_{{{0} {1}}}({2})")
net, net_k = (quantity(name, r"\mathrm{{net}}_{{{0}}}({1})") for name in ("net", "net_k"))  # _k: of the outputs
y, y_k = (quantity(name, "y^{{{0}}}({1})") for name in ("y", "y_k"))
s = quantity("s", "s_{{c_{{{0}}}^{{{1}}}}}({2})")
slope, slope_k = (quantity(name, r"f'_{{{0}}}(\mathrm{{net}}_{{{0}}}({1}))") for name in ("slope", "slope_k"))
E, target = quantity("E", "E({0})"), quantity("target", "t^{{{0}}}({1})")
e, e_k = (quantity(name, "e_{{{0}}}({1})") for name in ("e", "e_k"))
e_s = quantity("e_s", r"e_{{s_{{c_{{{0}}}^{{{1}}}}}}}({2})")
shown = quantity("shown", "x_{{{0}}}({1})")


def by(node, weight=(l, m)):
    """d node / dw_lm, all paths."""
    return total(node, w(*weight))


def given(words, lhs, rhs, *forall, where=(), lemma=False):
    """A given for every time step t, and all values of the other symbols."""
    return Given(words, lhs, rhs, forall=(*forall, t), where=where, lemma=lemma)


# Forward pass.

eq_net = given("(6)-(9) net_l(t) = sum_u w_lu y^u(t-1)", net(x, t), Sum(w(x, u) * y(u, t - 1), (u, 1, n)), x)
eq_in = given("(7) y^{in_j}(t) = f(net_{in_j}(t))", y(in_j, t), sigma(net(in_j, t)), j)
eq_out = given("(8) y^{out_j}(t) = f(net_{out_j}(t))", y(out_j, t), sigma(net(out_j, t)), j)
eq_start = Given("(9) s(0) = 0", s(j, v, 0), Integer(0), forall=(j, v))
eq_s = given("(9) s(t) = s(t-1) + y^{in_j}(t) g(net_{c_j^v}(t)), t > 0", s(j, v, t),
             s(j, v, t - 1) + y(in_j, t) * g(net(c, t)), j, v, where=(t > 0,))
eq_c = given("(9) y^{c_j^v}(t) = y^{out_j}(t) h(s(t))", y(c, t), y(out_j, t) * h(s(j, v, t)), j, v)
eq_net_k = given("(no number) net_k(t) = sum over units u that are no gates, of step t-1", net_k(k, t),
                 Sum(w(output(k), u) * y(u, t - 1), (u, 1, N)) + shown(k, t), k)
eq_net_k_now = given("reading A: net_k(t) = sum over units u that are no gates, of step t", net_k(k, t),
                     Sum(w(output(k), u) * y(u, t), (u, 1, N)) + shown(k, t), k)
eq_E = given("(16) E(t) = sum_k (t^k(t) - y^k(t))^2", E(t), Sum((target(k, t) - y_k(k, t)) ** 2, (k, 1, K)))

different = tuple(
    Given("a unit is of one kind", KroneckerDelta(a, b), Integer(0), forall=tuple(a.free_symbols | b.free_symbols))
    for a, b in combinations((hidden(i), output(k), in_j, gate_out(l), cell(p, x)), 2))
different += (Given("cells are numbered by block", KroneckerDelta(c, cell(p, x)),
                    KroneckerDelta(j, p) * KroneckerDelta(v, x), forall=(j, v, p, x)),
              *(Given("units of a kind are numbered", KroneckerDelta(a(j), a(p)), KroneckerDelta(j, p), forall=(j, p))
                for a in (hidden, output, gate_in, gate_out)))
weights_apart = tuple(Given("weights are varied one by one", held(w(x, u), w(l, m)),
                            KroneckerDelta(x, l) * KroneckerDelta(u, m),
                            forall=(x, u, l, m)) for held in (partial, total))

# Truncation: net inputs of the hidden layer.

chain_net = given("chain rule: net_l(t) reads weights, and units at t-1", by(net(x, t)),
                  partial(net(x, t), w(l, m)) + Sum(partial(net(x, t), y(u, t - 1)) * by(y(u, t - 1)), (u, 1, n)),
                  x, l, m, lemma=True)
truncation = given("truncation: d net_l(t) / d y^u(t-1) ~tr 0 for gates and cells l, and by (11) for ordinary units",
                   partial(net(x, t), y(u, t - 1)), Integer(0), x, u)
direct = Step("d net_x(t) / d w_lm, direct", partial(net(x, t), w(l, m)), KroneckerDelta(l, x) * y(m, t - 1),
              (Differentiate(eq_net, (w,)), *weights_apart, pick_terms), forall=(x, l, m, t))
net_cut = Step("d net_x(t) / d w_lm ~tr", by(net(x, t)), KroneckerDelta(l, x) * y(m, t - 1),
               (chain_net, truncation, direct), forall=(x, l, m, t))

# (11)-(13)

of_i = given("(6) y^i(t) = f_i(net_i(t)), by the chain rule", total(y(hidden(i), t), anything),
             slope(hidden(i), t) * total(net(hidden(i), t), anything), i, anything)
through_in, through_out = Differentiate(eq_in, (net,)), Differentiate(eq_out, (net,))
eq_11 = Step("(11)", by(y(hidden(i), t)), KroneckerDelta(l, hidden(i)) * slope(hidden(i), t) * y(m, t - 1),
             (of_i, net_cut), forall=(i, l, m, t))
eq_12 = Step("(12)", by(y(in_j, t)), KroneckerDelta(l, in_j) * sigma.slope(net(in_j, t)) * y(m, t - 1),
             (through_in, net_cut), forall=(j, l, m, t))
eq_13 = Step("(13)", by(y(out_j, t)), KroneckerDelta(l, out_j) * sigma.slope(net(out_j, t)) * y(m, t - 1),
             (through_out, net_cut), forall=(j, l, m, t))

# (14): of all weights, those into in_j and into the cell itself move s; in closed form, over all steps tau = 1..t.

ds = by(s(j, v, t))
through_s = Differentiate(eq_s, (s, y, net))
state_first_line = Step(
    "(14), first line", ds,
    by(s(j, v, t - 1)) + by(y(in_j, t)) * g(net(c, t)) + y(in_j, t) * g.slope(net(c, t)) * by(net(c, t)),
    (through_s,), forall=(j, v, l, m, t), where=(t > 0,))


def by_gate(t):
    """What w_{in_j m} adds to s at step t."""
    return g(net(c, t)) * sigma.slope(net(in_j, t)) * y(m, t - 1)


def by_cell(t):
    """What w_{c_j^v m} adds to s at step t."""
    return g.slope(net(c, t)) * y(in_j, t) * y(m, t - 1)


d_in, d_c, d_out = (KroneckerDelta(l, receiver) for receiver in (in_j, c, out_j))
one_step = Step("(14), deltas put in", ds, by(s(j, v, t - 1)) + d_in * by_gate(t) + d_c * by_cell(t),
                (state_first_line, eq_12, net_cut), forall=(j, v, l, m, t), where=(t > 0,))
closed = d_in * Sum(by_gate(tau), (tau, 1, t)) + d_c * Sum(by_cell(tau), (tau, 1, t))
over_time = Induction(
    "ds(t)/dw_lm in closed form", ds, closed, t, start=0, forall=(j, v, l, m, t),
    base=Step("s(0) = 0 whatever the weights", ds, closed, (Differentiate(eq_start, (s, y, net)),), right=(last_term,)),
    step=Step("one step more", ds, closed, (one_step, HYPOTHESIS), right=(last_term,)))
own_weights = Step("no other weight moves s", ds, (d_in + d_c) * ds, (over_time,),
                   right=(over_time, one_unit, *different), forall=(j, v, l, m, t), where=(t >= 0,))
eq_14 = Step("(14)", ds, (d_in + d_c) * by(s(j, v, t - 1))
             + d_in * sigma.slope(net(in_j, t)) * g(net(c, t)) * y(m, t - 1)
             + d_c * y(in_j, t) * g.slope(net(c, t)) * y(m, t - 1),
             (one_step, own_weights), forall=(j, v, l, m, t), where=(t > 0,))

# (15)

dy = by(y(c, t))
through_c = Differentiate(eq_c, (y, s))
output_first_line = Step("(15), first line", dy,
                         by(y(out_j, t)) * h(s(j, v, t)) + h.slope(s(j, v, t)) * ds * y(out_j, t),
                         (through_c,), forall=(j, v, l, m, t))
eq_15 = Step("(15)", dy, d_out * by(y(out_j, t)) * h(s(j, v, t))
             + (d_in + d_c) * h.slope(s(j, v, t)) * ds * y(out_j, t),
             (output_first_line, eq_13, own_weights), right=(eq_13,), forall=(j, v, l, m, t), where=(t >= 0,))

# (25), (27): what is stored.


def state_by(receiver, t):
    """ds_{c_j^v}(t) / dw_{receiver m}"""
    return by(s(j, v, t), (receiver, m))


def stored(words, receiver, term):
    """ds(t) = ds(t-1) + term, and its closed form, for the weights into one unit."""
    recursion = Step(words, state_by(receiver, t), state_by(receiver, t - 1) + term(t), (one_step, *different, eq_in),
                     forall=(j, v, m, t), where=(t > 0,))
    in_closed_form = Step(f"{words} over all steps", state_by(receiver, t), Sum(term(tau), (tau, 1, t)),
                          (over_time, *different, eq_in),
                          forall=(j, v, m, t), where=(t >= 0,))
    return recursion, in_closed_form


eq_25, sum_25 = stored("(25)", in_j, lambda t: g(net(c, t)) * sigma.slope(net(in_j, t)) * y(m, t - 1))
eq_27, sum_27 = stored("(27)", c, lambda t: g.slope(net(c, t)) * sigma(net(in_j, t)) * y(m, t - 1))

# (10): outputs as in A.1, one step after the hidden layer.

no_gates = given("units that are no gates are inputs, which no weight moves, ordinary units, and cells", by(y(u, t)),
                 Sum(KroneckerDelta(u, hidden(i)) * by(y(hidden(i), t)), (i, 1, H))
                 + Sum(KroneckerDelta(u, c) * dy, (v, 1, size(j)), (j, 1, C)), u, l, m)
of_k = given("y^k(t) = f_k(net_k(t)), by the chain rule", total(y_k(k, t), anything),
             slope_k(k, t) * total(net_k(k, t), anything), k, anything)
eq_10 = Step("(10), first line", by(y_k(k, t)), slope_k(k, t) * (
    Sum(w(output(k), u) * by(y(u, t - 1)), (u, 1, N)) + KroneckerDelta(l, output(k)) * y(m, t - 1)),
    (of_k, Differentiate(eq_net_k, (w, y)), *weights_apart, pick_terms), forall=(k, l, m, t))
own_of_unit = Step("no other weight moves y^i", by(y(hidden(i), t)), KroneckerDelta(l, hidden(i)) * by(y(hidden(i), t)),
                   (eq_11,), right=(eq_11,), forall=(i, l, m, t))
own_of_cell = Step("no other weight moves y^{c_j^v}", dy, (d_in + d_c + d_out) * dy,
                   (eq_15, eq_13, one_unit, *different),
                   right=(eq_15, eq_13, one_unit, *different), forall=(j, v, l, m, t), where=(t >= 0,))
own_weights_only = (no_gates, own_of_unit, own_of_cell, *different, pick_terms, *different, pick_terms)


def case_of_10(receiver, inside):
    """(10) for the weights into one unit."""
    return Step(f"(10), l = {receiver}", by(y_k(k, t), (receiver, m)), slope_k(k, t) * inside,
                (eq_10, *own_weights_only),
                forall=(k, j, v, i, m, t), where=(t > 0,))


def through_block(receiver):
    """sum_v w_{k c_j^v} dy^{c_j^v}(t-1) / dw_{receiver m}"""
    return Sum(w(output(k), c) * by(y(c, t - 1), (receiver, m)), (v, 1, size(j)))


output_10 = case_of_10(output(k), y(m, t - 1))
cell_10 = case_of_10(c, w(output(k), c) * by(y(c, t - 1), (c, m)))
in_10, out_10 = (case_of_10(gate, through_block(gate)) for gate in (in_j, out_j))
hidden_10 = case_of_10(hidden(i), w(output(k), hidden(i)) * by(y(hidden(i), t - 1), (hidden(i), m)))

# (16)-(21), (23): errors at step t. Outputs by reading A.

def_e_k = given("(18) e_k(t) = -dE(t)/dnet_k(t)", e_k(k, t), -total(E(t), net_k(k, t)), k)
def_e = given("(18) e_l(t) = -dE(t)/dnet_l(t)", e(x, t), -total(E(t), net(x, t)), x)
def_e_s = given("(23) e_s(t) = -dE(t)/ds(t)", e_s(j, v, t), -total(E(t), s(j, v, t)), j, v)
chain_E = given("chain rule: E(t) depends on anything before the outputs through net_k(t)", total(E(t), anything),
                Sum(total(E(t), net_k(k, t)) * total(net_k(k, t), anything), (k, 1, K)), anything, lemma=True)
by_e_k = Step("(18) read backwards", total(E(t), net_k(k, t)), -e_k(k, t), right=(def_e_k,), forall=(k, t))
nets_apart = given("net inputs of one step are varied one by one", total(net_k(k, t), net_k(p, t)),
                   KroneckerDelta(k, p), k, p)
itself = tuple(given("dx/dx = 1", total(node, node), Integer(1), *node.free_symbols - {t})
               for node in (net(x, t), s(j, v, t)))
reads = Differentiate(eq_net_k_now, (w, y))


def within_step(words, cause, effect, *forall):
    """What y^u(t) of units that are no gates owe to `cause` in the same step; weights owe nothing to it."""
    return (given(f"within a step, of units that are no gates {words}", total(y(u, t), cause), effect, u, *forall),
            given("weights do not depend on the net", total(w(x, u), cause), Integer(0), x, u, *forall))


only_i = within_step("only y^i depends on net_i", net(hidden(i), t),
                     KroneckerDelta(u, hidden(i)) * total(y(hidden(i), t), net(hidden(i), t)), i)
only_block = within_step("only cells of block j depend on net_{out_j}", net(out_j, t),
                         Sum(KroneckerDelta(u, c) * total(y(c, t), net(out_j, t)), (v, 1, size(j))), j)
only_cell = within_step("only y^{c_j^v} depends on its state", s(j, v, t),
                        KroneckerDelta(u, c) * total(y(c, t), s(j, v, t)), j, v)
apart_in_cell = (given("within a step s does not depend on net_{out_j}", total(s(j, v, t), net(out_j, t)),
                       Integer(0), j, v),
                 given("within a step y^{out_j} does not depend on s", total(y(out_j, t), s(j, v, t)),
                       Integer(0), j, v))
to_outputs = (chain_E, by_e_k, reads)


def from_outputs(node):
    """sum_k w_{k node} e_k(t)"""
    return Sum(w(output(k), node) * e_k(k, t), (k, 1, K))


eq_19 = Step("(19)", e_k(p, t), 2 * slope_k(p, t) * (target(p, t) - y_k(p, t)),
             (def_e_k, Differentiate(eq_E, (y_k,)), of_k, nets_apart, pick_terms), forall=(p, t))
eq_20 = Step("(20)", e(hidden(i), t), slope(hidden(i), t) * from_outputs(hidden(i)),
             (def_e, *to_outputs, *only_i, pick_terms, of_i, *itself), forall=(i, t))
eq_21 = Step("(21)", e(out_j, t),
             sigma.slope(net(out_j, t)) * Sum(h(s(j, v, t)) * from_outputs(c), (v, 1, size(j))),
             (def_e, *to_outputs, *only_block, pick_terms, through_c, *apart_in_cell, through_out, *itself),
             forall=(j, t))
eq_23 = Step("(23)", e_s(j, v, t), sigma(net(out_j, t)) * h.slope(s(j, v, t)) * from_outputs(c),
             (def_e_s, *to_outputs, *only_cell, pick_terms, through_c, *apart_in_cell, *itself, eq_out),
             forall=(j, v, t))

# (23) with the times of A.1: outputs read y^u(t-1).

earlier = (given("what is computed at t-1 does not depend on step t", total(y(u, t - 1), s(j, v, t)),
                 Integer(0), u, j, v),
           only_cell[1])
strict_23 = Step("(23), outputs one step later", e_s(j, v, t), Integer(0),
                 (def_e_s, chain_E, by_e_k, Differentiate(eq_net_k, (w, y)), *earlier), forall=(j, v, t))

# (22), (24), (26), (28): weight changes.

def_step = given("(17) Delta w_lm(t) = -alpha dE(t)/dw_lm", step_of_w(l, m, t), -alpha * total(E(t), w(l, m)), l, m)
to_weights = (*to_outputs, *weights_apart, *own_weights_only)


def change(receiver):
    """Delta w_{receiver m}(t)"""
    return step_of_w(receiver, m, t)


rest_of_cell = (eq_15, eq_13, *different, eq_out)
hidden_22 = Step("(22), l = i", change(hidden(i)), alpha * e(hidden(i), t) * y(m, t - 1),
                 (def_step, *to_weights, eq_11),
                 right=(eq_20,), forall=(i, m, t), where=(t >= 0,))
out_22 = Step("(22), l = out_j", change(out_j), alpha * e(out_j, t) * y(m, t - 1),
              (def_step, *to_weights, eq_15, eq_13, *different),
              right=(eq_21,), forall=(j, m, t), where=(t >= 0,))
output_22 = Step("(22), l = k", change(output(p)), alpha * e_k(p, t) * y(m, t), (def_step, *to_weights),
                 forall=(p, m, t),
                 where=(t >= 0,))
in_24 = Step("(24), l = in_j", -by(E(t), (in_j, m)), Sum(e_s(j, v, t) * state_by(in_j, t), (v, 1, size(j))),
             (*to_weights, *rest_of_cell), right=(eq_23,), forall=(j, m, t), where=(t >= 0,))
cell_24 = Step("(24), l = c_j^v", -by(E(t), (c, m)), e_s(j, v, t) * state_by(c, t), (*to_weights, *rest_of_cell),
               right=(eq_23,), forall=(j, v, m, t), where=(t >= 0,))
eq_26 = Step("(26)", change(in_j), alpha * Sum(e_s(j, v, t) * state_by(in_j, t), (v, 1, size(j))),
             (def_step, *to_weights, *rest_of_cell), right=(eq_23,), forall=(j, m, t), where=(t >= 0,))
eq_28 = Step("(28)", change(c), alpha * e_s(j, v, t) * state_by(c, t), (def_step, *to_weights, *rest_of_cell),
             right=(eq_23,), forall=(j, v, m, t), where=(t >= 0,))

# (29): multiplications per step, blocks of one size S; I units feed each unit of the hidden layer.

steps = quantity("steps", r"\mathrm{{steps}}_{{({0})}}", integer=True, nonnegative=True)
W = sympy.Symbol("W", positive=True)
counted = [Given("steps: one for each product of a weight (a stored ds/dw) with an error", steps(number), count)
           for number, count in ((19, K), (20, K * H), (21, K * C * S), (22, K * (H + C * S) + H * I + C * I),
                                 (23, K * C * S),
                                 *((number, C * S * I) for number in (25, 26, 27, 28)))]
all_steps = sympy.Add(*(count.lhs for count in counted))
all_weights = K * H + K * C * S + C * S * I + 2 * C * I + H * I
weight_count = Given("W: weights into outputs, cells, gates, ordinary units", W, all_weights)
step_count = Step("(29), counted", all_steps, K + 2 * K * H + 3 * K * C * S + H * I + C * I + 4 * C * S * I, counted)
more_blocks, more_cells = sympy.symbols("C' S'", integer=True, nonnegative=True)
positive = (Given("C >= 1 blocks: C = 1 + C'", C, 1 + more_blocks),
            Given("S >= 1 cells each: S = 1 + S'", S, 1 + more_cells))
at_most = Step("(29): K <= KCS", all_steps, 4 * W, (*counted, *positive), "<=", right=(weight_count, *positive))
at_least = Step("(29): 2CI <= 2CSI", W, all_steps, (weight_count, *positive), "<=", right=(*counted, *positive))
in_short = 3 * (K * H + K * C * S + C * S * I + H * I)
weights_in_short = Step("W: 2CI <= 2CSI", W, in_short, (weight_count, *positive), "<=", right=positive)

# Cases that separate printed from derived.


def linear_output(relation):
    """f_k(z) = z, net_k(t) = 0, t^k(t) = 1: -dE/dnet_k is 2."""
    z = sympy.Symbol("z")
    error = -sympy.diff((1 - z) ** 2, z).subs(z, 0)
    return relation.subs({e_k(p, t): error, slope_k(p, t): 1, target(p, t): 1, y_k(p, t): 0})


def output_weight(relation):
    """One output, f_k(z) = z, t^k(1) = 1, its only weight 0, from m; y^m(0) = 0, y^m(1) = 1; outputs read step t."""
    weight, activations = sympy.Symbol("weight"), (0, 1)
    change_of_weight = -alpha * sympy.diff((1 - weight * activations[1]) ** 2, weight).subs(weight, 0)
    at_1 = relation.subs(t, 1).subs({step_of_w(output(p), m, 1): change_of_weight, e_k(p, 1): 2})
    return at_1.subs({y(m, step): activations[step] for step in (0, 1)}).subs(alpha, 1)


def outputs_one_step_later(relation):
    """One output, f_k(z) = z, weight 1, t^k(t) = 1, net inputs and states 0: E(t) holds y^{c_j^v}(t-1), not s(t)."""
    state_now, output_before = sympy.symbols("state_now output_before")
    error = -sympy.diff((1 - output_before) ** 2, state_now)
    right = relation.rhs.subs(K, 1).doit().subs({
        sigma(net(out_j, t)): Rational(1, 2), h.slope(s(j, v, t)): Rational(1, 2), w(output(1), c): 1, e_k(1, t): 2})
    return Eq(error, right)


def two_cells(relation):
    """S = 2, one output, f_k(z) = z, t^k(t) = 1, weights 1 to it; all net inputs and s(t-1) 0, y^m(t-1) = 1; v = 1."""
    nets, states = sympy.symbols("net_1 net_2"), sympy.symbols("s_1 s_2")
    half = sigma.as_exp(Integer(0))
    of_nets = {state: half * g.as_exp(a) for state, a in zip(states, nets)}
    error = (1 - sum(half * h.as_exp(state) for state in states)) ** 2
    at_zero = dict.fromkeys((*nets, *states), 0)
    values = {-by(E(t), (cell(j, 1), m)): -sympy.diff(error.subs(of_nets), nets[0]).subs(at_zero)}
    for number, (state, a) in enumerate(zip(states, nets), 1):
        values[e_s(j, number, t)] = -sympy.diff(error, state).subs(at_zero)
        values[by(s(j, number, t), (cell(j, number), m))] = sympy.diff(of_nets[state], a).subs(at_zero)
    right = relation.rhs.subs(size(j), 2).doit().subs(v, 1)
    return Eq(values[relation.lhs.subs(v, 1)], right.subs(values))


def small_net(relation):
    """K = 1, H = 0, C = 1, S = 2, I = 1: the products counted one by one."""
    outputs, hiddens, blocks, sources = ["k"], [], ["j"], ["m"]
    cells = [(block, number) for block in blocks for number in (1, 2)]
    products = {19: product(outputs), 20: product(outputs, hiddens), 21: product(outputs, cells),
                22: [*product(outputs, hiddens + cells), *product(hiddens + blocks, sources)],
                23: product(outputs, cells),
                **{number: product(cells, sources) for number in (25, 26, 27, 28)}}
    counts = {steps(number): len(list(each)) for number, each in products.items()}
    return relation.subs(counts).subs({K: 1, H: 0, C: 1, S: 2, I: 1})


def claim(number, title, status, fact, name="", printed=True, **more):
    """A claim of A.1; the journal counts two less than the preprint. `printed`: the right side, True if as derived."""
    derived = (Le if fact.relation == "<=" else Eq)(fact.lhs, fact.rhs, evaluate=False)
    as_printed = derived if printed is True else None if printed is None else Eq(fact.lhs, printed, evaluate=False)
    return Claim(f"{number} {name}".strip(), f"A.{number - 2}", "A.1", title, status, as_printed, derived, Proof(fact),
                 **more)


CLAIMS = [
    claim(10, "outputs, all weights", "exact", eq_10, "first line",
          note="Outputs read step t-1, as A.1 has it; m is no gate."),
    claim(10, "outputs, weights into outputs", "truncated", output_10, "outputs"),
    claim(10, "outputs, weights into a cell", "truncated", cell_10, "cell"),
    claim(10, "outputs, weights into an input gate", "truncated", in_10, "input gate"),
    claim(10, "outputs, weights into an output gate", "truncated", out_10, "output gate"),
    claim(10, "outputs, weights into an ordinary unit", "truncated", hidden_10, "ordinary units",
          note="Printed as a sum over all ordinary units; by (11) only the one that the weight feeds is left. The "
               "cases of cells and gates too hold only because (11) truncates ordinary units."),
    claim(11, "ordinary units", "truncated", eq_11,
          note="Ordinary units are not in the paper's list of what is truncated."),
    claim(12, "input gate", "truncated", eq_12),
    claim(13, "output gate", "truncated", eq_13),
    claim(14, "state, no truncation", "exact", state_first_line, "first line"),
    claim(14, "state", "truncated", eq_14,
          note="The sum of deltas is 0 or 1, as l is one unit. That ds(t-1)/dw_lm may be multiplied by it is proved "
               "over all steps, from s(0) = 0."),
    claim(14, "state, over all steps", "truncated", over_time, "every step", printed=None),
    claim(15, "output of a cell, no truncation", "exact", output_first_line, "first line"),
    claim(15, "output of a cell", "truncated", eq_15),
    claim(19, "error at an output", "erratum", eq_19, printed=eq_19.rhs / 2,
          counterexample=Counterexample("f_k(z) = z at net_k = 0, target 1: 2 is not 1", linear_output),
          note="(16) has no factor 1/2, so (17)-(19) need the 2 of its derivative. With (19) as printed, (20)-(28) are "
               "the gradient of E/2; or alpha takes the 2."),
    claim(20, "error at an ordinary unit", "exact", eq_20, note="Reading A: outputs read step t."),
    claim(21, "error at an output gate", "exact", eq_21, note="Reading A: outputs read step t."),
    claim(22, "weights into an output gate", "truncated", out_22),
    claim(22, "weights into an ordinary unit", "truncated", hidden_22, "ordinary units"),
    claim(22, "weights into an output", "erratum", output_22, "outputs", printed=alpha * e_k(p, t) * y(m, t - 1),
          counterexample=Counterexample("y^m(0) = 0, y^m(1) = 1 at t = 1: 2 alpha is not 0", output_weight),
          note="Printed y^m(t-1) for all l. With reading A, which (20)-(28) need, outputs read step t, and so must "
               "their weights."),
    claim(23, "error at the state", "exact", eq_23,
          note="Reading A. y^{out_j}(t) is written f_{out_j}(net_{out_j}(t)); the left side is printed without (t)."),
    claim(23, "error at the state, times of A.1", "erratum", strict_23, "times of A.1", printed=eq_23.rhs,
          counterexample=Counterexample("one output of weight 1, all net inputs 0: 0 is not 1/2",
                                        outputs_one_step_later),
          note="If outputs read y^u(t-1), as the forward pass of A.1 has it, E(t) does not depend on s(t), and (23) "
               "is 0. The same holds of (20), (21), (26), (28). Outputs read step t (reading A), or these need t-1."),
    claim(24, "weights into an input gate", "truncated", in_24),
    claim(24, "weights into a cell", "erratum", cell_24, "cells",
          printed=Sum(e_s(j, v, t) * state_by(c, t), (v, 1, size(j))),
          counterexample=Counterexample("two cells alike: the sum is twice the one term", two_cells),
          note="The v of the sum is also that of l = c_j^v. Only the term of that cell is left, as (28) has it."),
    claim(25, "stored for the input gate", "truncated", eq_25),
    claim(25, "stored for the input gate, over all steps", "truncated", sum_25, "every step", printed=None),
    claim(26, "weights into an input gate", "truncated", eq_26),
    claim(27, "stored for the cell", "truncated", eq_27, note="y^{in_j}(t) is written f_{in_j}(net_{in_j}(t))."),
    claim(27, "stored for the cell, over all steps", "truncated", sum_27, "every step", printed=None),
    claim(28, "weights into a cell", "truncated", eq_28),
    claim(29, "number of steps", "erratum", step_count, "steps",
          printed=K + 2 * K * H + K * C + 2 * K * S * C + H * I + C * I + 4 * C * S * I,
          counterexample=Counterexample("K = 1, H = 0, C = 1, S = 2, I = 1: 16 is not 15", small_net),
          note="The count of (22) for outputs is printed K(H+C); CS cells feed each output, so it is K(H+CS). "
               "The order stays."),
    claim(29, "O(W) steps: at most 4 W", "inequality", at_most, printed=None,
          note="Printed as O(W); the constant is ours."),
    claim(29, "at least W steps", "inequality", at_least, "at least W", printed=None),
    claim(29, "W = O(KH + KCS + CSI + HI)", "inequality", weights_in_short, "weights", printed=None,
          note="Printed as O(...); the constant is ours."),
]
