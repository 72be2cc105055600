"""The bound of section 3.1 on the error flow of a fully recurrent cell, as printed and without its factor n."""

import numpy as np

from .. import symbolic
from .norms import end_and_lags

__all__ = ["bounded", "bounds"]


def bounded(cell):
    """Whether the bound of section 3.1 is for this cell: y = f(net), net a dense map of y(t-1), and no other way from y(t-1) to y."""
    dense = [net.out.name for net in cell.nets if net.kind == "dense"]
    if len(cell.nets) != 1 or not dense or len(cell.state) != 1:
        return False
    (old, new), = ((old.name, new.name) for old, new in cell.state.items())
    return symbolic.one_step_paths(cell) == {(new, old): [(old, dense[0], new)]}


def bounds(trajectory, lags, *, b=0, end=None):
    """log10 of the two bounds on every |entry| of the net-to-net flow of a fully recurrent cell, q = 1 ... lags.

        with n:     n (f'_max ||W||)^q       (section 3.1)
        without n:    (f'_max ||W||)^q       (holds as well: the factor n is superfluous)

    ||W|| is the largest row sum, f'_max the largest slope that occurs on the way. Raises ValueError for a cell that is
    not `bounded`, for which the paper states no such bound.
    """
    kernel = trajectory.kernel
    cell = kernel.cell
    if not bounded(cell):
        raise ValueError(f"{cell.name}: the bound of section 3.1 is for one fully recurrent net whose output is its only state, this cell "
                         f"has {len(cell.nets)} net(s), {len(cell.state)} state(s) and {len(cell.recurrent_edges)} recurrent connection(s)")
    end, lags = end_and_lags(trajectory, end, lags)
    net, out = cell.nets[0].out.name, cell.output.name
    old = next(iter(kernel.states))
    norm_w = np.abs(trajectory.params[kernel.weights[net][old]]).sum(axis=1).max()
    slope = trajectory.partials[out, net]
    slope = np.broadcast_to(slope, trajectory[out].shape)[:, b]
    largest = np.abs(slope).max(axis=1)[::-1][trajectory.steps - end:][:lags]  # f' at t-1, t-2, ...
    f_max = np.maximum.accumulate(largest)
    q = np.arange(1, len(f_max) + 1)
    with np.errstate(divide="ignore"):
        without = q * np.log10(f_max * norm_w)
    return {"with n": np.log10(trajectory[net].shape[-1]) + without, "without n": without}
