"""Naive constant error carousel, section 3.2: linear units with one self-connection of weight 1.0.

f(x) = x and w_jj = 1.0, so that f'(net) w_jj = 1.0: the error that a unit holds stays what it is.
"""

from ..equations import Cell, CellClaim, Net, Unit
from ..notation import symbols

x, s_prev, net, s = symbols("x s_prev net s")

CELL = Cell(
    "carousel", "Hochreiter & Schmidhuber 1997, section 3.2", 1997,
    inputs=[x], state={s_prev: s}, output=s,
    equations=[
        Net(net, x),
        Unit(s, s_prev + net),
    ],
    claims=[CellClaim("carousel", "s", "error flow is the identity at every lag")],
)
