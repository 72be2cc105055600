"""Bias cells (the abuse problem of section 4): cells that only deliver a constant. Settled by intervention, not by looks.

A bias cell can be held at its mean without effect, while setting it to zero has one.
"""

import numpy as np

from .effects import effects_of_holding, least_effects, read_by
from .finding import Finding, Threshold

RULE = "bias-cell"
HOLD = Threshold(0.01, "set here: 1 % of the natural variation of what reads the cell; in layers of more than 100 a tenth of one cell's "
                       "share, 1 / sqrt(units); no cell of untrained LSTMs of 126 and 128 units crosses both")
ZERO = Threshold(0.1, "set here: 10 % of the natural variation of what reads the cell, ten times the other threshold")
STEADY = 3.0
"""|mean| over standard deviation below which a cell is not tried: to first order the effects differ by sqrt(1 + ratio^2); ten is asked."""


def detect(context):
    """Hold each steady unit at its mean, then at zero, in all sequences as long as the first, and compare what reads it (see `effects`)."""
    run = context.pooled[0]
    y = run.trajectory[context.cell.output.name]
    mean, deviation = y.mean(axis=(0, 1)), y.std(axis=(0, 1))
    steady = np.flatnonzero(np.abs(mean) > STEADY * deviation)
    limit = min(HOLD.value, 0.1 / np.sqrt(len(mean)))
    steady = steady[least_effects(context, run, deviation)[steady] < limit]
    held = effects_of_holding(context, run, steady, mean[steady], limit)
    steady, held = steady[held < limit], held[held < limit]
    zeroed = effects_of_holding(context, run, steady, np.zeros(len(steady)))
    return [_finding(context, run, int(unit), float(mean[unit]), float(deviation[unit]), float(hold), float(zero), float(limit))
            for unit, hold, zero in zip(steady, held, zeroed, strict=True) if zero > ZERO.value]


def _finding(context, run, unit, mean, deviation, hold, zero, limit):
    evidence = {"effect_held_at_mean": hold, "effect_set_to_zero": zero, "mean": mean, "deviation": deviation,
                "read_by": read_by(context), "sequences": run.trajectory.batch, "lost": True,
                "zero_threshold": ZERO.value, "zero_threshold_source": ZERO.source}
    remedy = ("replace it by a bias: add weight times mean to the biases of its readers and remove the cell; in training, start with a "
              "negative output-gate bias, more negative for cells that are to be used later (section 4)")
    words = f"held at its mean {mean:.3g} it changes nothing ({hold:.1%}), set to zero it does ({zero:.1%}): it serves as a bias"
    return Finding(RULE, context.layer.name, unit, "info", evidence, limit, HOLD.source, remedy, words)
