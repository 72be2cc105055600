"""Error flow per lag: how an error at step t is scaled on its way to step t-q, for every lag q, with a log scale.

Chains the linearised steps of a cell from a fixed end time backwards (or from a fixed start forwards). The product is
carried as (matrix, exponent of two), renormalised exactly, so that lag 10,000 neither underflows nor overflows.
Every number is full or truncated and says so. The whole product: `state`, `error`, `pairs`, several flows of it
in `one_pass`, all of a cell in `cell`; its singular values: `spectra`, `lyapunov`;
a few error vectors: `probes`; how fast the norms decay: `rates`. What multiplies: `product` and `profile`, on threads `shared`, with
fewer and fewer rows `lowrank`.
"""

from .bound import bounded, bounds
from .cell import cell_flows, quantities, taken_by_sender
from .error import error_flow, error_flows, flow_matrices, send_back
from .norms import Flow, end_and_lags, usable_lags
from .state import forward_flow, path_flows, state_flow, state_matrices

__all__ = [
    "Flow", "bounded", "bounds", "cell_flows", "end_and_lags", "error_flow", "error_flows", "flow_matrices", "forward_flow", "path_flows",
    "quantities", "send_back", "state_flow", "state_matrices", "taken_by_sender", "usable_lags",
]
