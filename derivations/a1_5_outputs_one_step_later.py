r"""Appendix A.1 with outputs one step later: equations (20)-(24), (26), (28) by the letter of its forward pass (reading B).

Problem. By A.1 an output unit reads y^u(t-1): net_k(t) = sum_{u no gate} w_ku y^u(t-1). So E(t) depends on what the hidden
layer computed at t-1, not at t. Printed, (20)-(28) join e_k(t) with h(s(t)), h'(s(t)) and ds(t)/dw. What do they have to be?

Setting and truncation as before; the only difference to reading A is the forward equation of the outputs.

Results. Every quantity of the hidden layer in (20), (21), (23), (24), (26), (28) belongs at t-1, and the y^m(t-1) of (22) at
t-2 for l = i, out_j; for l = k, (22) is right as printed. As printed, with A.1's forward pass, (23) would be 0.
"""

import sympy
from sympy import Eq, Integer, Rational, Sum

from flowcheck.claims import Counterexample, Differentiate, Step, pick_terms
from flowcheck.notation import h, sigma

from .a1_1_forward_pass import (
    K,
    by,
    c,
    claim,
    different,
    eq_net_k,
    eq_out,
    given,
    hidden,
    i,
    in_j,
    j,
    m,
    net,
    out_j,
    output,
    p,
    s,
    size,
    slope,
    t,
    u,
    v,
    w,
    weights_apart,
    y,
)
from .a1_2_truncated_derivatives import eq_11, eq_13, eq_15, of_i, through_c, through_out, total
from .a1_3_derivatives_of_outputs import own_weights_only
from .a1_4_backward_pass import (
    E,
    alpha,
    apart_in_cell,
    by_e_k,
    chain_E,
    change,
    def_e_s,
    def_step,
    e_k,
    e_s,
    eq_23,
    from_outputs,
    itself,
    only_block,
    only_cell,
    only_i,
    state_by,
)

earlier = (given("what is computed at t-1 does not depend on step t", total(y(u, t - 1), s(j, v, t)),
                 Integer(0), u, j, v),
           only_cell[1])
to_outputs = (chain_E, by_e_k, Differentiate(eq_net_k, (w, y)))
not_at_t = Step("(23), outputs one step later", e_s(j, v, t), Integer(0), (def_e_s, *to_outputs, *earlier), forall=(j, v, t))


def error(node):
    """-dE(t) / d node, a net input or state at t-1"""
    return -total(E(t), node)


error_20 = Step("(20) at t-1", error(net(hidden(i), t - 1)), slope(hidden(i), t - 1) * from_outputs(hidden(i)),
                (*to_outputs, *only_i, pick_terms, of_i, *itself), forall=(i, t))
error_21 = Step("(21) at t-1", error(net(out_j, t - 1)),
                sigma.slope(net(out_j, t - 1)) * Sum(h(s(j, v, t - 1)) * from_outputs(c), (v, 1, size(j))),
                (*to_outputs, *only_block, pick_terms, through_c, *apart_in_cell, through_out, *itself), forall=(j, t))
error_23 = Step("(23) at t-1", error(s(j, v, t - 1)), sigma(net(out_j, t - 1)) * h.slope(s(j, v, t - 1)) * from_outputs(c),
                (*to_outputs, *only_cell, pick_terms, through_c, *apart_in_cell, *itself, eq_out), forall=(j, v, t))



def read_backwards(step):
    """dE(t)/d node = -error(node)"""
    return Step(f"{step.words}, its sign turned", -step.lhs, -step.rhs, step.using, forall=step.forall)


from_20, from_21, from_23 = map(read_backwards, (error_20, error_21, error_23))
to_weights = (def_step, *to_outputs, *weights_apart, *own_weights_only)
rest_of_cell = (eq_15, eq_13, *different, eq_out)
output_22 = Step("(22), l = k", change(output(p)), alpha * e_k(p, t) * y(m, t - 1), to_weights, forall=(p, m, t), where=(t > 0,))
hidden_22 = Step("(22), l = i", change(hidden(i)), alpha * error(net(hidden(i), t - 1)) * y(m, t - 2), (*to_weights, eq_11),
                 right=(from_20,), forall=(i, m, t), where=(t > 0,))
out_22 = Step("(22), l = out_j", change(out_j), alpha * error(net(out_j, t - 1)) * y(m, t - 2), (*to_weights, *rest_of_cell),
              right=(from_21,), forall=(j, m, t), where=(t > 0,))
eq_24 = Step("(24), l = in_j", -by(E(t), (in_j, m)), Sum(error(s(j, v, t - 1)) * state_by(in_j, t - 1), (v, 1, size(j))),
             (*to_weights, *rest_of_cell), right=(from_23,), forall=(j, m, t), where=(t > 0,))
eq_26 = Step("(26)", change(in_j), alpha * Sum(error(s(j, v, t - 1)) * state_by(in_j, t - 1), (v, 1, size(j))),
             (*to_weights, *rest_of_cell), right=(from_23,), forall=(j, m, t), where=(t > 0,))
eq_28 = Step("(28)", change(c), alpha * error(s(j, v, t - 1)) * state_by(c, t - 1), (*to_weights, *rest_of_cell),
             right=(from_23,), forall=(j, v, m, t), where=(t > 0,))


def outputs_one_step_later(relation):
    """One output, f_k(z) = z, weight 1, t^k(t) = 1, net inputs and states 0: E(t) holds y^{c_j^v}(t-1), not s(t)."""
    state_now, output_before = sympy.symbols("state_now output_before")
    error = -sympy.diff((1 - output_before) ** 2, state_now)
    right = relation.rhs.subs(K, 1).doit().subs({
        sigma(net(out_j, t)): Rational(1, 2), h.slope(s(j, v, t)): Rational(1, 2), w(output(1), c): 1, e_k(1, t): 2})
    return Eq(error, right)


def reading_b(number, title, fact, name="reading B", status="exact", **more):
    """What an equation has to be when outputs read step t-1."""
    return claim(number, f"{title}, outputs one step later", status, fact, name, printed=None, **more)


CLAIMS = [
    claim(23, "error at the state, times of A.1", "erratum", not_at_t, "times of A.1", printed=eq_23.rhs,
          counterexample=Counterexample("one output of weight 1, all net inputs 0: 0 is not 1/2",
                                        outputs_one_step_later),
          note="If outputs read y^u(t-1), as the forward pass of A.1 has it, E(t) does not depend on s(t), and (23) "
               "is 0. The same holds of (20), (21), (26), (28). Outputs read step t (reading A), or these need t-1 (reading B)."),
    reading_b(20, "error at an ordinary unit", error_20),
    reading_b(21, "error at an output gate", error_21),
    claim(22, "weights into an output, outputs one step later", "truncated", output_22, "reading B, outputs",
          note="As printed: with A.1's own forward pass (22) is right for l = k."),
    reading_b(22, "weights into an output gate", out_22, "reading B, output gate", "truncated", note="y^m(t-2) for y^m(t-1)."),
    reading_b(22, "weights into an ordinary unit", hidden_22, "reading B, ordinary units", "truncated", note="y^m(t-2) for y^m(t-1)."),
    reading_b(23, "error at the state", error_23),
    reading_b(24, "weights into an input gate", eq_24, status="truncated"),
    reading_b(26, "weights into an input gate", eq_26, status="truncated"),
    reading_b(28, "weights into a cell", eq_28, status="truncated"),
]
