"""Error flow per lag: how an error at step t is scaled on its way to step t-q, for every lag q, with a log scale.

Chains the linearised steps of a cell from a fixed end time backwards (or from a fixed start forwards). The product is
carried as (matrix, exponent of two), renormalised exactly, so that lag 10,000 neither underflows nor overflows.
Every number is full or truncated and says so. The whole product: `state`, `error`, `pairs`; its singular values: `spectra`, `lyapunov`;
a few error vectors: `probes`; how fast the norms decay: `rates`. What multiplies: `product` and `profile`, on threads `shared`, with
fewer and fewer rows `lowrank`.
"""

from .bound import bounded, bounds
from .error import error_flow, error_flows, flow_matrices, send_back
from .norms import Flow, end_and_lags, usable_lags
from .state import forward_flow, path_flows, state_flow, state_matrices

__all__ = [
    "Flow", "bounded", "bounds", "end_and_lags", "error_flow", "error_flows", "flow_matrices", "forward_flow", "path_flows", "send_back",
    "state_flow", "state_matrices", "usable_lags",
]
