"""Vanilla LSTM with no input activation function, g(x) = x: NIAF of Greff et al. 2017."""

from ..equations import Unit
from .lstm_vanilla import c, net_c, variant

CELL = variant("lstm_niaf", "no input activation function (NIAF)", changed=[Unit(c, net_c)])
