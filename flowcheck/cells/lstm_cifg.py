"""Vanilla LSTM with coupled gates, y_in = 1 - y_f: CIFG of Greff et al. 2017."""

from ..equations import CellClaim, Unit
from .lstm_vanilla import KEPT, net_in, peep_in, variant, y_f, y_in

COUPLED = CellClaim("coupled:y_in,y_f", "s", "input and forget gate add up to 1")

CELL = variant("lstm_cifg", "coupled input and forget gate (CIFG)", changed=[Unit(y_in, 1 - y_f)], without=[net_in, peep_in],
               claims=[KEPT, COUPLED])
