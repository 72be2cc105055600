"""Elman's simple recurrent net: context units hold a copy of the hidden ones, output units read them (Elman 1990)."""

from ..equations import Cell, Net, Unit
from ..notation import sigma, symbols

x, y_prev, net, y, net_o, o = symbols("x y_prev net y net_o o")

CELL = Cell(
    "elman", "Elman 1990", 1990,
    inputs=[x], state={y_prev: y}, output=o,
    equations=[
        Net(net, x, y_prev),
        Unit(y, sigma(net)),
        Net(net_o, y, size="outputs"),
        Unit(o, sigma(net_o)),
    ],
    lengths={"outputs": 8},
)
