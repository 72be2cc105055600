"""Diagonal state space model with many inputs and outputs, zero-order hold: S5 (Smith, Warrington & Linderman 2023).

Complex modes as pairs of real states. A mode has a = -exp(log_a) + i omega, which starts at -1/2 + i pi row, in place of the
eigenvalues of HiPPO-N that it approximates; each has a step dt of its own, log-uniform in [0.001, 0.1].
"""

from sympy import cos, exp, log, pi, sin

from ..equations import Cell, CellClaim, Net, Unit
from ..notation import draw, row, symbols

x, re_prev, im_prev, log_dt, log_a, omega, in_re, in_im = symbols("x re_prev im_prev log_dt log_a omega in_re in_im")
a_re, a_im, b_re, b_im, re, im, y = symbols("a_re a_im b_re b_im re im y")

CELL = Cell(
    "s5", "Smith, Warrington & Linderman 2023", 2023,
    inputs=[x], state={re_prev: re, im_prev: im}, output=y,
    equations=[
        Net(log_dt, kind="vector", bias=log(0.001) + (log(0.1) - log(0.001)) * draw),
        Net(log_a, kind="vector", bias=log(0.5)),
        Net(omega, kind="vector", bias=pi * row),
        Unit(a_re, exp(-exp(log_a + log_dt)) * cos(omega * exp(log_dt))),
        Unit(a_im, exp(-exp(log_a + log_dt)) * sin(omega * exp(log_dt))),
        Unit(b_re, (exp(log_a) * (1 - a_re) + omega * a_im) / (exp(2 * log_a) + omega**2)),
        Unit(b_im, (omega * (1 - a_re) - exp(log_a) * a_im) / (exp(2 * log_a) + omega**2)),
        Net(in_re, x, bias=None),
        Net(in_im, x, bias=None),
        Unit(re, a_re * re_prev - a_im * im_prev + b_re * in_re - b_im * in_im),
        Unit(im, a_im * re_prev + a_re * im_prev + b_im * in_re + b_re * in_im),
        Net(y, re, im, x, bias=None),
    ],
    claims=[
        CellClaim("product:a_re,a_im", "re,im", "flow over q steps is exp(a dt q), mode by mode"),
        CellClaim("linear", "re,im", "the recurrence is linear in the state"),
        CellClaim("independent", "re,im", "no mode feeds another: the flow is diagonal"),
        CellClaim("nonexpansive", "re,im", "the flow never grows: every mode decays"),
    ],
)
