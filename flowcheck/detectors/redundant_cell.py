"""Redundant cells (section 4: cells that store the same thing twice): the output is a linear readout of the others' outputs.

Settled by intervention: the cell's outgoing weights are folded into those of the others, which is also how to remove it.
"""

import numpy as np

from .effects import effect, read_by
from .finding import Finding, Threshold

RULE = "redundant-cell"
RESIDUAL = Threshold(0.01, "set here: 1 % of the cell's own variation is left unexplained on the half of the sequence that the readout was "
                           "not fitted on, and a tenth of the least that is left for any unit of two untrained nets of this shape")
EFFECT = Threshold(0.01, "set here: 1 % of the natural variation of what reads the cell")
NULL_SEEDS = (1, 2)
SAMPLES_PER_UNIT = 3
"""Below so many steps for each unit a readout fits by chance and nothing is said."""


def detect(context):
    """Pivoted QR of the centred outputs of the first half of all sequences as long as the first: what stands last is explained by the rest.

    For each candidate the readout y_i = sum_j a_j y_j + c is fitted there, tried on the second half, and folded into the weights.
    """
    run = context.pooled[0]
    y = run.trajectory[context.cell.output.name]
    if y.shape[0] // 2 * y.shape[1] < SAMPLES_PER_UNIT * y.shape[2]:
        return []
    fit, test = _halves(y)
    live, order, left = _pivoted(fit)
    if not np.any(left < RESIDUAL.value):
        return []  # the null can only lower the limit
    null = min(_least_left(context.layer.untrained(seed), run, context) for seed in NULL_SEEDS)
    limit, findings = min(RESIDUAL.value, null / 10), []
    kept = int(np.sum(left >= limit))
    for unit, a, c, rest in _explained(fit, test, live[order[:kept]], sorted(live[order[kept:]].tolist())):
        if not rest < limit:
            continue
        changed = _folded(context, run, unit, a, c)
        replaced = changed.copy()
        replaced[..., unit] = changed @ a + c
        caused = effect(context, run, [replaced - y], unit)
        if caused < EFFECT.value:
            findings.append(_finding(context, run, unit, a, rest, caused, null, limit))
    return findings


def _halves(y):
    half = y.shape[0] // 2
    return y[:half].reshape(-1, y.shape[-1]), y[half:].reshape(-1, y.shape[-1])


def _pivoted(fit):
    """(units that move, their order in the pivoted QR of the centred outputs, what is left of each, in that order, per deviation)"""
    from scipy.linalg import qr

    deviation = fit.std(axis=0)
    live = np.flatnonzero(deviation > 1e-9 * deviation.max(initial=0.0))
    if len(live) < 2:
        return live, np.arange(len(live)), np.ones(len(live))
    triangle, order = qr((fit[:, live] - fit[:, live].mean(axis=0)) / deviation[live], mode="r", pivoting=True)
    return live, order, np.abs(np.diag(triangle)) / np.sqrt(len(fit))


def _explained(fit, test, base, units):
    """Yield (unit, a, c, residual on the second half relative to the unit's deviation there) of units as readouts of those of the base."""
    mean, deviation = fit.mean(axis=0), fit.std(axis=0)
    weights = np.linalg.lstsq((fit[:, base] - mean[base]) / deviation[base], fit[:, units] - mean[units], rcond=None)[0]
    for unit, weight in zip(units, weights.T, strict=True):
        a = np.zeros(fit.shape[-1])
        a[base] = weight / deviation[base]
        c = mean[unit] - a @ mean
        rest = np.sqrt(np.mean((test[:, unit] - test @ a - c) ** 2)) / max(test[:, unit].std(), 1e-300)
        yield unit, a, float(c), float(rest)


def _least_left(layer, run, context):
    """The smallest residual of any unit that moves on the others, in another layer over the same inputs."""
    y = context.kernel.forward(layer.params, run.trajectory.inputs)[context.cell.output.name]
    return float(_pivoted(_halves(y)[0])[2].min(initial=1.0))


def _folded(context, run, unit, a, c):
    """Outputs of the layer when every recurrent weight that reads the unit reads its linear readout instead."""
    params = dict(context.layer.params)
    bias_of = {edge.net: name for name, edge in context.cell.parameters.items() if edge.source == "1"}
    for name, w in context.recurrent_weights().items():
        column = w[:, unit].copy()
        w = w + np.outer(column, a)
        w[:, unit] = 0.0
        params[name] = w
        bias = bias_of.get(context.cell.parameters[name].net)
        if bias is not None:
            params[bias] = params[bias] + column * c
    return context.kernel.forward(params, run.trajectory.inputs, run.trajectory.state0)[context.cell.output.name]


def _finding(context, run, unit, a, left, caused, null, limit):
    by = np.argsort(-np.abs(a))[:3]
    evidence = {"unexplained": left, "least_unexplained_untrained": null, "effect_replaced": caused, "effect_threshold": EFFECT.value,
                "effect_threshold_source": EFFECT.source, "readout": [{"unit": int(j), "weight": float(a[j])} for j in by if a[j] != 0.0],
                "units_in_readout": int(np.count_nonzero(a)), "read_by": read_by(context), "sequences": run.trajectory.batch,
                "lost": True}
    double = abs(a[by[0]]) > 10 * np.abs(np.delete(a, by[0])).max(initial=0.0)
    what = f"it is {a[by[0]]:.3g} times unit {by[0]}" if double else f"it is a linear readout of {np.count_nonzero(a)} other units"
    words = f"{what}, up to {left:.1g} of its variation; replaced by that, nothing changes ({caused:.1g})"
    remedy = ("remove it and add its outgoing weights, times the readout's, to those of the units in the readout; in training add cells "
              "one after the other, or start their output-gate biases at different negative values (section 4)")
    return Finding(RULE, context.layer.name, unit, "info", evidence, limit, RESIDUAL.source, remedy, words)
