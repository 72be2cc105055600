"""The step Jacobian of the joint state, all states one below the other: as parts that errors are multiplied by, or as one matrix."""

from dataclasses import dataclass, replace

import numpy as np

from ..jacobian import Dense, StepJacobian

__all__ = ["JointJacobian"]


@dataclass(frozen=True)
class _Part:
    """What the columns `cols` of the product, through J(t), add to its columns `into`; `add`: something was written there before."""

    cols: slice
    into: slice
    operand: object
    add: bool
    alone: bool = False

    @property
    def is_dense(self):
        return isinstance(self.operand, Dense)

    @property
    def row_scaled(self):
        """(scale, W) where every step is diag(scale(t)) W and no other part reads these columns, so that they may be scaled in place."""
        return self.operand.row_scaled if self.is_dense and self.alone else None

    def at(self, times):
        """(steps, ...): dense matrices, or diagonals."""
        if self.is_dense:
            return self.operand.at(times)
        rows = self.operand[times] if np.ndim(self.operand) == 2 else np.atleast_2d(self.operand)
        return np.broadcast_to(rows, (times.stop - times.start, self.cols.stop - self.cols.start))


class JointJacobian:
    """J(t) of the joint state along one sequence, ready to be multiplied from the left: dense parts and diagonals.

    columns   {state: slice} of its entries in the joint state
    size      number of entries of the joint state
    within    with `factored`: [(columns of A, columns of B, d A(t)/d B(t))] of states of one step, in the order in which errors pass;
              the parts are those of the other factor of J(t), see `StepJacobian`
    """

    def __init__(self, step, b, factored=False):
        states = step.kernel.states
        self.columns, self.parts = step.columns, []
        self.size = max(cols.stop for cols in self.columns.values())
        jacobian = StepJacobian(step, b, factored)
        blocks = jacobian.entries
        self.within = [(self.columns[to], self.columns[source], np.asarray(slope)) for (to, source), slope in jacobian.within.items()]
        for old, into in states.items():
            groups, diagonals = [], []
            for new, cols in self.columns.items():
                entry = blocks.get((new, old))
                if entry is None:
                    continue
                if not entry.terms and entry.index is None:
                    diagonals.append((cols, entry.diagonal))
                elif groups and groups[-1][-1][0].stop == cols.start:
                    groups[-1].append((cols, entry))
                else:
                    groups.append([(cols, entry)])
            found = [(slice(group[0][0].start, group[-1][0].stop),
                      Dense([e for _, e in group], [c.stop - c.start for c, _ in group], step.length(old), step.trajectory))
                     for group in groups]
            self.parts += [_Part(cols, self.columns[into], operand, k > 0) for k, (cols, operand) in enumerate([*found, *diagonals])]
        self.parts = [replace(p, alone=all(q is p or q.cols.stop <= p.cols.start or p.cols.stop <= q.cols.start for q in self.parts))
                      for p in self.parts]
        written = {p.into.start for p in self.parts}
        self.unreached = [cols for cols in self.columns.values() if cols.start not in written]

    def matrix(self, t):
        """J(t), (size, size), index [to, from]; may be overwritten by the next."""
        if len(self.parts) == 1 and self.parts[0].is_dense and self.parts[0].operand.shape == (self.size, self.size):
            return self.parts[0].at(slice(t, t + 1))[0]
        joint = np.zeros((self.size, self.size))
        for part in self.parts:
            operand = part.at(slice(t, t + 1))[0]
            joint[part.cols, part.into] = operand if part.is_dense else np.diag(operand)
        return joint

    def back(self, t, rows, out):
        """Write rows @ J(t) into `out`: (k, size) errors at state(t) sent back to state(t-1)."""
        for cols in self.unreached:
            out[:, cols] = 0.0
        for part in self.parts:
            operand, read, write = part.at(slice(t, t + 1))[0], rows[:, part.cols], out[:, part.into]
            product = np.matmul if part.is_dense else np.multiply
            if part.add:
                write += product(read, operand)
            else:
                product(read, operand, out=write)

    def forward(self, t, rows, out):
        """Write rows @ J(t)^T into `out`: (k, size) changes of state(t-1) carried on to state(t)."""
        parts = sorted(self.parts, key=lambda p: (not p.is_dense, p.cols.start - p.cols.stop))
        whole = bool(parts) and parts[0].is_dense and parts[0].operand.shape[0] == self.size
        if not whole:
            out[...] = 0.0
        for k, part in enumerate(parts):
            operand, read = part.at(slice(t, t + 1))[0], rows[:, part.into]
            if whole and k == 0:
                np.matmul(read, operand.T, out=out)
            else:
                out[:, part.cols] += np.matmul(read, operand.T) if part.is_dense else read * operand
