"""LSTM with a recurrent projection: gates see a linear image of the outputs (Sak, Senior & Beaufays 2014; torch's proj_size)."""

from ..equations import Cell, CellClaim, Layout, Net, Unit
from ..notation import sigma, symbols, tanh

x, y_prev, s_prev = symbols("x y_prev s_prev")
net_in, net_f, net_c, net_out, y_in, y_f, c, y_out, s, m, y = symbols("net_in net_f net_c net_out y_in y_f c y_out s m y")

CELL = Cell(
    "lstm_projected", "Sak, Senior & Beaufays 2014, without peepholes", 2014,
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
        Unit(m, y_out * tanh(s)),
        Net(y, m, bias=None, size="projected"),
    ],
    claims=[CellClaim("product:y_f", "s", "with the recurrent connections cut, flow over q steps is the product of q forget gates")],
    layouts=[Layout("torch", "LSTM(proj_size)", ("net_in", "net_f", "net_c", "net_out"), letters=("i", "f", "g", "o"))],
    lengths={"projected": 8},
)
