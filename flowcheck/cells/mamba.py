"""Selective state space model, S6, the recurrence of Mamba (Gu & Dao 2023): step, input and output maps depend on the input.

A state of units x modes: h = exp(dt a) h_prev + dt u b, y = sum over modes of c h + skip u. a = -exp(log_a) starts at
-(1, 2, 3, ...), dt log-uniform in [0.001, 0.1]. x is mapped to the channels by W_u; the block's convolution and gate have no recurrence.
"""

from sympy import exp, log

from ..equations import Cell, CellClaim, Net, Unit
from ..notation import column, draw, sigma, softplus, symbols

x, h_prev, net_u, u, r, net_dt, dt, b, c, log_a, skip, y = symbols("x h_prev net_u u r net_dt dt b c log_a skip y")
u_m, dt_m, b_m, c_m, decay, h, out, out_sum = symbols("u_m dt_m b_m c_m decay h out out_sum")
DT = 0.001 * (0.1 / 0.001) ** draw
MATRIX = {"kind": "shared", "size": "units*modes"}

CELL = Cell(
    "mamba", "Gu & Dao 2023, selective state space model (S6)", 2023,
    inputs=[x], state={h_prev: h}, output=y, lengths={"modes": 16, "rank": 2},
    equations=[
        Net(net_u, x, bias=None),
        Unit(u, net_u * sigma(net_u)),
        Net(r, u, bias=None, size="rank"),
        Net(net_dt, r, bias=log(exp(DT) - 1)),
        Unit(dt, softplus(net_dt)),
        Net(b, u, bias=None, size="modes"),
        Net(c, u, bias=None, size="modes"),
        Net(log_a, kind="vector", bias=log(1 + column), size="units*modes"),
        Net(u_m, u, **MATRIX),
        Net(dt_m, dt, **MATRIX),
        Net(b_m, b, **MATRIX),
        Net(c_m, c, **MATRIX),
        Unit(decay, exp(-dt_m * exp(log_a))),
        Unit(h, decay * h_prev + dt_m * u_m * b_m),
        Unit(out, c_m * h),
        Net(out_sum, out, kind="pooled"),
        Net(skip, kind="vector", bias=1.0),
        Unit(y, out_sum + skip * u),
    ],
    claims=[
        CellClaim("product:decay", "h", "flow over q steps is exp(a times the sum of the q steps dt)"),
        CellClaim("linear", "h", "the recurrence is linear in the state"),
        CellClaim("independent", "h", "no entry feeds another: the flow is diagonal"),
        CellClaim("nonexpansive", "h", "the flow never grows"),
    ],
)
