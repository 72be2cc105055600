"""Hidden units with a time constant each: y_i(t) = tau_i y_i(t-1) + (1 - tau_i) tanh(net_i(t)) (Mozer 1992).

The time constants are between 0 and 1, kept there by a logistic function, and start spread evenly.
"""

from sympy import log

from ..equations import Cell, CellClaim, Net, Unit
from ..notation import draw, sigma, symbols, tanh

x, y_prev, log_odds, tau, net, y = symbols("x y_prev log_odds tau net y")

CELL = Cell(
    "mozer", "Mozer 1992, induction of multiscale temporal structure", 1992,
    inputs=[x], state={y_prev: y}, output=y,
    equations=[
        Net(log_odds, kind="vector", bias=log(draw / (1 - draw))),
        Unit(tau, sigma(log_odds)),
        Net(net, x, y_prev),
        Unit(y, tau * y_prev + (1 - tau) * tanh(net)),
    ],
    claims=[CellClaim("product:tau", "y", "with the recurrent connections cut, flow over q steps is tau to the q")],
)
