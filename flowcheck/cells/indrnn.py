"""Independently recurrent net: each unit sees its own last value only, rectified (Li et al. 2018). Recurrent weights start in U(0, 1)."""

from sympy import Max

from ..equations import Cell, CellClaim, Net, Unit
from ..notation import draw, symbols

x, y_prev, net_x, net_u, y = symbols("x y_prev net_x net_u y")

CELL = Cell(
    "indrnn", "Li, Li, Cook, Zhu & Gao 2018", 2018,
    inputs=[x], state={y_prev: y}, output=y,
    equations=[
        Net(net_x, x),
        Net(net_u, y_prev, kind="diagonal", bias=None, initial={y_prev: draw}),
        Unit(y, Max(net_x + net_u, 0)),
    ],
    claims=[CellClaim("independent", "y", "no unit feeds another: the flow is diagonal")],
)
