"""Who computes dE/dw, and what each leaves out: BPTT, truncated BPTT, the truncated rule of 1997. RTRL is in `sensitivity`.

All take a Trajectory and the errors that enter at the cell's output, `errors`[t] = dE/dy(t) of shape (time, batch, units)
(or a dict of such arrays for several vectors of the cell), with E the sum over time and batch. All return
Gradients: {parameter: dE/dw} with weights [to, from], and dE/dx, dE/dstate0 where they are computed.
`cut` names edges that carry no error (True: all recurrent ones, the rule of 1997); the default is the full gradient.
"""

from dataclasses import dataclass, field

import numpy as np

from .kernels import ShapeError
from .step import Step

__all__ = ["Gradients", "bptt", "checked_errors", "truncated_1997", "truncated_bptt"]


@dataclass(frozen=True)
class Gradients:
    """Gradient of E = sum over time and batch. `net_errors` {net: dE/dnet(t)}, shape (time, batch, units)."""

    params: dict
    inputs: dict = field(default_factory=dict)
    state0: dict = field(default_factory=dict)
    net_errors: dict = field(default_factory=dict)


def checked_errors(trajectory, errors):
    """{vector: dE/dvector} from that, or from dE/dy alone. Raises ShapeError where a shape does not fit the trajectory, ValueError for a
    vector that the cell does not have."""
    cell = trajectory.kernel.cell
    errors = errors if isinstance(errors, dict) else {cell.output.name: errors}
    for name, array in errors.items():
        if name not in cell.sizes:
            raise ValueError(f"{cell.name} has no vector {name!r}; it has {', '.join(cell.sizes)}")
        if np.shape(array) != trajectory[name].shape:
            raise ShapeError(f"errors at {name} have shape {np.shape(array)}, expected {trajectory[name].shape}")
    return errors


def bptt(trajectory, errors, cut=()):
    """Backpropagation through time: one backward pass over the whole sequence, O(W) a step.

        vartheta_j(t) = f_j'(net_j(t)) sum_i w_ij vartheta_i(t+1),   dE/dw_ij = sum_t vartheta_i(t) source_j(t)    (3.1)

    vartheta here is dE/dnet (the paper's error signal is its negative for E = 1/2 sum of squares).
    Full gradient unless `cut`. Raises ShapeError where errors do not fit the trajectory.
    """
    errors = checked_errors(trajectory, errors)
    if trajectory.loops is not None:
        return trajectory.loops.bptt(trajectory, errors, cut)
    return _backward(trajectory, errors, cut, range(trajectory.steps - 1, -1, -1))


def _backward(trajectory, errors, cut, steps, enter=None):
    """Backward pass over `steps` (descending). Errors enter at the steps for which enter(t) holds, at all by default."""
    kernel, step = trajectory.kernel, Step(trajectory, cut)
    nets = [n.out.name for n in kernel.cell.nets]
    net_errors = {n: np.zeros_like(trajectory[n]) for n in nets}
    input_errors = {x: np.zeros_like(a, dtype=float) for x, a in trajectory.inputs.items()}
    carried = {}
    for t in steps:
        adjoint = dict(carried)
        if enter is None or enter(t):
            for name, array in errors.items():
                adjoint[name] = adjoint[name] + array[t] if name in adjoint else array[t]
        step.pullback(step.partials_at(t), adjoint)
        for name, array in (net_errors | input_errors).items():
            if name in adjoint:
                array[t] = adjoint[name]
        carried = {new: adjoint[old] for old, new in kernel.states.items() if old in adjoint}
    state0 = {old: carried.get(new, np.zeros_like(trajectory.state0[old])) for old, new in kernel.states.items()}
    return Gradients(_weight_gradients(trajectory, net_errors), input_errors, state0, net_errors)


def _weight_gradients(trajectory, net_errors):
    """dE/dw_ij = sum over time and batch of dE/dnet_i(t) source_j(t)."""
    kinds, found = {n.out.name: n.kind for n in trajectory.kernel.cell.nets}, {}
    for name, edge in trajectory.kernel.parameters.items():
        error = net_errors[edge.net]
        if edge.source == "1":
            found[name] = error.sum(axis=(0, 1))
        elif kinds[edge.net] == "diagonal":
            found[name] = (error * trajectory[edge.source]).sum(axis=(0, 1))
        else:
            source = trajectory[edge.source]
            found[name] = error.reshape(-1, error.shape[-1]).T @ source.reshape(-1, source.shape[-1])
    return found


def truncated_bptt(trajectory, errors, k1, k2, cut=()):
    """Truncated BPTT(k1, k2): after every k1 steps the errors of these k1 steps go back k2 steps and no further.

        dE/dw ~ sum over t = k1, 2 k1, ... of the backward pass over t, ..., t-k2+1, where the errors of t, ..., t-k1+1 enter

    So an error at step s travels at least k2 - k1 and at most k2 - 1 steps back. k1 = k2: separate windows; k1 = k2 = T: BPTT.
    The last window may be shorter. Truncated in time; also in space where edges are `cut`. Raises ValueError unless 1 <= k1 <= k2.
    """
    if not 1 <= k1 <= k2:
        raise ValueError(f"truncated BPTT needs 1 <= k1 <= k2, got k1 = {k1}, k2 = {k2}")
    errors, total = checked_errors(trajectory, errors), None
    for start in range(0, trajectory.steps, k1):
        end = min(start + k1, trajectory.steps)
        window = range(end - 1, max(start + k1 - k2, 0) - 1, -1)
        part = _backward(trajectory, errors, cut, window, enter=lambda t, first=start: t >= first)
        total = part.params if total is None else {k: total[k] + v for k, v in part.params.items()}
    return Gradients(total)


def truncated_1997(trajectory, errors):
    """The rule of 1997 (A.1, equations 19 to 28): errors that reach a net input go no further back.

    Only the carousel carries error through time. Truncated: every weighted recurrent connection is cut.
    """
    return bptt(trajectory, errors, cut=True)
