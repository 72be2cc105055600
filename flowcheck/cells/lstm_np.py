"""Vanilla LSTM with no peepholes: NP of Greff et al. 2017, the LSTM of today's frameworks."""

from ..equations import Unit
from ..notation import sigma
from .lstm_vanilla import net_f, net_in, net_out, peep_f, peep_in, peep_out, variant, y_f, y_in, y_out

GATES = [Unit(y_in, sigma(net_in)), Unit(y_f, sigma(net_f)), Unit(y_out, sigma(net_out))]

CELL = variant("lstm_np", "no peepholes (NP)", changed=GATES, without=[peep_in, peep_f, peep_out])
