r"""Appendix A.1: truncated derivatives, equations (11)-(15), (25), (27), for every block size S and every t.

Problem. What does a weight w_lm, from m to l, do to each unit, if errors that reach a net input of the hidden layer go no
further back? Printed, for cell v of block j:

    (11)-(13)  dy^l(t)/dw_lm ~tr f'_l(net_l(t)) y^m(t-1)      l = i, in_j, out_j; 0 for other weights
    (14)  ds(t)/dw_lm ~tr (delta_{in_j l} + delta_{c_j^v l}) ds(t-1)/dw_lm + delta_{in_j l} ... + delta_{c_j^v l} ...
    (15)  dy^{c_j^v}(t)/dw_lm ~tr delta_{out_j l} [dy^{out_j}(t)/dw_lm] h(s(t))
                                  + (delta_{in_j l} + delta_{c_j^v l}) h'(s(t)) [ds(t)/dw_lm] y^{out_j}(t)
    (25)  ds(t)/dw_{in_j m} = ds(t-1)/dw_{in_j m} + g(net_{c_j^v}(t)) f'_{in_j}(net_{in_j}(t)) y^m(t-1)
    (27)  ds(t)/dw_{c_j^v m} = ds(t-1)/dw_{c_j^v m} + g'(net_{c_j^v}(t)) f_{in_j}(net_{in_j}(t)) y^m(t-1)

Setting as for (3)-(9). Truncation (~tr): d net_l(t) / d y^u(t-1) ~tr 0 for gates and cells, and for ordinary units too, as
(11) has it, though the list of the paper leaves them out.

Results. All hold for every t, every number of blocks and every size of each. The sum of deltas in (14) is 0 or 1, since l
is one unit; a product of them would be 0.
"""

from sympy import Integer, KroneckerDelta, Sum

from flowcheck.claims import (
    HYPOTHESIS,
    Differentiate,
    GradientCheck,
    Induction,
    Step,
    last_term,
    one_unit,
    partial,
    pick_terms,
    total,
)
from flowcheck.notation import g, h, sigma

from ._memory_cell_numbers import (
    gate_by_weights,
    ordinary_by_weights,
    output_by_cell_weights,
    output_by_gate_weights,
    output_by_out_weights,
    state_by_cell_weights,
    state_by_gate_weights,
)
from .a1_1_forward_pass import (
    anything,
    by,
    c,
    claim,
    different,
    eq_c,
    eq_in,
    eq_net,
    eq_out,
    eq_s,
    eq_start,
    given,
    hidden,
    i,
    in_j,
    j,
    k,
    l,
    m,
    n,
    net,
    out_j,
    output,
    s,
    slope,
    t,
    tau,
    u,
    v,
    w,
    weights_apart,
    x,
    y,
)

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
hidden_first_line = Step("(11), first line", by(y(hidden(i), t)), slope(hidden(i), t) * by(net(hidden(i), t)), (of_i,), forall=(i, l, m, t))
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

state_second_line = Step(
    "(14), second line", ds, (d_in + d_c) * by(s(j, v, t - 1)) + d_in * by(y(in_j, t)) * g(net(c, t))
    + d_c * y(in_j, t) * g.slope(net(c, t)) * by(net(c, t)),
    (eq_14,), right=(eq_12, net_cut), forall=(j, v, l, m, t), where=(t > 0,))

# (15)

dy = by(y(c, t))
through_c = Differentiate(eq_c, (y, s))
output_first_line = Step("(15), first line", dy,
                         by(y(out_j, t)) * h(s(j, v, t)) + h.slope(s(j, v, t)) * ds * y(out_j, t),
                         (through_c,), forall=(j, v, l, m, t))
eq_15 = Step("(15)", dy, d_out * by(y(out_j, t)) * h(s(j, v, t))
             + (d_in + d_c) * h.slope(s(j, v, t)) * ds * y(out_j, t),
             (output_first_line, eq_13, own_weights), right=(eq_13,), forall=(j, v, l, m, t), where=(t >= 0,))

own_of_unit = Step("no other weight moves y^i", by(y(hidden(i), t)), KroneckerDelta(l, hidden(i)) * by(y(hidden(i), t)),
                   (eq_11,), right=(eq_11,), forall=(i, l, m, t))
own_of_cell = Step("no other weight moves y^{c_j^v}", dy, (d_in + d_c + d_out) * dy,
                   (eq_15, eq_13, one_unit, *different),
                   right=(eq_15, eq_13, one_unit, *different), forall=(j, v, l, m, t), where=(t >= 0,))

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

# What truncation does to activations (no numbers).

cut = given("truncation: no path leads through a net input of the hidden layer", total(net(x, t), y(u, t - 1)), Integer(0), x, u)
comes_after = given("s(t-1) is computed before the activations y^u(t-1), none of which enters it", total(s(j, v, t - 1), y(u, t - 1)),
                    Integer(0), j, v, u)


def by_unit(node):
    """d node / d y^u(t-1), all paths."""
    return total(node, y(u, t - 1))


gate_in, gate_out = (
    Step(f"y^{{{gate}_j}}(t) by y^u(t-1), no truncation", by_unit(y(l_j, t)), sigma.slope(net(l_j, t)) * by_unit(net(l_j, t)), (through,),
         forall=(j, u, t)) for gate, l_j, through in (("in", in_j, through_in), ("out", out_j, through_out)))
