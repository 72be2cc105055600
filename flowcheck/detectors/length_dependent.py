"""Length dependence: states that differ the more from those of a fresh start the longer the net has been running.

A net with fading memory forgets how long it has run. One whose states keep moving away is used, late in a sequence, where it never was
early: it was trained on no such states. A counter does the same on purpose.
"""

import numpy as np

from .finding import Finding, Threshold
from .state_drift import SLOPE, output_slope

RULE = "length-dependent"
WINDOWS = 8
SHORTEST = 10 * WINDOWS
"""Steps below which windows are too short to compare."""
TREND = Threshold(0.05, "false-alarm rate over all units and states of the layer: Kendall's rank test over windows, summed over sequences, "
                        "Bonferroni")
APART = 1.0
"""Standard deviations of the fresh runs' states that the continuous run is away from them in the last window."""


def detect(context):
    """Each sequence cut into 8 windows, each run afresh from zero states; compared with the continuous run in its later half.

        d_k = mean over the window's later half of | |state| continuous - |state| fresh |,   k = 2 ... 8

    Reported: units whose d_k rises with k (Kendall, one-sided, over all sequences) and ends above one standard deviation. A cell is lost
    where its output slope is, in the last window (below 0.05 of its largest), as with drift: a warning, for late in a sequence the net runs
    on states that it never had early, and no error corrects them. Else it is `info`, as in a counter.
    """
    from scipy.special import ndtri

    rows = [_apart(context, run) for run in context.pooled if run.trajectory.steps >= SHORTEST]
    if not rows:
        return []
    findings, tests = [], sum(row["ends"].shape[-1] for row in rows[0].values())
    for state in rows[0]:
        score, variance = (sum(row[state][key] for row in rows) for key in ("score", "variance"))
        ends, rate, slope = (np.max([row[state][key] for row in rows], axis=0) for key in ("ends", "rate", "slope"))
        z = score / np.sqrt(variance)
        critical = float(ndtri(1 - TREND.value / tests))
        for unit in np.flatnonzero((z > critical) & (ends > APART)).tolist():
            evidence = {"state": state, "kendall_z": float(z[unit]), "critical_z": critical,
                        "deviations_apart_at_end": float(ends[unit]), "rate_per_step": float(rate[unit]),
                        "windows": WINDOWS, "relative_slope_last_window": float(slope[unit]), "slope_threshold": SLOPE.value,
                        "slope_threshold_source": SLOPE.source, "sequences": sum(run.trajectory.batch for run in context.runs)}
            findings.append(_finding(context, state, unit, evidence))
    return findings


def _apart(context, run):
    """{state: score and variance of Kendall's statistic, distance and slope in the last window}, per unit, over a run's sequences."""
    trajectory = run.trajectory
    length, batch = trajectory.steps // WINDOWS, trajectory.batch
    steps = length * WINDOWS
    windows = {k: np.concatenate(np.split(x[:steps], WINDOWS), axis=1) for k, x in trajectory.inputs.items()}
    fresh = context.kernel.forward(context.layer.params, windows)
    found = {}
    for state in dict.fromkeys(context.kernel.states.values()):
        later = slice(length // 2, None)
        anew = np.abs(fresh[state][later]).reshape(-1, WINDOWS, batch, fresh[state].shape[-1])
        on = np.abs(trajectory[state][:steps]).reshape(WINDOWS, length, batch, -1)[:, later].swapaxes(0, 1)
        d = np.abs(on - anew).mean(axis=0)[1:]  # (windows, sequences, units); the first window is the same run
        pairs = [(i, j) for i in range(len(d)) for j in range(i)]
        deviation = np.maximum(anew.std(axis=(0, 1, 2)), 1e-12)
        slope = output_slope(context, run, state)
        n = len(d)
        found[state] = {
            "score": sum(np.sign(d[i] - d[j]) for i, j in pairs).sum(axis=0), "variance": batch * n * (n - 1) * (2 * n + 5) / 18,
            "ends": d[-1].mean(axis=0) / deviation, "rate": (d[-1] - d[0]).mean(axis=0) / ((n - 1) * length),
            "slope": np.ones(d.shape[-1]) if slope is None else np.median(slope[-length:], axis=(0, 1)),
        }
    return found


def _finding(context, state, unit, evidence):
    lost = evidence["lost"] = evidence["relative_slope_last_window"] < SLOPE.value
    words = (f"|{state}| moves away from that of a fresh start by {evidence['rate_per_step']:.2g} a step, to "
             f"{evidence['deviations_apart_at_end']:.3g} standard deviations; " +
             ("its output slope is lost with it" if lost else "its output slope is kept, as in a counter"))
    remedy = ("reset the state between windows no longer than those trained on, or train on sequences as long as those in use"
              if lost else "nothing to mend if it counts; else reset the state between windows no longer than those trained on")
    return Finding(RULE, context.layer.name, unit, "warning" if lost else "info", evidence, TREND.value, TREND.source, remedy, words)
