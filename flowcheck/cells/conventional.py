"""Fully recurrent net, section 3.1: every unit feeds every unit one step later. Logistic units; any f by `fully_recurrent`."""

from ..equations import Cell, Net, Unit
from ..notation import sigma, symbols

x, y_prev, net, y = symbols("x y_prev net y")


def fully_recurrent(f, name, source, year, layouts=()):
    """The fully recurrent cell with squashing function f: y = f(W [x, y_prev] + b)."""
    return Cell(
        name, source, year, inputs=[x], state={y_prev: y}, output=y, layouts=layouts,
        equations=[
            Net(net, x, y_prev),
            Unit(y, f(net)),
        ],
    )


CELL = fully_recurrent(sigma, "conventional", "Hochreiter & Schmidhuber 1997, section 3.1", 1997)
