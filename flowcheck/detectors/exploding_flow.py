"""Error flow that grows with lag: gradients oscillate or overflow as sequences get longer."""

import numpy as np

from ..flow.rates import SUSTAINED_DECADES
from .finding import Finding, Threshold

RULE = "exploding-flow"
GROWTH = Threshold(10**SUSTAINED_DECADES, "set here: the flow grows more than tenfold over the lags fitted, its rate's interval above 0")
LARGE = Threshold(1e3, "set here: a thousandfold error makes one step of any learning rate that suits lag 0 overshoot")


def detect(context):
    """Flow of the joint state, pooled over sequences: a rate whose interval is above 0. Warning; info while the growth stays below 1000."""
    flow, found = context.state_flow.flow, context.state_flow.rate
    if found.verdict != "exploding":
        return []
    growth = float(flow.relative[-1])
    evidence = {
        "rate_per_step": found.per_step, "rate_interval": list(found.interval), "lags_measured": int(flow.lags[-1]),
        "log10_growth": growth, "gradient": flow.gradient,
    }
    severity = "warning" if 10**min(growth, 300) >= LARGE.value else "info"
    passes = np.flatnonzero(flow.relative >= np.log10(LARGE.value))
    truncate = f", or truncate BPTT at lag {flow.lags[passes[0]]}, where the flow passes {LARGE.value:.0f}" if len(passes) else ""
    remedy = (f"clip the gradient norm{truncate}; scale the recurrent weights so that their largest singular value times the largest slope "
              "is near 1")
    words = f"error flow grows by 10^{found.per_step:.3g} a step, 10^{growth:.2g} over {flow.lags[-1]} lags"
    return [Finding(RULE, context.layer.name, None, severity, evidence, GROWTH.value, GROWTH.source, remedy, words)]
