"""Diagonal state space model, one per channel, zero-order hold: S4D (Gu, Gupta, Goel & Re 2022). Complex modes are pairs of real states.

A mode has a = -exp(log_a) + i omega, which starts at S4D-Lin, -1/2 + i pi column; over a step of length dt it is multiplied by
exp(a dt), and the input by (exp(a dt) - 1) / a. The steps start log-uniform in [0.001, 0.1]. x is mapped to the channels by W_u.
"""

from sympy import cos, exp, log, pi, sin

from ..equations import Cell, CellClaim, Net, Unit
from ..notation import column, draw, symbols

x, re_prev, im_prev, u, u_m, log_dt, dt, log_a, omega = symbols("x re_prev im_prev u u_m log_dt dt log_a omega")
a_re, a_im, b_re, b_im, re, im, c_re, c_im, out, out_sum, skip, y = symbols("a_re a_im b_re b_im re im c_re c_im out out_sum skip y")
MODES = {"size": "units*modes"}

CELL = Cell(
    "s4d", "Gu, Gupta, Goel & Re 2022, S4D-Lin", 2022,
    inputs=[x], state={re_prev: re, im_prev: im}, output=y, lengths={"modes": 16},
    equations=[
        Net(u, x, bias=None),
        Net(u_m, u, kind="shared", **MODES),
        Net(log_dt, kind="vector", bias=log(0.001) + (log(0.1) - log(0.001)) * draw),
        Net(dt, log_dt, kind="shared", **MODES),
        Net(log_a, kind="vector", bias=log(0.5), **MODES),
        Net(omega, kind="vector", bias=pi * column, **MODES),
        Unit(a_re, exp(-exp(log_a) * exp(dt)) * cos(omega * exp(dt))),
        Unit(a_im, exp(-exp(log_a) * exp(dt)) * sin(omega * exp(dt))),
        Unit(b_re, (exp(log_a) * (1 - a_re) + omega * a_im) / (exp(2 * log_a) + omega**2)),
        Unit(b_im, (omega * (1 - a_re) - exp(log_a) * a_im) / (exp(2 * log_a) + omega**2)),
        Unit(re, a_re * re_prev - a_im * im_prev + b_re * u_m),
        Unit(im, a_im * re_prev + a_re * im_prev + b_im * u_m),
        Net(c_re, kind="vector", bias=2 * draw - 1, **MODES),
        Net(c_im, kind="vector", bias=2 * draw - 1, **MODES),
        Unit(out, 2 * (c_re * re - c_im * im)),
        Net(out_sum, out, kind="pooled"),
        Net(skip, kind="vector", bias=1.0),
        Unit(y, out_sum + skip * u),
    ],
    claims=[
        CellClaim("product:a_re,a_im", "re,im", "flow over q steps is exp(a dt q), mode by mode"),
        CellClaim("linear", "re,im", "the recurrence is linear in the state"),
        CellClaim("independent", "re,im", "no mode feeds another: the flow is diagonal"),
        CellClaim("nonexpansive", "re,im", "the flow never grows: every mode decays"),
    ],
)
