"""Saturated units: the squashing function is driven so far that its derivative, and with it the error that could pass, is gone.

A gate near 0 or 1 does its work and is no finding here (see `stuck_gate`), nor is a large state (see `state_drift`). A latch, which
stands at one end for long and switches rarely, is saturated on purpose.
"""

import numpy as np
import sympy

from ..notation import ROUTINES, Squashing, routines
from .finding import Finding, Threshold

RULE = "saturated"
SLOPE = Threshold(0.05, "Kaldi nnet3 repairs units of mean slope below 0.05 (sigmoid) or 0.2 (tanh); here relative to the largest slope")
RARELY = 0.02
"""Changes of sign per step up to which a saturated unit counts as a latch."""
SHARE = 0.5
"""Share of a layer's units from which on the saturation of a vector that is no state counts: one unit's gates can still learn for it."""


def detect(context):
    """Per squashing function of a net whose range holds both signs: mean f'(net) / max f' of each unit over all runs.

    A unit is reported where the vector is itself a state, so that all error into the past passes it (tanh net); the layer, once, where more
    than half of the units of another vector are saturated (the candidate of an LSTM or GRU).
    """
    findings, states = [], set(context.kernel.states.values())
    for vector, relative, changes in _slopes(context):
        low = np.flatnonzero(relative < SLOPE.value)
        if vector in states:
            findings += [_of_unit(context, vector, k, float(relative[k]), float(changes[k])) for k in low.tolist()]
        elif np.sum(changes[low] > RARELY) > SHARE * len(relative):
            findings.append(_of_layer(context, vector, relative, low))
    return findings


def _slopes(context):
    """Yield (vector, mean slope relative to the largest, changes of sign per step), both (units,)."""
    nets = {n.out for n in context.cell.nets}
    squashed = [(unit, squash) for unit in context.cell.units for squash in sorted(unit.formula.atoms(Squashing), key=str)]
    for unit, squash in squashed:
        if squash.bounds[0] >= 0 or not nets & squash.args[0].free_symbols:
            continue
        slope = ROUTINES[squash.slope.__name__]
        argument = sympy.lambdify(unit.reads, squash.args[0], modules=routines())
        runs = [argument(*(run.trajectory[s.name] for s in unit.reads)) for run in context.runs]
        steps = [net.shape[0] * net.shape[1] for net in runs]
        mean = np.average([slope(net).mean(axis=(0, 1)) for net in runs], axis=0, weights=steps)
        changes = sum((np.sign(net[1:]) != np.sign(net[:-1])).sum(axis=(0, 1)) for net in runs)
        yield unit.out.name if squash == unit.formula else str(squash), mean / float(squash.slope_max), changes / sum(steps)


def _of_unit(context, vector, unit, slope, changes):
    evidence = {"vector": vector, "mean_relative_slope": slope, "sign_changes_per_step": changes,
                "sequences": sum(run.trajectory.batch for run in context.runs)}
    latch = changes <= RARELY
    evidence["lost"] = not latch
    words = f"{vector} passes {slope:.2g} of the error that it could pass; " + (
        f"it changes sign at {changes:.2g} of the steps, as a constant or a latch does" if latch else
        f"it jumps between its ends at {changes:.2g} of the steps")
    remedy = "nothing to mend if it is a latch" if latch else REMEDY
    return Finding(RULE, context.layer.name, unit, "info", evidence, SLOPE.value, SLOPE.source, remedy, words)


def _of_layer(context, vector, relative, low):
    evidence = {"vector": vector, "units": low.tolist(), "mean_relative_slope": float(relative.mean()),
                "sequences": sum(run.trajectory.batch for run in context.runs)}
    words = f"{vector} of {len(low)} of {len(relative)} units passes less than {SLOPE.value} of the error that it could pass"
    return Finding(RULE, context.layer.name, None, "warning", evidence, SLOPE.value, SLOPE.source, REMEDY, words)


REMEDY = "scale the incoming weights and biases down (by 10 leads back to the steep part), or normalise what feeds them, and train on"
