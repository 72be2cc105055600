"""The linearised step of a cell: products with the step Jacobian and its transpose, with edges cut or not.

Works on the partial derivatives that `kernels` gives along a trajectory and on the weights; never unrolls.
"""

import numpy as np

from .equations import Net

__all__ = ["Block", "Step"]


class Step:
    """One step of a cell, linearised along a trajectory: products with the step Jacobian J(t) and its transpose.

        J(t) = d state(t) / d state(t-1),   state = all states of the cell

    `pullback` sends errors back through one step (reverse order of the equations); `blocks` forms J(t) itself,
    block by block, each a diagonal plus a dense part.
    """

    def __init__(self, trajectory, cut=()):
        self.kernel = kernel = trajectory.kernel
        self.trajectory, self.cut = trajectory, kernel.cell.cut(cut)
        self.lengths = kernel.lengths(trajectory.params)
        self.block_size = self.lengths["units"] // self.lengths["blocks"]
        self.live = {}  # net -> {source: weights} without the cut ones
        cut_pairs = {(e.net, e.source) for e in self.cut}
        for net in kernel.cell.nets:
            names = kernel.weights.get(net.out.name, {})
            self.live[net.out.name] = {
                s.name: trajectory.params[names[s.name]] if net.kind != "shared" else None
                for s in net.sources if (net.out.name, s.name) not in cut_pairs
            }
        self._stack_previous_states()
        self._buffers = {}

    def _stack_previous_states(self):
        """One product per previous state instead of one per net."""
        self.stacks = {}
        for old in self.kernel.states:
            nets = [n.out.name for n in self.kernel.cell.nets if n.kind == "dense" and old in self.live[n.out.name]]
            if nets:
                self.stacks[old] = nets, np.concatenate([self.live[n][old] for n in nets])

    def length(self, name):
        """Number of entries of a vector of the cell."""
        return self.lengths[self.kernel.cell.sizes[name]]

    def partials_at(self, t, b=None):
        """Partial derivatives at one step: of the whole batch, or of sequence b."""
        where = t if b is None else (t, b)
        return {k: v if isinstance(v, float) else v[where] for k, v in self.trajectory.partials.items()}

    def pullback(self, slopes, adjoint):
        """Send errors back through one step: adds to `adjoint` what each vector of the step receives.

        `adjoint` maps names of vectors at t to errors (..., units); on return it also holds the errors at the
        nets, inputs and previous states. `slopes` comes from `partials_at`.
        """
        def add(name, error):
            adjoint[name] = adjoint[name] + error if name in adjoint else error

        for equation in reversed(self.kernel.cell.equations):
            name = equation.out.name
            error = adjoint.get(name)
            if error is None:
                continue
            if not isinstance(equation, Net):
                for arg in self.kernel.units[name].args:
                    slope = slopes.get((name, arg), 0.0)
                    if isinstance(slope, float) and slope == 1.0:
                        add(arg, error)
                    elif not (isinstance(slope, float) and slope == 0.0):
                        add(arg, error * slope)
                continue
            for source, w in self.live[name].items():
                if equation.kind == "shared":
                    add(source, error.reshape(*error.shape[:-1], -1, self.block_size).sum(axis=-1))
                elif equation.kind == "diagonal":
                    add(source, error * w)
                elif source not in self.stacks:
                    add(source, error @ w)
        for old, (nets, stacked) in self.stacks.items():
            if all(n in adjoint for n in nets):
                add(old, np.concatenate([adjoint[n] for n in nets], axis=-1) @ stacked)
            else:
                for n in nets:
                    if n in adjoint:
                        add(old, adjoint[n] @ self.live[n][old])
        return adjoint

    def pushforward(self, slopes, tangent):
        """Carry a change forward through one step: `tangent` maps names to changes (..., units), filled in for the step."""
        for equation in self.kernel.cell.equations:
            name = equation.out.name
            if isinstance(equation, Net):
                pieces = [self._push_edge(equation, s, w, tangent[s]) for s, w in self.live[name].items() if s in tangent]
            else:
                pieces = [tangent[a] * slopes[name, a] for a in self.kernel.units[name].args
                          if a in tangent and (name, a) in slopes]
            if name in tangent:
                pieces.append(tangent[name])
            if pieces:
                tangent[name] = sum(pieces[1:], pieces[0])
        return tangent

    def _push_edge(self, net, source, w, change):
        if net.kind == "shared":
            return np.repeat(change, self.block_size, axis=-1)
        return change * w if net.kind == "diagonal" else change @ w.T

    def blocks(self, slopes, *, reuse=False):
        """The step Jacobian by blocks: {(new, previous): Block}, for one sequence's slopes. Zero blocks are left out.

        Scaled weights stay unformed until a state needs them, so an LSTM costs five scaled n x n sums a step. With `reuse` the dense
        parts are written where those of the last such call stood: no allocation in a loop over steps.
        """
        new_states, found = set(self.kernel.states.values()), {}
        for old in self.kernel.states:
            known = {old: Block(np.ones(self.length(old)))}
            for equation in self.kernel.cell.equations:
                name = equation.out.name
                if isinstance(equation, Net):
                    pieces = [self._net_block(equation, w, known[s]) for s, w in self.live[name].items() if s in known]
                else:
                    pieces = [known[a].scaled(slopes[name, a]) for a in self.kernel.units[name].args
                              if a in known and (name, a) in slopes]
                if pieces:
                    known[name] = Block.sum(pieces)
                    if name in new_states:
                        known[name] = known[name].formed(self._buffers.setdefault((name, old), {}) if reuse else None)
            found |= {(new, old): known[new] for new in self.kernel.states.values() if new in known}
        return found

    def _net_block(self, net, w, block):
        if net.kind == "shared":
            return block.gathered(np.arange(self.length(net.out.name)) // self.block_size)
        if net.kind == "diagonal":
            return block.scaled(w)
        return block.multiplied(w)


class Block:
    """A matrix as diagonal + sum of row-scaled matrices; the diagonal may gather: row i has its entry in column index[i]."""

    def __init__(self, diagonal=None, terms=(), index=None):
        self.diagonal, self.terms, self.index = diagonal, list(terms), index

    def scaled(self, scale):
        """diag(scale) times this."""
        if isinstance(scale, float) and scale == 1.0:
            return self
        diagonal = None if self.diagonal is None else self.diagonal * scale
        return Block(diagonal, [(scale if s is None else s * scale, m) for s, m in self.terms], self.index)

    def multiplied(self, w):
        """W times this."""
        terms = []
        if self.diagonal is not None:
            identity = self.index is None and np.all(self.diagonal == 1.0)
            if self.index is None:
                terms.append((None, w if identity else w * self.diagonal))
            else:
                terms.append((None, w @ self._diagonal_matrix()))
        dense = self.formed().dense if self.terms else None
        if dense is not None:
            terms.append((None, w @ dense))
        return Block(None, terms)

    def gathered(self, index):
        """Row i of the result is row index[i] of this."""
        diagonal = None if self.diagonal is None else self.diagonal[index]
        columns = None if diagonal is None else (index if self.index is None else self.index[index])
        if columns is not None and np.array_equal(columns, np.arange(len(columns))):
            columns = None
        return Block(diagonal, [(None if s is None else np.broadcast_to(s, m.shape[0])[index], m[index]) for s, m in self.terms],
                     columns)

    @staticmethod
    def sum(blocks):
        diagonals = [b for b in blocks if b.diagonal is not None]
        terms = [term for b in blocks for term in b.terms]
        if not diagonals:
            return Block(None, terms)
        first = diagonals[0]
        if any((b.index is None) != (first.index is None) for b in diagonals):
            raise AssertionError("a state reaches a vector both within and across blocks by pointwise paths")
        return Block(sum(b.diagonal for b in diagonals[1:]) + first.diagonal, terms, first.index)

    def formed(self, buffers=None):
        """The same with its dense part as one matrix, written into `buffers` where given."""
        if not self.terms or (len(self.terms) == 1 and self.terms[0][0] is None):
            return self
        if buffers is None:
            buffers = {}
        shape = self.terms[0][1].shape
        total, term = buffers.get("formed") or buffers.setdefault("formed", (np.empty(shape), np.empty(shape)))
        for k, (scale, m) in enumerate(self.terms):
            np.multiply(1.0 if scale is None else np.reshape(scale, (-1, 1)), m, out=term if k else total)
            if k:
                total += term
        return Block(self.diagonal, [(None, total)], self.index)

    @property
    def dense(self):
        """The dense part, formed, or None."""
        return self.terms[0][1] if self.terms else None

    def _diagonal_matrix(self):
        rows = np.arange(len(self.diagonal))
        columns = rows if self.index is None else self.index
        matrix = np.zeros((len(rows), columns.max() + 1))
        matrix[rows, columns] = self.diagonal
        return matrix

    def matrix(self, shape):
        """As one dense matrix."""
        total = np.zeros(shape)
        if self.diagonal is not None:
            rows = np.arange(len(self.diagonal))
            total[rows, rows if self.index is None else self.index] += self.diagonal
        return total if self.dense is None else total + self.dense

    def norm_bound(self):
        """An upper bound of the spectral norm: largest |diagonal entry| plus the Frobenius norm of the dense part."""
        diagonal = 0.0 if self.diagonal is None else np.abs(self.diagonal).max() * (1 if self.index is None else np.sqrt(len(self.diagonal)))
        if self.dense is None:
            return diagonal
        dense = self.dense.ravel()
        return diagonal + float(np.sqrt(dense @ dense))

    def rows_times(self, rows, out, work, *, add):
        """Write rows @ this into `out`, or add it; `work` has the shape of `out` and is overwritten."""
        if self.dense is not None:
            np.matmul(rows, self.dense, out=work if add else out)
            if add:
                out += work
            add = True
        if self.diagonal is not None and self.index is None:
            np.multiply(rows, self.diagonal, out=work if add else out)
            if add:
                out += work
        elif self.diagonal is not None:
            if not add:
                out[...] = 0.0
            np.add.at(out, (..., self.index), rows * self.diagonal)
