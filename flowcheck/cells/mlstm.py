"""mLSTM of xLSTM: a matrix memory C = f C + i v k' with normaliser n and stabiliser m (Beck et al. 2024). One head; heads do not meet.

The outer product is pointwise after v is shared along the keys and k along the units; C q is the sum over the keys. The factor
1/sqrt(keys) of k is in its weights. The bias of the forget gate starts at 3.
"""

from sympy import Max, exp

from ..equations import Cell, CellClaim, Net, Unit
from ..notation import sigma, softplus, symbols

x, C_prev, n_prev, m_prev = symbols("x C_prev n_prev m_prev")
q, k, v, net_i, net_f, net_o, log_f, m, i_s, f_s = symbols("q k v net_i net_f net_o log_f m i_s f_s")
f_m, i_m, v_m, k_m, q_m, f_k, i_k, C, n = symbols("f_m i_m v_m k_m q_m f_k i_k C n")
read, found, nq, overlap, absolute, size, size_u, y = symbols("read found nq overlap absolute size size_u y")
MATRIX, KEYS, ONE = {"kind": "shared", "size": "units*keys"}, {"kind": "shared", "size": "keys"}, {"size": "1"}

CELL = Cell(
    "mlstm", "Beck et al. 2024, xLSTM, forget gate logistic", 2024,
    inputs=[x], state={C_prev: C, n_prev: n, m_prev: m}, output=y, lengths={"keys": 8},
    equations=[
        Net(q, x, size="keys"), Net(k, x, size="keys"), Net(v, x),
        Net(net_i, x, **ONE), Net(net_f, x, bias=3.0, **ONE), Net(net_o, x),
        Unit(log_f, -softplus(-net_f)),
        Unit(m, Max(log_f + m_prev, net_i)),
        Unit(i_s, exp(net_i - m)),
        Unit(f_s, exp(log_f + m_prev - m)),
        Net(f_m, f_s, **MATRIX), Net(i_m, i_s, **MATRIX), Net(v_m, v, **MATRIX), Net(k_m, k, **MATRIX), Net(q_m, q, **MATRIX),
        Unit(C, f_m * C_prev + i_m * v_m * k_m),
        Net(f_k, f_s, **KEYS), Net(i_k, i_s, **KEYS),
        Unit(n, f_k * n_prev + i_k * k),
        Unit(read, C * q_m), Net(found, read, kind="pooled"),
        Unit(nq, n * q), Net(overlap, nq, kind="pooled", **ONE),
        Unit(absolute, Max(overlap, -overlap)), Unit(size, Max(absolute, exp(-m))), Net(size_u, size, kind="shared"),
        Unit(y, sigma(net_o) * found / size_u),
    ],
    claims=[
        CellClaim("product:f_m", "C", "flow is the product of the stabilised forget gates"),
        CellClaim("product:f_k", "n", "flow is the product of the stabilised forget gates"),
        CellClaim("linear", "C", "the recurrence is linear in the matrix memory"),
        CellClaim("independent", "C", "no entry of the memory feeds another: the flow is diagonal"),
    ],
)
