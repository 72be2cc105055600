"""Vanilla LSTM with full gate recurrence: FGR of Greff et al. 2017. The gates also see all gates of the step before, as in 1997."""

from ..equations import Net
from ..notation import symbols
from .lstm_vanilla import net_f, net_in, net_out, variant, x, y_f, y_in, y_out, y_prev

y_in_prev, y_f_prev, y_out_prev = symbols("y_in_prev y_f_prev y_out_prev")
GATES = [Net(net, x, y_prev, y_in_prev, y_f_prev, y_out_prev) for net in (net_in, net_f, net_out)]

CELL = variant("lstm_fgr", "full gate recurrence (FGR)", changed=GATES, kept={y_in_prev: y_in, y_f_prev: y_f, y_out_prev: y_out})
