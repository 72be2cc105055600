"""Minimal LSTM: gates and candidate see the input only, the two gates are normalised to add up to 1 (Feng et al. 2024)."""

from ..equations import Cell, CellClaim, Net, Unit
from ..notation import sigma, symbols

x, y_prev, net_f, f, net_i, i, f_n, i_n, net_c, y = symbols("x y_prev net_f f net_i i f_n i_n net_c y")

CELL = Cell(
    "min_lstm", "Feng et al. 2024, were RNNs all we needed?", 2024,
    inputs=[x], state={y_prev: y}, output=y,
    equations=[
        Net(net_f, x),
        Unit(f, sigma(net_f)),
        Net(net_i, x),
        Unit(i, sigma(net_i)),
        Unit(f_n, f / (f + i)),
        Unit(i_n, i / (f + i)),
        Net(net_c, x),
        Unit(y, f_n * y_prev + i_n * net_c),
    ],
    claims=[
        CellClaim("product:f_n", "y", "flow is the product of the normalised forget gates"),
        CellClaim("linear", "y", "the recurrence is linear in the state"),
        CellClaim("independent", "y", "no unit feeds another: the flow is diagonal"),
        CellClaim("nonexpansive", "y", "the flow never grows"),
        CellClaim("coupled:f_n,i_n", "y", "the normalised gates add up to 1"),
    ],
)
