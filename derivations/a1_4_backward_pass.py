r"""Appendix A.1: errors and weight changes, equations (16)-(24), (26), (28), outputs reading step t (reading A).

Problem. How do weights change, so that the error E(t) of step t shrinks? Printed:

    (16)  E(t) = sum_k (t^k(t) - y^k(t))^2      (17)  Delta w_lm(t) = -alpha dE(t)/dw_lm      (18)  e_l(t) = -dE(t)/dnet_l(t)
    (19)  e_k(t) = f'_k(net_k(t)) (t^k(t) - y^k(t))
    (20)  e_i(t) = f'_i(net_i(t)) sum_k w_ki e_k(t)
    (21)  e_{out_j}(t) = f'_{out_j}(net_{out_j}(t)) sum_v h(s_{c_j^v}(t)) sum_k w_{k c_j^v} e_k(t)
    (22)  Delta w_lm(t) = alpha e_l(t) y^m(t-1)      l = k, i, out_j
    (23)  e_{s_{c_j^v}} = -dE(t)/ds_{c_j^v}(t) = f_{out_j}(net_{out_j}(t)) h'(s_{c_j^v}(t)) sum_k w_{k c_j^v} e_k(t)
    (24)  -dE(t)/dw_lm = sum_v e_{s_{c_j^v}}(t) ds_{c_j^v}(t)/dw_lm      l = in_j or c_j^v
    (26)  Delta w_{in_j m}(t) = alpha sum_v e_{s_{c_j^v}}(t) ds_{c_j^v}(t)/dw_{in_j m}
    (28)  Delta w_{c_j^v m}(t) = alpha e_{s_{c_j^v}}(t) ds_{c_j^v}(t)/dw_{c_j^v m}

Setting as for (3)-(9); truncation and derivatives by weights from the page before. Reading A: outputs read y^u(t).

Results. (20), (21), (23), (26), (28) hold. (19) lacks the factor 2 of (16). (22) needs y^m(t) for l = k, since outputs read
step t. In (24) with l a cell the v of the sum is not that of l: only one term is left.
"""

import numpy as np
import sympy
from sympy import Eq, Integer, KroneckerDelta, Sum

from flowcheck.claims import Check, Counterexample, Differentiate, Step, pick_terms, quantity, total
from flowcheck.notation import ROUTINES, g, h, sigma

from ._memory_cell_numbers import (
    error_at_state,
    of_cell,
    output_by_cell_weights,
    output_by_gate_weights,
    output_by_out_weights,
    prime,
)
from .a1_1_forward_pass import (
    K,
    anything,
    by,
    c,
    cell,
    claim,
    different,
    eq_net_k_now,
    eq_out,
    given,
    hidden,
    i,
    in_j,
    j,
    k,
    l,
    m,
    net,
    net_k,
    out_j,
    output,
    p,
    s,
    size,
    slope,
    slope_k,
    t,
    u,
    v,
    w,
    weights_apart,
    x,
    y,
    y_k,
)
from .a1_2_truncated_derivatives import eq_11, eq_13, eq_15, gradient, of_i, own_weights, state_by, through_c, through_out
from .a1_3_derivatives_of_outputs import of_k, own_weights_only

alpha = sympy.Symbol("alpha", positive=True)
step_of_w = quantity("step_of_w", r"\Delta w_{{{0} {1}}}({2})")
E, target = quantity("E", "E({0})"), quantity("target", "t^{{{0}}}({1})")
e, e_k = (quantity(name, "e_{{{0}}}({1})") for name in ("e", "e_k"))
e_s = quantity("e_s", r"e_{{s_{{c_{{{0}}}^{{{1}}}}}}}({2})")

# Errors at step t.

eq_E = given("(16) E(t) = sum_k (t^k(t) - y^k(t))^2", E(t), Sum((target(k, t) - y_k(k, t)) ** 2, (k, 1, K)))

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
distinct_24 = Step(
    "(24), l = c_j^v, summed over other cells", -by(E(t), (c, m)),
    Sum(e_s(j, p, t) * by(s(j, p, t), (c, m)), (p, 1, size(j))), (*to_weights, *rest_of_cell),
    right=(own_weights, *different, pick_terms, eq_23), forall=(j, v, m, t), where=(t >= 0,))

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