cell_by_unit = Step(
    "y^{c_j^v}(t) by y^u(t-1), no truncation", by_unit(y(c, t)),
    sigma.slope(net(out_j, t)) * h(s(j, v, t)) * by_unit(net(out_j, t)) + y(out_j, t) * h.slope(s(j, v, t)) * (
        g(net(c, t)) * sigma.slope(net(in_j, t)) * by_unit(net(in_j, t)) + y(in_j, t) * g.slope(net(c, t)) * by_unit(net(c, t))),
    (through_c, gate_out, through_s, gate_in, comes_after), forall=(j, v, u, t), where=(t > 0,))
gate_in_cut, gate_out_cut = (
    Step(f"y^{{{gate}_j}}(t) by y^u(t-1)", by_unit(y(l_j, t)), Integer(0), (full, cut), forall=(j, u, t))
    for gate, l_j, full in (("in", in_j, gate_in), ("out", out_j, gate_out)))
cell_cut = Step("y^{c_j^v}(t) by y^u(t-1)", by_unit(y(c, t)), Integer(0), (cell_by_unit, cut), forall=(j, v, u, t), where=(t > 0,))
no_other = Step("y^{c_j^v}(t) by weights into ordinary units", by(y(c, t), (hidden(i), m)), Integer(0), (own_of_cell, *different),
                forall=(j, v, i, m, t), where=(t >= 0,))
no_output = Step("y^{c_j^v}(t) by weights into outputs", by(y(c, t), (output(k), m)), Integer(0), (own_of_cell, *different),
                 forall=(j, v, k, m, t), where=(t >= 0,))

# A product of the two deltas of (14), for their sum.

product_of_deltas = Step("l is one unit", d_in * d_c, Integer(0), (one_unit, *different))
# Numbers: derivatives by the weights from y^m of the cells, in plain NumPy.


def gradient(sender, parameter, evaluate, cell="lstm1997"):
    """A check of a truncated derivative by a weight."""
    return GradientCheck(cell, sender, parameter, True, evaluate)


by_all_weights = [gradient("y", "W_in_y", output_by_gate_weights), gradient("y", "W_c_y", output_by_cell_weights),
                  gradient("y", "W_out_y", output_by_out_weights)]

CLAIMS = [
    claim(9, "what truncation takes for 0", "definition", truncation, "truncation",
          note="Printed for l = in_j, out_j, c_j and all u; that it holds for ordinary units too, (11) takes for granted."),
    claim(9, "input gates by the units of the step before", "exact", gate_in, "in_j by a unit"),
    claim(9, "output gates by the units of the step before", "exact", gate_out, "out_j by a unit"),
    claim(9, "cells by the units of the step before: by way of net_out, net_in and net_c", "exact", cell_by_unit, "c_j by a unit"),
    claim(9, "input gates, truncated", "truncated", gate_in_cut, "truncation of in_j"),
    claim(9, "output gates, truncated", "truncated", gate_out_cut, "truncation of out_j"),
    claim(9, "cells, truncated", "truncated", cell_cut, "truncation of c_j"),
    claim(9, "cells, weights into ordinary units", "truncated", no_other, "truncation, ordinary units",
          note="Printed for all l but c_j^v, in_j, out_j."),
    claim(9, "cells, weights into outputs", "truncated", no_output, "truncation, outputs"),
    claim(11, "ordinary units, no truncation", "exact", hidden_first_line, "first line"),
    claim(11, "ordinary units", "truncated", eq_11, checks=[gradient("y", "W_y", ordinary_by_weights, "conventional")],
          note="Ordinary units are not in the paper's list of what is truncated."),
    claim(12, "input gate", "truncated", eq_12, checks=[gradient("y_in", "W_in_y", gate_by_weights("in"))]),
    claim(13, "output gate", "truncated", eq_13, checks=[gradient("y_out", "W_out_y", gate_by_weights("out"))]),
    claim(14, "state, no truncation", "exact", state_first_line, "first line"),
    claim(14, "state: second line", "truncated", state_second_line, "second line"),
    claim(14, "state", "truncated", eq_14,
          note="The sum of deltas is 0 or 1, as l is one unit. That ds(t-1)/dw_lm may be multiplied by it is proved "
               "over all steps, from s(0) = 0."),
    claim(14, "state, over all steps", "truncated", over_time, "every step", printed=None,
          checks=[gradient("s", "W_in_y", state_by_gate_weights), gradient("s", "W_c_y", state_by_cell_weights)]),
    claim(14, "a product of the two deltas is 0", "exact", product_of_deltas, "product of deltas", printed=None,
          note="It has been said that (14) and (15) need the product for the sum; (14) would lose all its terms but one."),
    claim(15, "output of a cell, no truncation", "exact", output_first_line, "first line"),
    claim(15, "output of a cell", "truncated", eq_15, checks=by_all_weights),
    claim(25, "stored for the input gate", "truncated", eq_25),
    claim(25, "stored for the input gate, over all steps", "truncated", sum_25, "every step", printed=None,
          checks=[gradient("s", "W_in_y", state_by_gate_weights)]),
    claim(27, "stored for the cell", "truncated", eq_27, note="y^{in_j}(t) is written f_{in_j}(net_{in_j}(t))."),
    claim(27, "stored for the cell, over all steps", "truncated", sum_27, "every step", printed=None,
          checks=[gradient("s", "W_c_y", state_by_cell_weights)]),
]
