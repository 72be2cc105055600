"""Minimal gated unit: one gate forgets and resets (Zhou, Wu, Zhang & Zhou 2016)."""

from ..equations import Cell, CellClaim, Net, Unit
from ..notation import sigma, symbols, tanh

x, y_prev, net_f, f, keep, fy, net_c, y = symbols("x y_prev net_f f keep fy net_c y")

CELL = Cell(
    "mgu", "Zhou, Wu, Zhang & Zhou 2016", 2016,
    inputs=[x], state={y_prev: y}, output=y,
    equations=[
        Net(net_f, x, y_prev),
        Unit(f, sigma(net_f)),
        Unit(keep, 1 - f),
        Unit(fy, f * y_prev),
        Net(net_c, x, fy),
        Unit(y, keep * y_prev + f * tanh(net_c)),
    ],
    claims=[
        CellClaim("product:keep", "y", "with the recurrent connections cut, flow is the product of 1 - f"),
        CellClaim("coupled:f,keep", "y", "what is kept and what is written add up to 1"),
    ],
)
