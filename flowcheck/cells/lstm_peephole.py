"""LSTM with peephole connections: the gates see the internal states (Gers, Schraudolph & Schmidhuber 2002).

Input and forget gate see s(t-1), the output gate sees s(t); the output is y_out s, without squashing.
"""

from ..equations import Cell, CellClaim, Net, Unit
from ..notation import sigma, symbols, tanh

x, y_prev, s_prev = symbols("x y_prev s_prev")
net_in, peep_in, net_f, peep_f, net_c, net_out, peep_out = symbols("net_in peep_in net_f peep_f net_c net_out peep_out")
y_in, y_f, y_out, s, y = symbols("y_in y_f y_out s y")

CELL = Cell(
    "lstm_peephole", "Gers, Schraudolph & Schmidhuber 2002", 2002,
    inputs=[x], state={s_prev: s, y_prev: y}, output=y,
    equations=[
        Net(net_in, x, y_prev),
        Net(peep_in, s_prev, kind="diagonal", bias=None),
        Unit(y_in, sigma(net_in + peep_in)),
        Net(net_f, x, y_prev),
        Net(peep_f, s_prev, kind="diagonal", bias=None),
        Unit(y_f, sigma(net_f + peep_f)),
        Net(net_c, x, y_prev),
        Unit(s, y_f * s_prev + y_in * tanh(net_c)),
        Net(net_out, x, y_prev),
        Net(peep_out, s, kind="diagonal", bias=None),
        Unit(y_out, sigma(net_out + peep_out)),
        Unit(y, y_out * s),
    ],
    claims=[CellClaim("product:y_f", "s", "with recurrent connections and peepholes cut, flow is the product of the forget gates")],
)
