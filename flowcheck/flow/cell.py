"""The flows that are taken of every cell, along one sequence."""

import math
from dataclasses import replace
from functools import partial

from . import lowrank
from .bound import bounded, bounds
from .error import error_flows
from .norms import end_and_lags, of_one_sequence
from .one_pass import JOINT, flows_in_one_pass
from .state import state_flow

__all__ = ["cell_flows", "quantities", "taken_by_sender"]


def quantities(cell):
    """{quantity: (sender at t, receiver at t-q)} of a cell.

    state-to-state    d state(t)/d state(t-q), all states jointly
    net-to-net        d net(t)/d net(t-q), for a cell with one net
    input-to-output   d y(t)/d x(t-q)
    y to NET          d y(t)/d net(t-q), for a cell with several nets
    """
    nets, output = [n.out.name for n in cell.nets if not n.fixed and n.sources], cell.output.name
    found = {"state-to-state": (JOINT, JOINT)}
    if len(nets) == 1 and cell.recurrent_edges:
        found["net-to-net"] = nets[0], nets[0]
    found |= {"input-to-output": (output, s.name) for s in cell.inputs}
    return found | {f"{output} to {net}": (output, net) for net in nets if len(nets) > 1}


def cell_flows(trajectory, lags, *, b=0, cut=()):
    """{quantity: Flow} of the `quantities` of the cell from the last step back, q = 1 ... lags: one product for all where one has them all.

    The full net-to-net flow of a cell that section 3.1 bounds has its bounds. They are on the entries, so no row is left out then
    (`state_flow`), and the largest entry is known at every lag. Raises ValueError for lags that reach back to before the first input.
    """
    cell = trajectory.kernel.cell
    limited, named = not cut and bounded(cell), quantities(cell)
    end, lags = end_and_lags(trajectory, None, lags)
    if lags > end:
        raise ValueError(f"{lags} lags back from step {end} need an input before step 0")
    how = {"b": b, "cut": cut, "tail": 0 if limited else lowrank.TAIL}
    found = flows_in_one_pass(trajectory, named.values(), lags, end=end, **how)
    if found is None:
        flows = taken_by_sender(named, partial(state_flow, trajectory, lags, **how), partial(error_flows, trajectory, lags=lags, **how))
    else:
        flows = {name: of_one_sequence(name, cell.cut(cut), found[pair][1:], math.ldexp(found[pair][0][0], int(found[pair][0][3])))
                 for name, pair in named.items()}
    if limited:
        flows["net-to-net"] = replace(flows["net-to-net"], bounds=bounds(trajectory, lags, b=b))
    return flows


def taken_by_sender(named, state_flow, error_flows):
    """{quantity: Flow}, one pass for the joint state, `state_flow()`, and one for each other sender, `error_flows(sender, receivers)`."""
    receivers = {}
    for sender, receiver in named.values():
        receivers.setdefault(sender, []).append(receiver)
    whole = {(JOINT, JOINT): state_flow()} if JOINT in receivers else {}
    found = whole | {(sender, r): flow for sender, ours in receivers.items() if sender is not JOINT
                     for r, flow in error_flows(sender, ours).items()}
    return {name: replace(found[pair], quantity=name) for name, pair in named.items()}
