"""Unit of recurrent cascade correlation: it sees its inputs and, through one weight, itself (Fahlman 1991).

Units are added one at a time and then frozen: those below a unit are inputs of it. A cascade within one step, where unit i reads
units j < i of the same step, is no affine map of earlier vectors; stack layers of this cell for it.
"""

from ..equations import Cell, CellClaim, Net, Unit
from ..notation import sigma, symbols

x, y_prev, net_x, net_s, y = symbols("x y_prev net_x net_s y")

CELL = Cell(
    "rcc", "Fahlman 1991, recurrent cascade correlation", 1991,
    inputs=[x], state={y_prev: y}, output=y,
    equations=[
        Net(net_x, x),
        Net(net_s, y_prev, kind="diagonal", bias=None),
        Unit(y, sigma(net_x + net_s)),
    ],
    claims=[CellClaim("independent", "y", "no unit feeds another: the flow is diagonal")],
)
