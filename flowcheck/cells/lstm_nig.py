"""Vanilla LSTM with no input gate, y_in = 1: NIG of Greff et al. 2017."""

from ..equations import Unit
from .lstm_vanilla import c, net_in, peep_in, s, s_prev, variant, y_f, y_in

CELL = variant("lstm_nig", "no input gate (NIG)", changed=[Unit(s, y_f * s_prev + c)], without=[net_in, peep_in, y_in])