# Numbers, cell lstm1997: d y(t) / d what stands at the same step, [cell, unit].


def within_step_of_gate(values, q):
    """(21): f'_{out}(net_out(t)) h(s(t)), cell by block."""
    blocks = len(values["net_out"][-1])
    own_block = np.repeat(np.eye(blocks), len(values["s"][-1]) // blocks, axis=0)
    return own_block * of_cell(values, prime(values, "net_out", "sigma"))[:, None] * ROUTINES["h"](values["s"][-1])[:, None]


def within_step_of_state(values, q):
    """(23): y^{out}(t) h'(s(t))."""
    return np.diag(error_at_state(values, np.ones(len(values["s"][-1]))))


def within_step_of_unit(values, q):
    """(20): f'(net(t)) of ordinary units."""
    return np.diag(prime(values, "net", "sigma"))


def same_step(receiver, evaluate, cell="lstm1997"):
    """A check at lag 0, from the output."""
    return Check(cell, "y", receiver, True, evaluate, range(0, 1))


CLAIMS = [
    claim(16, "error of a step", "definition", eq_E, note="Without the factor 1/2 that (19) supposes."),
    claim(17, "gradient descent", "definition", def_step),
    claim(18, "error at a net input", "definition", def_e, note="For outputs: '18 outputs'."),
    claim(18, "error at the net input of an output", "definition", def_e_k, "outputs"),
    claim(19, "error at an output", "erratum", eq_19, printed=eq_19.rhs / 2,
          counterexample=Counterexample("f_k(z) = z at net_k = 0, target 1: 2 is not 1", linear_output),
          note="(16) has no factor 1/2, so (17)-(19) need the 2 of its derivative. With (19) as printed, (20)-(28) are "
               "the gradient of E/2; or alpha takes the 2."),
    claim(20, "error at an ordinary unit", "exact", eq_20, note="Reading A: outputs read step t.",
          checks=[same_step("net", within_step_of_unit, "conventional")]),
    claim(21, "error at an output gate", "exact", eq_21, note="Reading A: outputs read step t.",
          checks=[same_step("net_out", within_step_of_gate)]),
    claim(22, "weights into an output gate", "truncated", out_22, checks=[gradient("y", "W_out_y", output_by_out_weights)]),
    claim(22, "weights into an ordinary unit", "truncated", hidden_22, "ordinary units"),
    claim(22, "weights into an output", "erratum", output_22, "outputs", printed=alpha * e_k(p, t) * y(m, t - 1),
          counterexample=Counterexample("y^m(0) = 0, y^m(1) = 1 at t = 1: 2 alpha is not 0", output_weight),
          note="Printed y^m(t-1) for all l. With reading A, which (20)-(28) need, outputs read step t, and so must "
               "their weights."),
    claim(23, "error at the state", "exact", eq_23, checks=[same_step("s", within_step_of_state)],
          note="Reading A. y^{out_j}(t) is written f_{out_j}(net_{out_j}(t)); the left side is printed without (t)."),
    claim(24, "weights into an input gate", "truncated", in_24, checks=[gradient("y", "W_in_y", output_by_gate_weights)]),
    claim(24, "weights into a cell", "erratum", cell_24, "cells",
          printed=Sum(e_s(j, v, t) * state_by(c, t), (v, 1, size(j))),
          counterexample=Counterexample("two cells alike: the sum is twice the one term", two_cells),
          note="The v of the sum is also that of l = c_j^v. Only the term of that cell is left, as (28) has it."),
    claim(24, "weights into a cell, the two v read as different", "truncated", distinct_24, "cells, v distinct",
          note="The other reading of (24): summed over the cells of the block, for the weight of one of them. Right, as all "
               "terms but that of the cell itself are 0.", checks=[gradient("y", "W_c_y", output_by_cell_weights)]),
    claim(26, "weights into an input gate", "truncated", eq_26, checks=[gradient("y", "W_in_y", output_by_gate_weights)]),
    claim(28, "weights into a cell", "truncated", eq_28, checks=[gradient("y", "W_c_y", output_by_cell_weights)]),
]
