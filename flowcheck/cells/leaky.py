"""Leaky-integrator unit of an echo state net: y(t) = (1 - a) y(t-1) + a tanh(net) (Jaeger, Lukosevicius, Popovici & Siewert 2007).

The leak rate a is between 0 and 1, kept there by a logistic function, and starts at 0.3. The reservoir starts with entries
U(-r, r), r = 0.9 sqrt(3/n), whose spectral radius is close to 0.9 for many units; an echo state net does not train it.
"""

from sympy import log, sqrt

from ..equations import Cell, CellClaim, Net, Unit
from ..notation import draw, sigma, symbols, tanh, units

x, y_prev, log_odds, a, keep, net, y = symbols("x y_prev log_odds a keep net y")

CELL = Cell(
    "leaky", "Jaeger, Lukosevicius, Popovici & Siewert 2007, leaky-integrator echo state net", 2007,
    inputs=[x], state={y_prev: y}, output=y,
    equations=[
        Net(log_odds, kind="vector", bias=log(0.3 / 0.7)),
        Unit(a, sigma(log_odds)),
        Unit(keep, 1 - a),
        Net(net, x, y_prev, initial={y_prev: 0.9 * sqrt(3 / units) * (2 * draw - 1)}),
        Unit(y, keep * y_prev + a * tanh(net)),
    ],
    claims=[CellClaim("product:keep", "y", "with the recurrent connections cut, flow over q steps is 1 - a to the q")],
)
