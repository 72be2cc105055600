"""Gradients by forward tangents: what every single weight does to the states, carried forward, no look back.

The second opinion on a backward pass, exact for all weights at once: lanes of tangents, one per weight, go through a step together as one
matrix product. This is RTRL with the memory of a few lanes; it shares slopes with BPTT, but no chain.
"""

import numpy as np

from .flow.product import JointJacobian
from .flow.rows import pointwise_slopes
from .gradients import Gradients, checked_errors
from .step import Step

__all__ = ["forward_gradients"]

_LANE_ENTRIES = 2**17
"""Entries of the tangents that go through a step together: 1 MB, a level-2 cache."""


def forward_gradients(trajectory, errors, cut=()):
    """Gradients of all weights by forward tangents, with `errors` = dE/dy(t) as for `gradients.bptt`.

        S(t) = J(t) S(t-1) + d state(t)/dw at fixed state(t-1),   dE/dw = sum_t dE/dstate(t) S(t)

    One lane of S per weight; O(steps weights n) products for n units. Full gradient unless `cut`. Raises ShapeError where errors do not
    fit.
    """
    errors, kernel = checked_errors(trajectory, errors), trajectory.kernel
    totals = {name: np.zeros_like(np.asarray(p, float)) for name, p in trajectory.params.items()}
    step = Step(trajectory, cut)
    for b in range(trajectory.batch):
        sequence = _Sequence(step, errors, b)
        for name, edge in kernel.parameters.items():
            totals[name] += sequence.gradient(edge, totals[name].shape)
    return Gradients(totals)


class _Sequence:
    """What all weights share: step Jacobians, slopes of the states by the nets, errors that enter."""

    def __init__(self, step, errors, b):
        self.step, self.b, kernel = step, b, step.kernel
        self.steps, self.jacobian = step.trajectory.steps, JointJacobian(step, b)
        self.kinds = {n.out.name: n.kind for n in kernel.cell.nets}
        self.by_old, self.by_net = np.zeros((self.steps, self.jacobian.size)), {}
        slopes = pointwise_slopes(step, b, every_net=True)
        self.slopes, self.matrices = slopes, None if slopes is not None else []
        for t in range(self.steps):
            partials = step.partials_at(t, b)
            entering = step.pullback(partials, {name: array[t, b][None] for name, array in errors.items()})
            for old, new in kernel.states.items():
                if old in entering:
                    self.by_old[t, self.jacobian.columns[new]] = entering[old][0]
            for net in self.kinds:
                if net in entering:
                    self.by_net.setdefault(net, np.zeros((self.steps, step.length(net))))[t] = entering[net][0]
            if slopes is None:
                seeds = {new: np.eye(self.jacobian.size)[:, cols] for new, cols in self.jacobian.columns.items()}
                self.matrices.append(step.pullback(partials, seeds))

    def gradient(self, edge, shape):
        """dE/dw of one weight array of that shape."""
        source = np.ones((self.steps, 1)) if edge.source == "1" else self.step.trajectory[edge.source][:, self.b]
        one_to_one = self.kinds[edge.net] == "diagonal" and edge.source != "1"
        direct = self.by_net.get(edge.net)
        if direct is None:
            total = np.zeros((shape[0], 1 if one_to_one else source.shape[1]))
        else:
            total = (direct * source).sum(axis=0)[:, None] if one_to_one else direct.T @ source
        units = max(1, _LANE_ENTRIES // (total.shape[1] * self.jacobian.size))
        for first in range(0, shape[0], units):
            rows = slice(first, min(first + units, shape[0]))
            total[rows] += self._through_time(edge.net, rows, source[:, rows, None] if one_to_one else source[:, None])
        return total.reshape(shape)

    def _through_time(self, net, rows, source):
        """sum over t of dE/dstate(t-1) S(t-1) of the weights into some units of a net; source (steps, 1 or units, sources)."""
        units, n = rows.stop - rows.start, self.jacobian.size
        tangents, spare = (np.zeros((units, source.shape[2], n)) for _ in range(2))
        total = np.zeros(units * source.shape[2])
        for t in range(self.steps - 1):
            if t:
                self.jacobian.forward(t, tangents.reshape(-1, n), spare.reshape(-1, n))
                tangents, spare = spare, tangents
            self._seed(net, rows, t, source[t], tangents)
            total += tangents.reshape(-1, n) @ self.by_old[t + 1]
        return total.reshape(units, -1)

    def _seed(self, net, rows, t, source, tangents):
        """Add d state(t)/dw at fixed state(t-1): slope of the state by its own net, times the source."""
        if self.slopes is None:
            if net in self.matrices[t]:
                tangents += self.matrices[t][net][:, rows].T[:, None] * source[..., None]
            return
        i = np.arange(rows.start, rows.stop)
        for new, cols in self.jacobian.columns.items():
            slope = self.slopes.get((new, net))
            if slope is not None:
                own = slope if np.ndim(slope) == 0 else slope[t, rows, None] if np.ndim(slope) == 2 else slope[rows, None]
                tangents[i - rows.start, :, cols.start + i] += own * source
