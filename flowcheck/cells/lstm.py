"""LSTM with forget gate, tanh for g and h: the LSTM of today's frameworks (Gers, Schmidhuber & Cummins 2000)."""

from ..equations import Cell, CellClaim, Layout, Net, Unit
from ..notation import sigma, symbols, tanh

x, y_prev, s_prev = symbols("x y_prev s_prev")
net_in, net_f, net_c, net_out, y_in, y_f, c, y_out, s, y = symbols(
    "net_in net_f net_c net_out y_in y_f c y_out s y")

CELL = Cell(
    "lstm", "Gers, Schmidhuber & Cummins 2000, without peepholes", 2000,
    inputs=[x], state={s_prev: s, y_prev: y}, output=y,
    equations=[
        Net(net_in, x, y_prev),
        Unit(y_in, sigma(net_in)),
        Net(net_f, x, y_prev),
        Unit(y_f, sigma(net_f)),
        Net(net_c, x, y_prev),
        Unit(c, tanh(net_c)),
        Net(net_out, x, y_prev),
        Unit(y_out, sigma(net_out)),
        Unit(s, y_f * s_prev + y_in * c),
        Unit(y, y_out * tanh(s)),
    ],
    claims=[CellClaim("product:y_f", "s", "with the recurrent connections cut, flow over q steps is the product of q forget gates")],
    layouts=[
        Layout("torch", "LSTM", ("net_in", "net_f", "net_c", "net_out"), letters=("i", "f", "g", "o")),
        Layout("keras", "LSTM", ("net_in", "net_f", "net_c", "net_out"), letters=("i", "f", "c", "o")),
        Layout("onnx", "LSTM", ("net_in", "net_out", "net_f", "net_c"), letters=("i", "o", "f", "c")),
    ],
)
