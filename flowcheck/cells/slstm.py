"""sLSTM of xLSTM: exponential input gate, normaliser state n, stabiliser state m (Beck et al. 2024). One head.

The output c/n does not depend on m, which keeps the exponentials in range. The bias of the forget gate starts as in the
authors' code, from 5 down to -7 over the units.
"""

from sympy import Max, exp

from ..equations import Cell, CellClaim, Net, Unit
from ..notation import row, sigma, softplus, symbols, tanh, units

x, y_prev, c_prev, m_prev = symbols("x y_prev c_prev m_prev")
n_prev = symbols("n_prev", positive=True)
net_i, net_f, net_z, net_o, log_f, m, i_s, f_s, c, n, y = symbols("net_i net_f net_z net_o log_f m i_s f_s c n y")

CELL = Cell(
    "slstm", "Beck et al. 2024, xLSTM, forget gate logistic", 2024,
    inputs=[x], state={c_prev: c, n_prev: n, m_prev: m, y_prev: y}, output=y,
    equations=[
        Net(net_i, x, y_prev),
        Net(net_f, x, y_prev, bias=5 - 12 * (row / Max(units - 1, 1)) ** 0.3),
        Net(net_z, x, y_prev),
        Net(net_o, x, y_prev),
        Unit(log_f, -softplus(-net_f)),
        Unit(m, Max(log_f + m_prev, net_i)),
        Unit(i_s, exp(net_i - m)),
        Unit(f_s, exp(log_f + m_prev - m)),
        Unit(c, f_s * c_prev + i_s * tanh(net_z)),
        Unit(n, f_s * n_prev + i_s),
        Unit(y, sigma(net_o) * c / n),
    ],
    claims=[
        CellClaim("product:f_s", "c", "with the recurrent connections cut, flow is the product of the stabilised forget gates"),
        CellClaim("product:f_s", "n", "with the recurrent connections cut, flow is the product of the stabilised forget gates"),
    ],
)
