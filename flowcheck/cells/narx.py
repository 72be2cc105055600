"""NARX net: the output sees its own values of the last three steps, held in a delay line (Lin, Horne, Tino & Giles 1996).

A path over q steps takes as few as q/3 factors: the delays are short cuts for error flow.
"""

from ..equations import Cell, Net, Unit
from ..notation import symbols, tanh

x, y_1, y_2, y_3, d_2, d_3, net, y = symbols("x y_1 y_2 y_3 d_2 d_3 net y")

CELL = Cell(
    "narx", "Lin, Horne, Tino & Giles 1996, output delays 1, 2, 3", 1996,
    inputs=[x], state={y_1: y, y_2: d_2, y_3: d_3}, output=y,
    equations=[
        Unit(d_2, y_1),
        Unit(d_3, y_2),
        Net(net, x, y_1, y_2, y_3),
        Unit(y, tanh(net)),
    ],
)
