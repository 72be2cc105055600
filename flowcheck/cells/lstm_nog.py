"""Vanilla LSTM with no output gate, y_out = 1: NOG of Greff et al. 2017."""

from ..equations import Unit
from ..notation import tanh
from .lstm_vanilla import net_out, peep_out, s, variant, y, y_out

CELL = variant("lstm_nog", "no output gate (NOG)", changed=[Unit(y, tanh(s))], without=[net_out, peep_out, y_out])
