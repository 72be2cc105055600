"""Error flow that decays with lag: what lies further back than the horizon cannot be learned from."""

import numpy as np

from ..flow.norms import LOST_BESIDE_LAG_0
from ..flow.pairs import pair_flows
from ..flow.rates import horizon_of, lost_by_half
from .finding import Finding, Threshold

RULE = "vanishing-flow"
HORIZON = Threshold(LOST_BESIDE_LAG_0, "half an ulp of float32: beside a lag-0 term of size 1 a smaller one changes nothing in float32")


def detect(context):
    """Flow of the joint state, pooled over sequences: a rate whose interval is below 0, and a horizon inside the lags measured.

    A warning; where the lag that the task needs is known, an error if it lies beyond the horizon, else info. With the errors of a loss the
    horizon that decides is that of these errors: how much of them arrives from each lag, all end times together (`pairs`).
    Evidence: rate per step (log10) with its interval, half-life and horizon in steps. The flow is full.
    """
    flow, found, needed = context.state_flow.flow, context.state_flow.rate, context.needs_lag
    weighted = _weighted(context, int(flow.lags[-1]))
    reach = found.horizon if weighted is None else weighted
    if reach is None or (found.verdict != "vanishing" and (weighted is None or needed is None or needed <= weighted)):
        return []
    evidence = {
        "rate_per_step": found.per_step, "rate_interval": found.interval and list(found.interval), "half_life": found.half_life,
        "horizon": found.horizon, "lags_measured": int(flow.lags[-1]), "gradient": flow.gradient, "lag_needed": needed,
        "horizon_of_the_loss": weighted,
        "log10_norm_at_last_lag": float(flow.pooled[-1]) if np.isfinite(flow.pooled[-1]) else None,
    }
    severity = "warning" if needed is None else "error" if needed > reach else "info"
    words = f"error flow is lost beyond lag {reach}" if weighted is None else f"the errors of the loss are lost beyond lag {reach}"
    if needed is not None:
        words += f", the task needs lag {needed}"
    if found.half_life is not None:
        words += f": it halves every {found.half_life:.3g} steps"
    remedy = "nothing to mend: the horizon lies beyond the lag needed" if severity == "info" else _remedy(context)
    return [Finding(RULE, context.layer.name, None, severity, evidence, HORIZON.value, HORIZON.source, remedy, words)]


def _weighted(context, lags):
    """The last lag from which at least 2^-24 of a sequence's errors at lag 0 arrives, root mean square over end times, in half of the
    sequences that have errors or more.

    None without the errors of a loss along a sequence that has all these lags, and where they arrive from every lag measured.
    """
    runs = [run for run in context.runs if run.label in (context.errors or ()) and run.trajectory.steps > lags]
    logs = [pair_flows(run.trajectory, context.errors[run.label][:, b], lags, b=b).log10_weighted
            for run in runs for b in range(run.trajectory.batch) if context.errors[run.label][:, b].any()]
    if not logs:
        return None
    there = np.array(logs) >= np.array(logs)[:, :1] + np.log10(HORIZON.value)
    return horizon_of(np.arange(lags + 1), lost_by_half(there))


def _remedy(context):
    gates = [c.kind.partition(":")[2] for c in context.cell.claims if c.kind.startswith("product:")]
    if gates:
        return (f"if the task needs longer lags: raise the bias of {gates[0]} (chrono initialisation: log of the lag needed) before "
                "training, so that its values start near 1; then measure again")
    if context.cell.recurrent_edges:
        return ("if the task needs longer lags: start from an orthogonal or identity recurrent matrix, or use a cell with a carousel "
                "(LSTM with forget bias near log of the lag needed); then measure again")
    return "use a cell with a carousel"
