"""Vanilla LSTM with no forget gate, y_f = 1: NFG of Greff et al. 2017. The carousel of 1997 is back."""

from ..equations import CellClaim, Unit
from .lstm_vanilla import c, net_f, peep_f, s, s_prev, variant, y_f, y_in

KEPT = CellClaim("carousel", "s", "with recurrent connections and peepholes cut, error in s is kept at every lag")

CELL = variant("lstm_nfg", "no forget gate (NFG)", changed=[Unit(s, s_prev + y_in * c)], without=[net_f, peep_f, y_f], claims=[KEPT])
