"""Vanilla LSTM with no output activation function, h(x) = x: NOAF of Greff et al. 2017."""

from ..equations import Unit
from .lstm_vanilla import s, variant, y, y_out

CELL = variant("lstm_noaf", "no output activation function (NOAF)", changed=[Unit(y, y_out * s)])
