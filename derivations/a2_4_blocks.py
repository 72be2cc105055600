r"""Appendix A.2 for memory cell blocks of any size S: (32), (33), (36), (37), (40), (41) with a sum over the cells of a block.

Problem. A.2 treats blocks of one cell, c_j. In a block of S cells c_j^v the gates are shared: y^{in_j}(t) is read by all S
states, y^{out_j}(t) by all S outputs. What becomes of (32), (37), (40) and (41)?

Setting and truncation as for (30)-(39); vartheta_{j,v} is the error at the output of cell v, vartheta_{s_v} that of its state.

Results. The errors at the gates are sums over the cells of the block,

    vartheta_{out_j}(t) ~tr f'_{out_j}(net_{out_j}(t)) sum_v h(s_v(t)) vartheta_{j,v}(t)
    vartheta_{in_j}(t)  ~tr f'_{in_j}(net_{in_j}(t)) sum_v g(net_{c_j^v}(t)) vartheta_{s_v}(t).

An error that enters at cell p stays in the state of cell p, unscaled, and leaves through its own input or the shared gate:
(41) holds for every block size, and nothing crosses to another cell of the block.
"""

from sympy import Eq, Integer, KroneckerDelta, Sum

from flowcheck.claims import (
    HYPOTHESIS,
    Claim,
    Differentiate,
    Given,
    Induction,
    LocalDerivative,
    Proof,
    Step,
    indices,
    partial,
    pick_terms,
    quantity,
)
from flowcheck.notation import g, h, sigma

from .a2_1_one_step import (
    N,
    a,
    eq_o,
    forward,
    gates_inside,
    i,
    in_j,
    k,
    net,
    of_in,
    of_out,
    out_j,
    q,
    slope,
    truncated,
    truncation,
    v,
    w,
    y,
)
from .a2_2_error_signals import at_in, at_ordinary, at_out, chain_rule, next_step, ordinary, theta, theta_e, theta_o, theta_y
from .a2_3_error_flow import flows_40, flows_41

c = quantity("c", "c_{{j}}^{{{0}}}", integer=True, positive=True)
p, S = indices("p S_j")
s = quantity("s", "s_{{c_j^{{{0}}}}}({1:t})")
theta_j = quantity("theta_j", r"\vartheta_{{j,{0}}}({1:t})")
theta_s = quantity("theta_s", r"\vartheta_{{s_{{c_j^{{{0}}}}}}}({1:t})")

# Forward pass of the cells, and which equations read what.

eq_s = forward("(9) s_v(t) = s_v(t-1) + y^{in_j}(t) g(net_{c_j^v}(t))", s(v, k), s(v, k + 1) + y(in_j, k) * g(net(c(v), k)), v)
eq_c = forward("(9) y^{c_j^v}(t) = y^{out_j}(t) h(s_v(t))", y(c(v), k), y(out_j, k) * h(s(v, k)), v)
of_s, of_c = map(LocalDerivative, (eq_s, eq_c))
at_output = chain_rule("y^{c_j^v}(t) is read by net inputs at t+1", theta_j(v, k), next_step(y(c(v), k)), v)
at_y_out = chain_rule("y^{out_j}(t) is read by all outputs y^{c_j^v}(t) of its block, and net inputs at t+1", theta_y(out_j, k),
                      Sum(partial(y(c(v), k), y(out_j, k)) * theta_j(v, k), (v, 1, S)) + next_step(y(out_j, k)))
at_y_in = chain_rule("y^{in_j}(t) is read by all states of its block, and net inputs at t+1", theta_y(in_j, k),
                     Sum(partial(s(v, k), y(in_j, k)) * theta_s(v, k), (v, 1, S)) + next_step(y(in_j, k)))
at_c = chain_rule("net_{c_j^v}(t) is read by s_v(t)", theta(c(v), k), partial(s(v, k), net(c(v), k)) * theta_s(v, k), v)
at_s = chain_rule("s_v(t) is read by s_v(t+1) and y^{c_j^v}(t)", theta_s(v, k),
                  partial(s(v, k - 1), s(v, k)) * theta_s(v, k - 1) + partial(y(c(v), k), s(v, k)) * theta_j(v, k), v)

# Error signals.

output_error = Step("(31), truncated", theta_j(v, k), Sum(w(i, c(v)) * theta_o(i, k - 1), (i, 1, N)), (at_output, *truncated),
                    forall=(v, k))
out_error = Step("(32)", theta(out_j, k), sigma.slope(net(out_j, k)) * Sum(h(s(v, k)) * theta_j(v, k), (v, 1, S)),
                 (at_out, of_out, at_y_out, of_c, *gates_inside, *truncation), forall=(k,))
