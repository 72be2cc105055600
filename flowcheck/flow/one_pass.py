"""Several flows of a cell from one running product: from whom errors come, and who receives them.

    d sender(t)/d net(t-q) = sum over states of d sender(t)/d state(t-q) diag(d state/d net at t-q)

The product's rows are those of the joint state at t, or of the one state that sends. Where a net sends that alone makes the only state,
they are those of the net, one step earlier: d net(t)/d state(t-1) = W, and the state's are f'(t) times as much.

What is left out of a product (`lowrank`) counts by its square for all rows together, not for some of them. So where that is worth it,
senders of some rows have products of their own.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from .. import symbolic
from ..step import Step
from . import lowrank
from .chunk import Chunk
from .norms import norm_row
from .product import StateProduct, identity, units_apart
from .rows import pointwise_slopes

__all__ = ["JOINT", "flows_in_one_pass"]

JOINT = None
"""All states, one below the other, as sender or receiver."""

_FAR = 64
"""Powers of two up to which the rows of a product may start as they are."""

_SHORT = 20_000
"""Lags times entries of the joint state up to which one product of all rows takes less time than one with fewer and fewer rows for each
sender (measured on LSTMs of 32 to 128 units)."""


def flows_in_one_pass(trajectory, wanted, lags, *, b=0, end, cut=(), tail=lowrank.TAIL):
    """{(sender, receiver): [(norm, largest entry, floor, exponent) of lags 0 ... lags]} of d sender(t)/d receiver(t-q), t = `end`.

    Senders are states, JOINT, or a net that alone makes the only state; receivers are nets, inputs, or JOINT. None where a pass cannot have
    them all, or states are no pointwise formulas of the nets. `tail` is as in `state_flow`. The last lag is at most the end step.
    """
    if trajectory.kernel.xp is not np or not 1 <= lags <= end:
        return None
    step, by_sender = Step(trajectory, cut), {}
    for sender, receiver in wanted:
        by_sender.setdefault(sender, []).append(receiver)
    receivers = _Receivers.of(step, b, {r for _, r in wanted if r is not JOINT})
    start = receivers and _start(step, receivers.slopes, list(by_sender), end)
    if not start:
        return None
    rows, earlier, senders = start
    end, apart, exponent = end - earlier, units_apart(step), math.frexp(float(np.abs(rows).max(initial=0.0)))[1]
    exponent = exponent if abs(exponent) > _FAR else 0
    rows = np.ldexp(rows, -exponent)
    if lowrank.pays(rows.shape[1], tail) and not apart and not all(how.whole for how in senders.values()):
        if lags * rows.shape[1] > _SHORT:
            return None
        tail = 0

    def measure(chunk):
        count, found, ratios = len(chunk.matrices), {}, [chunk.ratio]
        times = slice(end - chunk.first - count + 1, end - chunk.first + 1)
        for sender, ours in by_sender.items():
            how = senders[sender]
            matrices = how.of(chunk.matrices)
            flows = receivers.flows([r for r in ours if r is not JOINT], matrices, times, apart)
            for r in ours:
                if r is JOINT and how.whole:
                    norms, entries, _, _ = chunk.measured.T
                else:
                    norms, entries, ratio = chunk.measure(matrices if r is JOINT else flows[r])
                    ratios.append(ratio)
                found[sender, r] = zip(norms, entries, chunk.floors * how.largest, [chunk.exponent + exponent] * count, strict=True)
        return found, max(ratios)

    parts = [{(s, r): [norm_row(receivers.at_lag_0(s, r, end + earlier), 0.0, 0)] for s, r in wanted}]
    if earlier:
        parts.append(measure(Chunk(0, rows[None], 0, *np.zeros((4, 1))))[0])
    if lags > earlier:
        parts += lowrank.measured(partial(StateProduct, step, b, end, lags - earlier, rows), tail, measure)
    return {pair: [row for part in parts for row in part[pair]] for pair in wanted}


def _start(step, slopes, senders, end):
    """(rows of the product at its start, by how many steps it ends before `end`, {sender: _Sender}); None where no product has them all."""
    columns, places = step.columns, {s: k for k, s in enumerate(step.columns)}
    nets = [s for s in senders if s is not JOINT and s not in columns]
    if not nets:
        if len(senders) == 1 and JOINT not in senders:
            return identity(step, columns[senders[0]]), 0, {senders[0]: _Sender()}
        rows = (lambda s: slice(places[s], places[s] + 1)) if units_apart(step) else columns.get
        return identity(step), 0, {s: _Sender() if s is JOINT or len(columns) == 1 else _Sender(rows(s)) for s in senders}
    (old, state), *others = step.kernel.states.items()
    if others or len(nets) > 1 or symbolic.one_step_paths(step.kernel.cell) != {(state, old): [(old, nets[0], state)]}:
        return None
    w = step.live[nets[0]].get(old)
    if w is None:  # cut: no flow is left
        return np.zeros((1, step.length(state))), 1, {s: _Sender() for s in senders}
    if w.ndim == 1:
        return None
    slope = slopes[state, nets[0]]
    slope = slope[end] if np.ndim(slope) == 2 else np.broadcast_to(slope, step.length(state))
    return w, 1, {s: _Sender() if s in nets else _Sender(slope=slope) for s in senders}


class _Sender:
    """A sender's rows from those of the product: some of them, or all, each times its unit's slope."""

    def __init__(self, rows=slice(None), slope=None):
        self.rows, self.slope = rows, slope
        self.whole = rows == slice(None) and slope is None
        self.largest = 1.0 if slope is None else float(np.abs(slope).max())

    def of(self, matrices):
        """(lags, rows, joint state) of the sender."""
        return matrices[:, self.rows] if self.slope is None else matrices * self.slope[:, None]


@dataclass
class _Receivers:
    """What errors at the states of a step become at its nets and inputs, of one sequence.

    slopes   {(state, net): d state / d net at all steps}
    kinds    {net: dense or diagonal}
    """

    step: Step
    slopes: dict
    kinds: dict

    @staticmethod
    def of(step, b, names):
        """None where some of them are not reached by pointwise slopes and the weights of one net each."""
        kernel = step.kernel
        kinds = {net.out.name: net.kind for net in kernel.cell.nets}
        read_by_units = {arg for unit in kernel.units.values() for arg in unit.args}
        known = {*kinds, *step.trajectory.inputs} - (read_by_units & {*step.trajectory.inputs})
        slopes = pointwise_slopes(step, b, every_net=True) if known >= names else None
        return None if slopes is None else _Receivers(step, slopes, kinds)

    def flows(self, names, matrices, times, apart):
        """{receiver: (lags, rows, entries)} of errors at the states, (lags, rows, joint state), at `times`, the last first."""
        needed = [net for net in self.kinds if net in names or any(r in self.step.live[net] for r in names)]
        to_net = {net: _total((matrices[:, :, cols] * _backwards(self.slopes[state, net], times)
                               for state, cols in self.step.columns.items() if (state, net) in self.slopes),
                              (*matrices.shape[:2], self.step.length(net))) for net in needed}
        return {r: self._flow(r, to_net, apart) for r in names}

    def _flow(self, r, to_net, apart):
        if r in self.kinds:
            return to_net[r]
        count, rows, _ = next(iter(to_net.values())).shape if to_net else (0, 1, 0)
        return _total((self._through(m, net, r, apart) for net, m in to_net.items() if r in self.step.live[net]),
                      (count, rows, self.step.trajectory[r].shape[-1]))

    def _through(self, m, net, r, apart):
        """Errors at a net sent on to what it reads; those that are diagonals become matrices there."""
        w, diagonal = self.step.live[net][r], self.kinds[net] == "diagonal"
        if apart:
            return m[:, 0, :, None] * (np.diag(w) if diagonal else w)
        return m * w if diagonal else m @ w

    def at_lag_0(self, sender, receiver, t):
        """d sender(t)/d receiver(t); of a diagonal matrix, the diagonal."""
        if receiver is JOINT:
            return np.ones(max(c.stop for c in self.step.columns.values()) if sender is JOINT else self.step.length(sender))
        sent = self.slopes if sender in self.step.columns else {(sender, sender): 1.0}
        to_net = {net: sent.get((sender, net), 0.0) for net in self.kinds}
        to_net = {net: np.broadcast_to(s[t] if np.ndim(s) == 2 else s, (1, 1, self.step.length(net))) for net, s in to_net.items()}
        return self._flow(receiver, to_net, apart=True)


def _total(arrays, shape):
    """The sum of arrays of one shape, in the memory of the first."""
    arrays = iter(arrays)
    total = next(arrays, None)
    for array in arrays:
        total += array
    return np.zeros(shape) if total is None else total


def _backwards(slope, times):
    """A slope at a slice of steps, the last first, as (steps, 1, units)."""
    return slope[times][::-1, None] if np.ndim(slope) == 2 else slope
