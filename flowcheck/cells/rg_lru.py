"""Real-gated linear recurrent unit, the recurrence of Griffin (De et al. 2024): h = a h_prev + sqrt(1 - a^2) i u.

a = sigma(Lambda)^(8 r), r and i gates that see the input only. Lambda starts so that a, with r = 1, is in [0.9, 0.999].
x is mapped to the channels by W_u; gates see the channels. Griffin's gates have block-diagonal weights, these are dense.
"""

from sympy import exp, log, sqrt

from ..equations import Cell, CellClaim, Net, Unit
from ..notation import draw, sigma, softplus, symbols

x, h_prev, u, net_r, r, net_i, i, lam, a, h = symbols("x h_prev u net_r r net_i i lam a h")
START = (0.9 + 0.099 * draw) ** (1 / 8)

CELL = Cell(
    "rg_lru", "De et al. 2024, Griffin", 2024,
    inputs=[x], state={h_prev: h}, output=h,
    equations=[
        Net(u, x),
        Net(net_r, u),
        Unit(r, sigma(net_r)),
        Net(net_i, u),
        Unit(i, sigma(net_i)),
        Net(lam, kind="vector", bias=log(START / (1 - START))),
        Unit(a, exp(-8 * r * softplus(-lam))),
        Unit(h, a * h_prev + sqrt(1 - a**2) * i * u),
    ],
    claims=[
        CellClaim("product:a", "h", "flow over q steps is the product of q gates a"),
        CellClaim("linear", "h", "the recurrence is linear in the state"),
        CellClaim("independent", "h", "no unit feeds another: the flow is diagonal"),
        CellClaim("nonexpansive", "h", "the flow never grows: 0 < a < 1"),
    ],
)
