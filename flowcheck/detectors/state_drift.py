"""Internal state drift (section 4): a carousel that is fed mostly one sign grows until h'(s) is tiny and its gradient is gone.

Drift needs three things at once: the magnitude of the state keeps growing, nothing forgets it within the sequence, and the
slope of the output is lost with it. A state that is merely large is not drift.
"""

import numpy as np

from ..notation import ROUTINES, Slope
from ..symbolic import partials
from .finding import Finding, Threshold

RULE = "state-drift"
SHORTEST = 40
"""Steps below which a trend cannot be told from chance: ten batches of three steps after the first quarter."""
BATCHES = 10
TREND = Threshold(0.05, "false-alarm rate over all units and sequences of the layer: Student's t of ten batch means, Bonferroni")
SLOPE = Threshold(0.05, "Kaldi nnet3 repairs units of mean slope below 0.05 (sigmoid) or 0.2 (tanh); here relative to the largest slope")


def detect(context):
    """Per state and unit, over the last three quarters of each sequence.

    trend       mean increase of |s| per step, tested by batch means (one-sided, corrected for the number of tests)
    memory      at the state's own time constant -1 / mean log retention the sequence is less than half the way to where forgetting stops
                the growth: it exceeds the sequence's steps / log 2
    cost        median |dy/ds| / |y_out| part of the output slope: h'(s) in the last quarter, relative to its largest value, below 0.05

    A unit is reported when all three hold in at least one sequence. It is no cell lost where that is so in less than half of them, or where
    the state drifts up in some and down in others: what it grows with is then the input, which it remembers, and no one-sided mean.
    """
    from scipy.special import stdtrit

    findings = []
    for state in context.kernel.states.values():
        per_unit, sequences = {}, 0
        tests = context.layer.units * sum(run.trajectory.batch for run in context.runs)
        critical = stdtrit(BATCHES - 1, 1 - TREND.value / tests)
        for run in context.runs:
            retention = context.retention(run, state)
            slope = output_slope(context, run, state)
            if retention is None or slope is None or run.trajectory.steps < SHORTEST:
                continue
            s = run.trajectory[state]
            sequences += run.trajectory.batch
            for label, b in run.sequences:
                for unit, evidence in _drifting(s[:, b], retention[:, b], slope[:, b], critical):
                    per_unit.setdefault(unit, []).append({"sequence": label, **evidence})
        findings += [_finding(context, state, unit, rows, sequences, float(critical)) for unit, rows in sorted(per_unit.items())]
    return findings


def output_slope(context, run, state):
    """h'(s) along the run relative to its largest value, from the formula that hands s on; None where no squashed s is in any."""
    derivatives = [d for unit in context.cell.units for symbol, d in partials(unit).items() if symbol.name == state]
    slopes = [slope for d in derivatives for slope in d.atoms(Slope) if str(slope.args[0]) == state]
    if not slopes:
        return None
    slope = type(slopes[0])
    return ROUTINES[slope.__name__](run.trajectory[state]) / float(slope.squashing.slope_max)


def _drifting(s, retention, slope, critical):
    """(unit, evidence) of the units that drift in one sequence; arrays (time, units)."""
    quarter = len(s) // 4
    size = np.abs(s)
    batches = np.array([b.mean(axis=0) for b in np.array_split(np.diff(size[quarter:], axis=0), BATCHES)])
    rate = batches.mean(axis=0)
    spread = batches.std(axis=0, ddof=1) / np.sqrt(BATCHES)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(spread > 0, rate / spread, np.where(rate > 0, np.inf, 0.0))
        memory = -1 / np.log(np.clip(retention[quarter:], 1e-300, None)).mean(axis=0)
    memory = np.where(memory < 0, np.inf, memory)  # retention above 1 or exactly 1: never forgets
    last = np.median(slope[-quarter:], axis=0)
    for unit in np.flatnonzero((t > critical) & (memory > len(s) / np.log(2)) & (last < SLOPE.value)):
        yield int(unit), {
            "rate_per_step": float(rate[unit]), "t_statistic": float(min(t[unit], 1e6)),
            "time_constant": float(memory[unit]) if np.isfinite(memory[unit]) else None,
            "final_abs_state": float(size[-1, unit]), "direction": int(np.sign(s[-1, unit])),
            "relative_slope_last_quarter": float(last[unit]),
        }


def _finding(context, state, unit, rows, sequences, critical):
    worst = max(rows, key=lambda r: r["rate_per_step"])
    both = len({r["direction"] for r in rows}) == 2
    evidence = {"state": state, "sequences_drifting": len(rows), "sequences": sequences, "critical_t": critical,
                "lost": 2 * len(rows) >= sequences and not both,
                "slope_threshold": SLOPE.value, "slope_threshold_source": SLOPE.source, **worst, "per_sequence": rows}
    remedy = ("start training with a negative input-gate bias (section 4), or give the forget gate room below 1; at run time reset "
              "the state or feed windows no longer than those trained on")
    slope = worst["relative_slope_last_quarter"]
    left = f"down to 10^{np.log10(slope):.0f}" if slope > 1e-300 else "below 10^-300"
    words = (f"|{state}| grows by {worst['rate_per_step']:.2g} a step to {worst['final_abs_state']:.3g} in {len(rows)} of "
             f"{sequences} sequences{', up in some and down in others as an integrator does' if both else ''}; its output slope is {left}")
    if not both and not evidence["lost"]:
        words += "; what the other sequences feed it does not make it grow"
    return Finding(RULE, context.layer.name, unit, "info", evidence, TREND.value, TREND.source, remedy, words)