state_error = Step("(33)", theta_s(v, k), theta_s(v, k - 1) + y(out_j, k) * h.slope(s(v, k)) * theta_j(v, k), (at_s, of_s, of_c),
                   forall=(v, k))
cell_error = Step("(36)", theta(c(v), k), g.slope(net(c(v), k)) * y(in_j, k) * theta_s(v, k), (at_c, of_s), forall=(v, k))
in_error = Step("(37)", theta(in_j, k), sigma.slope(net(in_j, k)) * Sum(g(net(c(v), k)) * theta_s(v, k), (v, 1, S)),
                (at_in, of_in, at_y_in, of_s, *gates_inside, *truncation), forall=(k,))
external = Step("(38), truncated", theta_e(v, k), slope(v, k) * Sum(w(i, v) * theta_o(i, k - 1), (i, 1, N)),
                (at_ordinary, eq_o, *truncated), forall=(v, k))

# q steps: the error that enters at cell p.

errors = (theta, theta_o, theta_e, theta_s, theta_j)


def flow(error):
    """d error / d vartheta_{j,p}(t)"""
    return partial(error, theta_j(p, 0))


later_first = tuple(
    Given("backward pass: an error at a later step does not depend on one at an earlier step", partial(late, theta_j(p, a)), Integer(0),
          forall=(v, k, a, p), where=(a > k,)) for late in (theta_o(v, k), theta(v, k), theta_s(v, k)))
itself = Given("errors at the outputs of different cells are varied one by one", flow(theta_j(v, 0)), KroneckerDelta(v, p), forall=(v,))
outward = (Differentiate(ordinary, errors), Differentiate(external, errors))
outside = Induction(
    "no error that entered at the block is ever outside of it", flow(theta_o(v, q)), Integer(0), q, start=0, forall=(v, q),
    base=Step("at t", flow(theta_o(v, q)), Integer(0), (*outward, *later_first)),
    step=Step("one step more", flow(theta_o(v, q)), Integer(0), (*outward, HYPOTHESIS)))
output_again = Step("nothing comes back to an output of the block", flow(theta_j(v, q)), Integer(0),
                    (Differentiate(output_error, errors), outside), forall=(v, q), where=(q > 0,))
inside = Differentiate(state_error, errors)
entry = KroneckerDelta(v, p) * y(out_j, 0) * h.slope(s(v, 0))
constant_inside = Induction(
    "(40) for every q", flow(theta_s(v, q)), entry, q, start=0, forall=(v, q),
    base=Step("q = 0", flow(theta_s(v, q)), entry, (inside, itself, *later_first)),
    step=Step("a factor of 1 more", flow(theta_s(v, q)), entry, (inside, output_again, HYPOTHESIS)))
leave_by_cell = Step("(41), v = c_j^v", flow(theta(c(v), q)), entry * g.slope(net(c(v), q)) * y(in_j, q),
                     (Differentiate(cell_error, errors), constant_inside), forall=(v, q))
leave_by_gate = Step("(41), v = in_j", flow(theta(in_j, q)),
                     y(out_j, 0) * h.slope(s(p, 0)) * g(net(c(p), q)) * sigma.slope(net(in_j, q)),
                     (Differentiate(in_error, errors), constant_inside, pick_terms), forall=(q,))


def claim(number, title, fact, status="truncated", checks=(), note="", name="blocks"):
    """What an equation of A.2 is for blocks of any size."""
    return Claim(f"{number} {name}", f"A.{number - 2}", "A.2", title, status, None, Eq(fact.lhs, fact.rhs, evaluate=False), Proof(fact),
                 checks=checks, note=note)


CLAIMS = [
    claim(32, "error at the output gate of a block", out_error.at({k: 0}), note="A.2 has S = 1."),
    claim(33, "error of the state of one cell of a block", state_error.at({k: 0}), "exact"),
    claim(36, "error at the input of one cell of a block", cell_error.at({k: 0}), "exact"),
    claim(37, "error at the input gate of a block", in_error.at({k: 0}), note="A.2 has S = 1."),
    claim(40, "error flow within a block, every lag", constant_inside, checks=flows_40,
          note="Nothing crosses from one cell of a block to another."),
    claim(41, "error flow from output to input of a cell of a block", leave_by_cell, checks=flows_41[:1], name="blocks, cell input"),
    claim(41, "error flow from output to input gate of a block", leave_by_gate, checks=flows_41[1:], name="blocks, input gate"),
]
