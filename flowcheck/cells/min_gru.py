"""Minimal GRU: gate and candidate see the input only (Feng et al. 2024)."""

from ..equations import Cell, CellClaim, Net, Unit
from ..notation import sigma, symbols

x, y_prev, net_z, z, keep, net_c, y = symbols("x y_prev net_z z keep net_c y")

CELL = Cell(
    "min_gru", "Feng et al. 2024, were RNNs all we needed?", 2024,
    inputs=[x], state={y_prev: y}, output=y,
    equations=[
        Net(net_z, x),
        Unit(z, sigma(net_z)),
        Unit(keep, 1 - z),
        Net(net_c, x),
        Unit(y, keep * y_prev + z * net_c),
    ],
    claims=[
        CellClaim("product:keep", "y", "flow is the product of 1 - z"),
        CellClaim("linear", "y", "the recurrence is linear in the state"),
        CellClaim("independent", "y", "no unit feeds another: the flow is diagonal"),
        CellClaim("nonexpansive", "y", "the flow never grows"),
        CellClaim("coupled:z,keep", "y", "what is kept and what is written add up to 1"),
    ],
)
