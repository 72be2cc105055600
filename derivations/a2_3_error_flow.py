r"""Appendix A.2: error flow through a memory cell over q steps, equations (40) and (41).

Problem. How is an error scaled that enters cell c_j at its output at time t, stays for q steps, and leaves through the
input gate in_j or the cell's input? Printed, with truncated backprop:

    (40)  d vartheta_s(t-q) / d vartheta_j(t) ~tr dy^{c_j}(t)/ds(t)                                                 q = 0
                                             ~tr [ds(t-q+1)/ds(t-q)] d vartheta_s(t-q+1)/d vartheta_j(t)           q > 0
    (41)  d vartheta_v(t-q) / d vartheta_j(t) ~tr [d vartheta_v(t-q)/d vartheta_s(t-q)] [d vartheta_s(t-q)/d vartheta_j(t)]
              ~tr [d vartheta_v(t-q)/d vartheta_s(t-q)] (prod_{m=q}^1 ds(t-m+1)/ds(t-m)) dy^{c_j}(t)/ds(t)
              ~tr y^{out_j}(t) h'(s_{c_j}(t))
                  * { g'(net_{c_j}(t-q)) y^{in_j}(t-q)               v = c_j
                    { g(net_{c_j}(t-q)) f'_{in_j}(net_{in_j}(t-q))   v = in_j.

Setting as for (30) and (31)-(39).

Results. All hold, for every q. The error is scaled on entry, at t, and on exit, at t-q; in between, for whatever q, not at
all. (41) is printed with a parenthesis that is never closed.
"""

import numpy as np
from sympy import Eq, Integer, Piecewise, Product

from flowcheck.claims import HYPOTHESIS, Cases, Differentiate, Given, Induction, Step, last_factor, partial
from flowcheck.notation import ROUTINES, g, h, sigma

from ._memory_cell_numbers import error_at_state, of_cell, prime
from .a2_1_one_step import c_j, check, claim, in_j, m, net, of_c, of_s, out_j, q, s, v, y
from .a2_2_error_signals import (
    cell_error,
    errors,
    external_truncated,
    in_error,
    later_first,
    ordinary,
    ordinary_later,
    output_error_truncated,
    state_error,
    theta,
    theta_j,
    theta_o,
    theta_s,
)

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
itself_s = Given("an error is itself", partial(theta_s(q), theta_s(q)), Integer(1))
first_line = Cases("(41), first line", flow(theta(v, q)), Piecewise(
    (partial(theta(c_j, q), theta_s(q)) * flow(theta_s(q)), Eq(v, c_j)),
    (partial(theta(in_j, q), theta_s(q)) * flow(theta_s(q)), Eq(v, in_j)), evaluate=False), tuple(
        Step(f"v = {unit}", flow(theta(v, q)), partial(theta(unit, q), theta_s(q)) * flow(theta_s(q)), (Differentiate(error, errors),),
             right=(Differentiate(error, errors), itself_s)) for unit, error in ((c_j, cell_error), (in_j, in_error))))
second_line = Cases("(41), second line", flow(theta(v, q)), Piecewise(
    (partial(theta(c_j, q), theta_s(q)) * factors, Eq(v, c_j)),
    (partial(theta(in_j, q), theta_s(q)) * factors, Eq(v, in_j)), evaluate=False), tuple(
        Step(f"v = {unit}", flow(theta(v, q)), partial(theta(unit, q), theta_s(q)) * factors,
             (Differentiate(error, errors), product_of_factors), right=(Differentiate(error, errors), itself_s))
        for unit, error in ((c_j, cell_error), (in_j, in_error))))

# Numbers: d y(t) / d receiver(t-q) [cell, unit], cell lstm1997, blocks of any size.


def entry_scale(values):
    """y^{out_j}(t) h'(s_{c_j}(t)), one number per cell."""
    return error_at_state(values, np.ones(len(values["s"][-1])))


def flow_to_state(values, q):
    """(40): y^{out_j}(t) h'(s_{c_j}(t)) on the diagonal."""
    return np.diag(entry_scale(values))


def flow_to_cell_input(values, q):
    """(41), v = c_j."""
    return np.diag(entry_scale(values) * prime(values, "net_c", "g", q) * of_cell(values, values["y_in"][-1 - q]))


def flow_to_input_gate(values, q):
    """(41), v = in_j: cell by block."""
    blocks = len(values["net_in"][-1])
    scale = entry_scale(values) * ROUTINES["g"](values["net_c"][-1 - q])
    own_block = np.repeat(np.eye(blocks), len(scale) // blocks, axis=0)
    return scale[:, None] * own_block * prime(values, "net_in", "sigma", q)


flows_40 = [check("y", "s", flow_to_state)]
flows_41 = [check("y", "net_c", flow_to_cell_input), check("y", "net_in", flow_to_input_gate)]

CLAIMS = [
    claim(40, "error flow within the cell", "truncated", True, eq_40, checks=flows_40),
    claim(40, "error flow within the cell, unrolled", "truncated", True, product_of_factors, name="product"),
    claim(40, "error flow within the cell, every factor 1", "truncated", True, constant_inside, name="every lag", checks=flows_40),
    claim(41, "error flow from output to input: first line", "truncated", True, first_line, name="first line"),
    claim(41, "error flow from output to input: second line", "truncated", True, second_line, name="second line"),
    claim(41, "error flow from output to input", "truncated", True, cell_flow, checks=flows_41,
          note="Scaled at t and at t-q only: no factor depends on the lag."),
]
