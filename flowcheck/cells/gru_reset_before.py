"""Gated recurrent unit, reset gate before the product, as first published: n = tanh(W x + U (r y(t-1)))."""

from ..equations import Cell, CellClaim, Layout, Net, Unit
from ..notation import sigma, symbols, tanh

x, y_prev, net_r, net_z, net_n, r, z, n, ry, y = symbols("x y_prev net_r net_z net_n r z n ry y")

CELL = Cell(
    "gru_reset_before", "Cho et al. 2014, equations 5 to 8", 2014,
    inputs=[x], state={y_prev: y}, output=y,
    equations=[
        Net(net_r, x, y_prev),
        Unit(r, sigma(net_r)),
        Net(net_z, x, y_prev),
        Unit(z, sigma(net_z)),
        Unit(ry, r * y_prev),
        Net(net_n, x, ry),
        Unit(n, tanh(net_n)),
        Unit(y, (1 - z) * n + z * y_prev),
    ],
    claims=[CellClaim("product:z", "y", "with the recurrent connections cut, flow over q steps is the product of q update gates")],
    layouts=[
        Layout("keras", "GRU(reset_after=False)", ("net_z", "net_r", "net_n"), letters=("z", "r", "h")),
        Layout("onnx", "GRU", ("net_z", "net_r", "net_n"), letters=("z", "r", "h")),
    ],
)
