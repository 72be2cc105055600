r"""Appendix A.2: the error signals in and around a memory cell, equations (31)-(39).

Problem. What error arrives at the gates, the input and the state of cell c_j, and does it come back from outside? Printed:

    (31)  vartheta_j(t) = sum_i w_{i c_j} vartheta_i(t+1)                              redefined: no f'
    (32)  vartheta_{out_j}(t) ~tr [dy^{out_j}(t)/dnet_{out_j}(t)] [dy^{c_j}(t)/dy^{out_j}(t)] vartheta_j(t)
    (33)  vartheta_s(t) = [ds(t+1)/ds(t)] vartheta_s(t+1) + [dy^{c_j}(t)/ds(t)] vartheta_j(t)
          vartheta_j(t) ~tr sum_{i no gate, no cell} w_{i c_j} vartheta_i(t+1), hence
    (34)  d vartheta_j(t) / d vartheta_s(t+1) ~tr 0               (35)  d vartheta_s(t) / d vartheta_s(t+1) ~tr 1
    (36)  vartheta_{c_j}(t) = [dg(net_{c_j}(t))/dnet_{c_j}(t)] [ds(t)/dg(net_{c_j}(t))] vartheta_s(t)
    (37)  vartheta_{in_j}(t) ~tr [dy^{in_j}(t)/dnet_{in_j}(t)] [ds(t)/dy^{in_j}(t)] vartheta_s(t)
    (38)  vartheta^e_v(t) = [dy^v(t)/dnet_v(t)] sum_l [dnet_l(t+1)/dy^v(t)] vartheta_l(t+1)
    (39)  d vartheta^e_v(t-1) / d vartheta_j(t) ~tr 0

Setting as for (30). An error vartheta_x(t) is -dE/dx(t), all later effects of x(t) included; x is a net input but for
vartheta_j (output of c_j, (31)) and vartheta_{s_{c_j}} (state). Then the chain rule makes vartheta_x the sum, over the
equations that read x, of their direct derivative times their error.

Results. All hold. (36) is exact; (37), written ~tr, does need it: y^{in_j}(t) is also read by gates and cells at t+1. The
ds(t+1)/ds(t) of (33) is the direct derivative of (9), which is 1, not the factor (30).
"""

import numpy as np
from sympy import Integer, Sum

from flowcheck.claims import Differentiate, Given, Step, partial, quantity
from flowcheck.notation import ROUTINES, g, h, sigma

from ._memory_cell_numbers import error_at_state, of_cell, prime
from .a1_4_backward_pass import within_step_of_gate
from .a2_1_one_step import (
    M,
    N,
    a,
    c_j,
    check,
    claim,
    eq_o,
    gates_inside,
    i,
    identity,
    in_j,
    k,
    l,
    net,
    net_o,
    now,
    of_c,
    of_in,
    of_out,
    of_s,
    out_j,
    over_all,
    s,
    slope,
    truncated,
    truncation,
    v,
    w,
    weight,
    y,
    y_o,
)

theta, theta_o = (quantity(name, r"\vartheta_{{{0}}}({1:t})") for name in ("theta", "theta_o"))
theta_j = quantity("theta_j", r"\vartheta_{{j}}({0:t})")
theta_s = quantity("theta_s", r"\vartheta_{{s_{{c_j}}}}({0:t})")
theta_y = quantity("theta_y", r"\vartheta_{{y^{{{0}}}}}({1:t})")
theta_e = quantity("theta_e", r"\vartheta^{{e}}_{{{0}}}({1:t})")

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


# Numbers: d y(t) / d net input at t, [cell, unit].


def within_step_of_input(values, q):
    """(36), error at y^{c}(t): g'(net_c(t)) y^{in}(t) y^{out}(t) h'(s(t))."""
    ones = np.ones(len(values["s"][-1]))
    return np.diag(prime(values, "net_c", "g") * of_cell(values, values["y_in"][-1]) * error_at_state(values, ones))


def within_step_of_input_gate(values, q):
    """(37), error at y^{c}(t): f'_{in}(net_in(t)) g(net_c(t)) y^{out}(t) h'(s(t)), cell by block."""
    scale = of_cell(values, prime(values, "net_in", "sigma")) * error_at_state(values, ROUTINES["g"](values["net_c"][-1]))
    return scale[:, None] * np.repeat(np.eye(len(values["net_in"][-1])), len(scale) // len(values["net_in"][-1]), axis=0)


def no_flow(values, q):
    """(39): what arrives at y^{c}(t) does not reach any y^{c}(t-q) by way of net inputs."""
    return np.zeros((len(values["s"][-1]), len(values["s"][-1])))


CLAIMS = [
    claim(31, "error at the output of c_j", "exact", True, now(output_error),
          note="Redefinition of vartheta_j: without f'. Sums run over ordinary units i and over gates and cells l."),
    claim(31, "error at the output of c_j, truncated", "truncated", True, now(output_error_truncated), name="truncated",
          note="Printed between (33) and (34)."),
    claim(32, "error at the output gate", "truncated", True, now(out_error),
          checks=[check("y", "net_out", within_step_of_gate, lags=range(0, 1))]),
    claim(33, "error of the state", "exact", True, now(state_error),
          note="With ds(t+1)/ds(t) the direct derivative of (9), which is 1; with the factor (30) the way over y^{c_j}(t) would "
               "count twice. Under truncation the two agree."),
    claim(34, "no error comes back from outside", "truncated", True, now(from_outside)),
    claim(35, "no scaling within the state", "truncated", True, now(unscaled), checks=[check("s", "s", identity)]),
    claim(36, "error at the input of c_j", "exact", True, now(cell_error),
          checks=[check("y", "net_c", within_step_of_input, lags=range(0, 1))]),
    claim(37, "error at the input gate", "truncated", True, now(in_error),
          checks=[check("y", "net_in", within_step_of_input_gate, lags=range(0, 1))],
          note="The ~tr is needed, where (36) is exact: y^{in_j}(t) is also read by gates and cells at t+1."),
    claim(37, "error at the input gate, no truncation", "exact", False, now(in_error_full), name="no truncation"),
    claim(38, "external error", "exact", True, now(external)),
    claim(38, "external error, truncated", "truncated", False, now(external_truncated), name="truncated"),
    claim(39, "no external error flow", "truncated", True, no_external,
          checks=[check("y", "y", no_flow)]),
]
