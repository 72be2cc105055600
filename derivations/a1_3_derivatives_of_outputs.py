r"""Appendix A.1: truncated derivatives of the outputs, equation (10), for every block size S and every t.

Problem. What does a weight w_lm, from m to l, do to output unit k, if errors that reach a net input of the hidden layer go
no further back? Printed:

    (10)  dy^k(t)/dw_lm = f'_k(net_k(t)) (sum_{u no gate} w_ku dy^u(t-1)/dw_lm + delta_kl y^m(t-1))
             ~tr f'_k(net_k(t)) (sum_j sum_v delta_{c_j^v l} w_{k c_j^v} dy^{c_j^v}(t-1)/dw_lm
                                 + sum_j (delta_{in_j l} + delta_{out_j l}) sum_v w_{k c_j^v} dy^{c_j^v}(t-1)/dw_lm
                                 + sum_i w_ki dy^i(t-1)/dw_lm + delta_kl y^m(t-1))
             = f'_k(net_k(t)) * { y^m(t-1)                                          l = k
                                { w_{k c_j^v} dy^{c_j^v}(t-1)/dw_lm                 l = c_j^v
                                { sum_v w_{k c_j^v} dy^{c_j^v}(t-1)/dw_lm           l = in_j, l = out_j
                                { sum_i w_ki dy^i(t-1)/dw_lm                        l = i

Setting and truncation as for (11)-(15). Outputs read the step before, as A.1 has it.

Results. All hold for every t, every number of blocks and every size of each. Only by (11) are the cases for cells and gates
right: with ordinary units left out of the truncation, as the list of the paper has it, they lack a sum.
"""

from sympy import Eq, Integer, KroneckerDelta, Sum

from flowcheck.claims import Counterexample, Differentiate, Step, pick_terms, total

from .a1_1_forward_pass import (
    C,
    H,
    N,
    anything,
    by,
    c,
    claim,
    different,
    eq_net_k,
    given,
    hidden,
    i,
    in_j,
    j,
    k,
    l,
    m,
    net_k,
    out_j,
    output,
    p,
    size,
    slope_k,
    t,
    u,
    v,
    w,
    weights_apart,
    y,
    y_k,
)
from .a1_2_truncated_derivatives import d_c, d_in, d_out, dy, own_of_cell, own_of_unit

# All weights; units that are no gates are what outputs read.

no_gates = given("units that are no gates are inputs, which no weight moves, ordinary units, and cells", by(y(u, t)),
                 Sum(KroneckerDelta(u, hidden(i)) * by(y(hidden(i), t)), (i, 1, H))
                 + Sum(KroneckerDelta(u, c) * dy, (v, 1, size(j)), (j, 1, C)), u, l, m)
of_k = given("y^k(t) = f_k(net_k(t)), by the chain rule", total(y_k(k, t), anything),
             slope_k(k, t) * total(net_k(k, t), anything), k, anything)
eq_10 = Step("(10), first line", by(y_k(k, t)), slope_k(k, t) * (
    Sum(w(output(k), u) * by(y(u, t - 1)), (u, 1, N)) + KroneckerDelta(l, output(k)) * y(m, t - 1)),
    (of_k, Differentiate(eq_net_k, (w, y)), *weights_apart, pick_terms), forall=(k, l, m, t))
own_weights_only = (no_gates, own_of_unit, own_of_cell, *different, pick_terms, *different, pick_terms)

# By cases of l.


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
hidden_10 = Step(
    "(10), l = i", by(y_k(k, t), (hidden(p), m)),
    slope_k(k, t) * Sum(w(output(k), hidden(i)) * by(y(hidden(i), t - 1), (hidden(p), m)), (i, 1, H)),
    (eq_10, *own_weights_only), right=(own_of_unit, *different, pick_terms), forall=(k, p, m, t), where=(t > 0,))

# The second line, with deltas; and ordinary units that are not truncated.

second_line = Step(
    "(10), second line", by(y_k(k, t)), slope_k(k, t) * (
        Sum(d_c * w(output(k), c) * dy.subs(t, t - 1), (v, 1, size(j)), (j, 1, C))
        + Sum((d_in + d_out) * Sum(w(output(k), c) * dy.subs(t, t - 1), (v, 1, size(j))), (j, 1, C))
        + Sum(w(output(k), hidden(i)) * by(y(hidden(i), t - 1)), (i, 1, H)) + KroneckerDelta(l, output(k)) * y(m, t - 1)),
    (eq_10, no_gates, pick_terms, own_of_cell), forall=(k, l, m, t), where=(t > 0,))
through_ordinary = Sum(w(output(k), hidden(i)) * by(y(hidden(i), t - 1), (c, m)), (i, 1, H))
cell_10_kept = Step(
    "(10), l = c_j^v, ordinary units not truncated", by(y_k(k, t), (c, m)),
    slope_k(k, t) * (w(output(k), c) * by(y(c, t - 1), (c, m)) + through_ordinary),
    (eq_10, no_gates, own_of_cell, *different, pick_terms, *different, pick_terms), forall=(k, j, v, m, t), where=(t > 0,))


def one_ordinary_unit(relation):
    """One ordinary unit that reads the cell and feeds the output: f'_k = 1, w_ki = 1, dy^i/dw = 1, w_kc = 0: it is 1."""
    inside = relation.rhs.subs(H, 1).doit()
    values = {slope_k(k, t): 1, w(output(k), c): 0, w(output(k), hidden(1)): 1, by(y(hidden(1), t - 1), (c, m)): 1}
    return Eq(Integer(1), inside.subs(values))


CLAIMS = [
    claim(10, "outputs, all weights", "exact", eq_10, "first line",
          note="Outputs read step t-1, as A.1 has it; m is no gate."),
    claim(10, "outputs, all weights", "truncated", second_line),
    claim(10, "outputs, weights into outputs", "truncated", output_10, "outputs"),
    claim(10, "outputs, weights into a cell", "truncated", cell_10, "cell"),
    claim(10, "outputs, weights into an input gate", "truncated", in_10, "input gate"),
    claim(10, "outputs, weights into an output gate", "truncated", out_10, "output gate"),
    claim(10, "outputs, weights into an ordinary unit", "truncated", hidden_10, "ordinary units",
          note="Printed as a sum over all ordinary units; by (11) only the one that the weight feeds is left."),
    claim(10, "outputs, weights into a cell, if ordinary units were not truncated", "erratum", cell_10_kept, "truncation list",
          printed=cell_10.rhs, counterexample=Counterexample("an ordinary unit between cell and output: 1 is not 0", one_ordinary_unit),
          note="The paper's list of truncated derivatives leaves out ordinary units. Then (10) lacks the sum over them; (11) puts "
               "them on the list."),
]
