"""What an intervention does: the change of what reads a layer, relative to the natural variation there.

effect = root mean square change / standard deviation over time, the larger of: the other units of the layer (through the recurrence), and
each linear map that reads the layer (next layer, read-out). Without a known reader the outputs themselves count as read.
"""

import numpy as np

__all__ = ["effect", "effects_of_holding", "read_by"]

MOST_BYTES = 2**29
"""Memory of the runs in which units are held, one unit each, side by side."""


def effect(context, y, changed, unit=None):
    """The effect of an intervention that turns the layer's outputs y into `changed`, both (time, batch, units).

    `unit` is the one intervened on; its own output does not count as an effect on the layer.
    """
    change, spread = changed - y, y.std(axis=(0, 1))
    others = np.arange(y.shape[-1]) != (-1 if unit is None else unit)
    readers = context.readers or {"output": np.eye(y.shape[-1])}
    found = [_relative(change[..., others], spread[others])]
    found += [_relative(change @ w.T, (y @ w.T).std(axis=(0, 1))) for w in readers.values()]
    return float(max(found))


def effects_of_holding(context, run, units, values):
    """Effect of holding each of `units` at its value, one at a time, in all sequences of a run."""
    y, found = run.trajectory[context.cell.output.name], []
    at_once = max(1, min(32, MOST_BYTES // sum(array.nbytes for array in run.trajectory.values.values())))
    for start in range(0, len(units), at_once):
        lanes = slice(start, start + at_once)
        changed = context.held_at(run, units[lanes], values[lanes])
        found += [effect(context, y, changed[:, :, k], unit) for k, unit in enumerate(units[lanes])]
    return found


def read_by(context):
    """Names of what reads the layer, for evidence."""
    return [*(context.readers or ["unknown: the outputs themselves"])]


def _relative(change, spread):
    size, moved = np.sqrt(np.mean(spread**2)), np.sqrt(np.mean(change**2))
    return moved / size if size > 0 else np.inf if moved > 0 else 0.0
