"""Gated recurrent unit, reset gate after the product: the GRU of cuDNN and torch.

y(t) = (1 - z) n + z y(t-1), n = tanh(net_n + r net_m), where net_m is the product with y(t-1).
"""

from ..equations import Cell, CellClaim, Layout, Net, Unit
from ..notation import sigma, symbols, tanh

x, y_prev, net_r, net_z, net_n, net_m, r, z, n, y = symbols("x y_prev net_r net_z net_n net_m r z n y")

CELL = Cell(
    "gru", "Cho et al. 2014, reset after the product as in cuDNN", 2014,
    inputs=[x], state={y_prev: y}, output=y,
    equations=[
        Net(net_r, x, y_prev),
        Unit(r, sigma(net_r)),
        Net(net_z, x, y_prev),
        Unit(z, sigma(net_z)),
        Net(net_n, x),
        Net(net_m, y_prev),
        Unit(n, tanh(net_n + r * net_m)),
        Unit(y, (1 - z) * n + z * y_prev),
    ],
    claims=[CellClaim("product:z", "y", "with the recurrent connections cut, flow over q steps is the product of q update gates")],
    layouts=[
        Layout("torch", "GRU", ("net_r", "net_z", "net_n"), ("net_r", "net_z", "net_m"), letters=("r", "z", "n")),
        Layout("keras", "GRU", ("net_z", "net_r", "net_n"), ("net_z", "net_r", "net_m"), letters=("z", "r", "h")),
        Layout("onnx", "GRU(linear_before_reset=1)", ("net_z", "net_r", "net_n"), ("net_z", "net_r", "net_m"), letters=("z", "r", "h")),
    ],
)
