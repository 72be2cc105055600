"""Layer of a time-delay net: its units see the inputs of three steps, held in a delay line (Waibel et al. 1989)."""

from ..equations import Cell, CellClaim, Net, Unit
from ..notation import sigma, symbols

x, x_1, x_2, d_1, d_2, net, y = symbols("x x_1 x_2 d_1 d_2 net y")

CELL = Cell(
    "tdnn", "Waibel et al. 1989, delays 0, 1, 2", 1989,
    inputs=[x], state={x_1: d_1, x_2: d_2}, output=y,
    equations=[
        Unit(d_1, x),
        Unit(d_2, x_1),
        Net(net, x, x_1, x_2),
        Unit(y, sigma(net)),
    ],
    claims=[CellClaim("delay:2", "d_2", "flow is exactly zero beyond the delay line")],
)
