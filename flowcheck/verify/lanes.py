"""References of the ladder by complex step: every number of a group is moved in a lane of its own, all lanes in one forward run."""

import numpy as np

from ..oracles import STEP

__all__ = ["lanes_flow", "moved_nets", "moved_weights", "repeated"]


def lanes_flow(p, lags, cut):
    """Yield {(state, earlier state): d state(t)/d state(t-q)} for q = 1 ... lags by complex step, all lags in one run.

    At every step new lanes start, each with one state entry moved by i h; cut connections read the unmoved trajectory.
    """
    states, steps = p.kernel.states, p.trajectory.steps
    sizes = {new: p.trajectory[new].shape[-1] for new in states.values()}
    n = sum(sizes.values())
    eye = np.eye(n)
    offsets = dict(zip(sizes, np.cumsum([0, *sizes.values()])[:-1], strict=True))
    lanes = {old: np.zeros((0, sizes[new]), complex) for old, new in states.items()}
    for t in range(steps - lags, steps):
        now = {old: p.trajectory.at(old, t) for old in states}
        for old, new in states.items():
            moved = now[old] + 1j * STEP * eye[:, offsets[new]:offsets[new] + sizes[new]]
            lanes[old] = np.concatenate([lanes[old], moved])
        x = repeated(p, t, t + 1, len(next(iter(lanes.values()))))
        after = p.kernel.forward(p.params, x, lanes, cut=cut, frozen=p.trajectory.window(t, t + 1) if cut else None)
        lanes = {old: after[new][0] for old, new in states.items()}
    for q in range(1, lags + 1):
        rows = slice(n * (lags - q), n * (lags - q + 1))
        joint = {new: lanes[old][rows].imag.T / STEP for old, new in states.items()}
        yield {(a, c): joint[a][:, offsets[c]:offsets[c] + sizes[c]] for a in sizes for c in sizes}


def moved_nets(p, t, cut):
    """{net: complex step of E in each of its entries at step t only}, all in one run: each lane has one entry moved."""
    sizes = {n.out.name: p.trajectory[n.out.name].shape[-1] for n in p.cell.nets if not n.fixed}
    ends = np.cumsum([*sizes.values()])
    lanes, steps, add = int(ends[-1]), p.trajectory.steps - t, {}
    for (name, n), end in zip(sizes.items(), ends, strict=True):
        add[name] = np.zeros((steps, lanes, n), complex)
        add[name][0, end - n:end] = 1j * STEP * np.eye(n)
    before = {old: np.repeat(p.trajectory.at(old, t), lanes, axis=0) for old in p.kernel.states}
    run = p.kernel.forward(p.params, repeated(p, t, t + steps, lanes), before, cut=cut, add=add,
                           frozen=p.trajectory.window(t, t + steps) if cut else None)
    change = np.einsum("tbi,ti->b", run[p.cell.output.name].imag, p.errors[t:, 0]) / STEP
    return dict(zip(sizes, np.split(change, ends[:-1]), strict=True))


def moved_weights(p, directions, cut):
    """{weight: complex step of E along its direction}, all in one run: lane k adds to a net what a change of weight k adds to it."""
    lanes, add = len(directions), {}
    for k, name in enumerate(directions):
        edge = p.kernel.parameters[name]
        v, n = directions[name], p.trajectory[edge.net].shape[-1]
        source = 1.0 if edge.source == "1" else p.trajectory[edge.source][:, 0]
        moved = add.setdefault(edge.net, np.zeros((p.trajectory.steps, lanes, n), complex))
        moved[:, k] = 1j * STEP * (source @ v.T if np.ndim(v) == 2 else source * v)
    start = {old: np.repeat(value, lanes, axis=0) for old, value in p.state0.items()}
    run = p.kernel.forward(p.params, repeated(p, 0, p.trajectory.steps, lanes), start, cut=cut, add=add,
                           frozen=p.trajectory if cut else None)
    change = np.einsum("tbi,ti->b", run[p.cell.output.name].imag, p.errors[:, 0]) / STEP
    return dict(zip(directions, change, strict=True))


def repeated(p, start, stop, n):
    """The inputs of some steps, the same for n lanes."""
    return {name: np.repeat(array[start:stop], n, axis=1) for name, array in p.trajectory.inputs.items()}
