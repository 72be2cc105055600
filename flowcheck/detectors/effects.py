"""What an intervention does: the change of what reads a layer, relative to the natural variation there.

effect = root mean square change / standard deviation over time, the larger of: the other units of the layer (through the recurrence), and
each linear map that reads the layer (next layer, read-out). Without a known reader the outputs themselves count as read.
"""

from itertools import repeat

import numpy as np

__all__ = ["effect", "effects_of_holding", "least_effects", "read_by"]

MOST_BYTES = 2**29
"""Memory of the runs in which units are held, one unit each, side by side."""
AT_ONCE = 32
"""Units held side by side, each in a run of its own."""
FIRST = 32
"""Steps after which an effect is looked at for the first time; then after twice as many each time."""


def effect(context, run, changes, unit=None, enough=np.inf):
    """The effect of an intervention on a run, from `changes` of the layer's outputs (time, batch, units), of all steps or part by part.

    `unit` is the one intervened on; its own output does not count as an effect on the layer. Squares only add up: where they pass `enough`
    after some of the parts no more are taken.
    """
    units, squares = np.array([-1 if unit is None else unit]), 0.0
    variances, steps = _variances(context, run, units), run.trajectory.steps * run.trajectory.batch
    for change in changes:
        squares = squares + _squares(context, change[:, :, None], units)
        found = float(_relative(squares / steps, variances)[0])
        if found > enough:
            break
    return found


def effects_of_holding(context, run, units, values, enough=np.inf, vector=None):
    """(len(units),) effect of holding each of `units` of a vector at its value, one at a time, in all sequences of a run.

    The vector is the output, where none is named; else the unit's own output counts among the others.
    Squares only add up over time: a unit whose effect passes `enough` before the end is run no further, and what it had reached is given.
    """
    return np.concatenate([_held(context, run, vector, units[k:k + AT_ONCE], values[k:k + AT_ONCE], enough)
                           for k in range(0, len(units), AT_ONCE)] or [np.zeros(0)])


def _held(context, run, vector, units, values, enough):
    trajectory, output = run.trajectory, context.cell.output.name
    y = trajectory[output]
    steps, batch, _ = y.shape
    own = units if vector in (None, output) else np.full(len(units), -1)
    variances, squares = _variances(context, run, own), 0.0
    found, alive = np.zeros(len(units)), np.arange(len(units))
    per_step = len(units) * sum(array[0].nbytes for array in trajectory.values.values())
    state, start, length = None, 0, FIRST
    while start < steps and len(alive):
        stop = min(steps, start + max(1, min(length, MOST_BYTES // per_step)))
        changed, state = context.held_at(run, vector or output, units[alive], values[alive], start, stop, state)
        squares = squares + _squares(context, changed - y[start:stop, :, None], own[alive])
        found[alive] = _relative(squares / (steps * batch), variances)
        going = found[alive] <= enough
        if not going.all():
            state = {name: array.reshape(batch, len(alive), array.shape[-1])[:, going].reshape(-1, array.shape[-1])
                     for name, array in state.items()}
            alive, squares, variances = alive[going], squares[:, going], variances[:, going]
        start, length = stop, 2 * length
    return found


def read_by(context):
    """Names of what reads the layer, for evidence."""
    return [*(context.readers or ["unknown: the outputs themselves"])]


def _maps(context):
    """The linear maps that read the layer; None stands for the outputs themselves."""
    return [*context.readers.values()] or [None]


def least_effects(context, run, sizes):
    """(units,) what a change of root mean square `sizes` in each unit's output does at least, to first order and less a margin.

    To first order the unit's own weights carry the change to what reads it, which varies naturally. Were the whole effect less than a third
    of that, then because other units undo it, which it would have to move first. A tenth for the recurrent weights: their nets vary with
    the inputs as well.
    """
    _, whole, recurrent = _natural(context, run)
    found = [np.zeros(len(sizes))]
    for w, variance, margin in [*zip(_maps(context), whole, repeat(3)), *zip(context.recurrent_weights().values(), recurrent, repeat(10))]:
        squares = 1 / len(sizes) if w is None else np.mean(w**2, axis=0)
        found.append(sizes * np.sqrt(squares / variance) / margin if variance > 0 else found[0])
    return np.max(found, axis=0)


def _natural(context, run):
    """Variances over time, kept with the run: of each output (units,), the mean of each map that reads the layer, of each recurrent one.

    From the covariance C of the outputs: the variances of W y are the diagonal of W C W^T.
    """
    if run.natural is None:
        y = run.trajectory[context.cell.output.name]
        moves = y.reshape(-1, y.shape[-1]) - y.mean(axis=(0, 1))
        covariance = moves.T @ moves / len(moves)
        run.natural = (np.diag(covariance), *(
            [float(np.trace(covariance) / len(covariance) if w is None else max(0.0, np.vdot(w @ covariance, w) / len(w))) for w in maps]
            for maps in (_maps(context), context.recurrent_weights().values())))
    return run.natural


def _variances(context, run, units):
    """(1 + readers, len(units)): mean variance over time of the outputs of the other units, and of each map that reads the layer."""
    own, whole, _ = _natural(context, run)
    others = [own[np.arange(len(own)) != unit] for unit in units]
    return np.array([[v.mean() if len(v) else 0.0 for v in others], *([v] * len(units) for v in whole)])


def _squares(context, change, units):
    """(1 + readers, len(units)): squares of a change (time, batch, len(units), units), summed over time and batch, mean over what reads.

    Clears the changes of the units themselves, which do not count among the others.
    """
    maps = (change if w is None else change @ w.T for w in _maps(context))
    found = [np.einsum("tbku,tbku->k", read, read) / read.shape[-1] for read in maps]
    lanes = np.flatnonzero(units >= 0)
    n = change.shape[-1] - (units >= 0)
    change[:, :, lanes, units[lanes]] = 0.0
    return np.array([np.einsum("tbku,tbku->k", change, change) / np.maximum(n, 1), *found])


def _relative(squares, variances):
    """(units,) the largest root of a mean square change over a variance; without variance any change is infinite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(squares > 0, squares / variances, 0.0)
    return np.sqrt(ratio.max(axis=0))
