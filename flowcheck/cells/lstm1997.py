"""Memory cells of 1997: input gate, output gate, carousel; section 4 and A.1, equations (7)-(9).

Blocks of S cells share their gates. Cells and gates see the inputs, the cells and the gates (connectivity
of the experiments, section 5); inputs act at the step at which they are shown.
"""

from ..equations import Cell, CellClaim, Net, Unit
from ..notation import g, h, sigma, symbols

x, y_prev, s_prev, y_in_prev, y_out_prev = symbols("x y_prev s_prev y_in_prev y_out_prev")
net_in, net_out, net_c, y_in, y_out, in_c, out_c, s, y = symbols("net_in net_out net_c y_in y_out in_c out_c s y")
sources = (x, y_prev, y_in_prev, y_out_prev)

CELL = Cell(
    "lstm1997", "Hochreiter & Schmidhuber 1997, section 4 and appendix A.1", 1997,
    inputs=[x], state={s_prev: s, y_prev: y, y_in_prev: y_in, y_out_prev: y_out}, output=y,
    equations=[
        Net(net_in, *sources, size="blocks", bias=-1.0),
        Unit(y_in, sigma(net_in)),
        Net(net_out, *sources, size="blocks", bias=-1.0),
        Unit(y_out, sigma(net_out)),
        Net(net_c, *sources),
        Net(in_c, y_in, kind="shared"),
        Net(out_c, y_out, kind="shared"),
        Unit(s, s_prev + in_c * g(net_c)),
        Unit(y, out_c * h(s)),
    ],
    claims=[CellClaim("carousel", "s", "with the recurrent connections cut, error in s is kept at every lag")],
)
