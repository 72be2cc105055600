"""Linear recurrent unit: complex diagonal recurrence, as a pair of real states (Orvieto et al. 2023).

lambda = exp(-exp(nu) + i exp(theta)), inside the unit circle for every nu; it starts on the ring 0.9 < |lambda| < 0.999, any phase.
"""

from sympy import cos, exp, log, pi, sin, sqrt

from ..equations import Cell, CellClaim, Net, Unit
from ..notation import draw, symbols

x, re_prev, im_prev, nu, theta, log_gain = symbols("x re_prev im_prev nu theta log_gain")
a_re, a_im, gain, b_re, b_im, re, im, y = symbols("a_re a_im gain b_re b_im re im y")

CELL = Cell(
    "lru", "Orvieto et al. 2023", 2023,
    inputs=[x], state={re_prev: re, im_prev: im}, output=y,
    equations=[
        Net(nu, kind="vector", bias=log(-log(0.9**2 + (0.999**2 - 0.9**2) * draw) / 2)),
        Net(theta, kind="vector", bias=log(2 * pi * draw)),
        Net(log_gain, kind="vector", bias=0.0),
        Unit(a_re, exp(-exp(nu)) * cos(exp(theta))),
        Unit(a_im, exp(-exp(nu)) * sin(exp(theta))),
        Unit(gain, exp(log_gain) * sqrt(1 - exp(-2 * exp(nu)))),
        Net(b_re, x, bias=None),
        Net(b_im, x, bias=None),
        Unit(re, a_re * re_prev - a_im * im_prev + gain * b_re),
        Unit(im, a_im * re_prev + a_re * im_prev + gain * b_im),
        Net(y, re, im, x, bias=None),
    ],
    claims=[
        CellClaim("product:a_re,a_im", "re,im", "flow over q steps is lambda to the q"),
        CellClaim("linear", "re,im", "the recurrence is linear in the state"),
        CellClaim("independent", "re,im", "no unit feeds another: the flow is diagonal"),
        CellClaim("nonexpansive", "re,im", "the flow never grows: |lambda| < 1 for every parameter"),
    ],
)
