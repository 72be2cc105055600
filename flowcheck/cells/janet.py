"""JANET: an LSTM with only its forget gate (van der Westhuizen & Lasenby 2018). The bias of the gate starts at 1."""

from ..equations import Cell, CellClaim, Net, Unit
from ..notation import sigma, symbols, tanh

x, s_prev, net_f, y_f, write, net_c, s = symbols("x s_prev net_f y_f write net_c s")

CELL = Cell(
    "janet", "van der Westhuizen & Lasenby 2018", 2018,
    inputs=[x], state={s_prev: s}, output=s,
    equations=[
        Net(net_f, x, s_prev, bias=1.0),
        Unit(y_f, sigma(net_f)),
        Unit(write, 1 - y_f),
        Net(net_c, x, s_prev),
        Unit(s, y_f * s_prev + write * tanh(net_c)),
    ],
    claims=[
        CellClaim("product:y_f", "s", "with the recurrent connections cut, flow is the product of the forget gates"),
        CellClaim("coupled:y_f,write", "s", "what is kept and what is written add up to 1"),
    ],
)
