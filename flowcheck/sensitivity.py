"""d state(t)/d w of every weight, carried forward in time: what real-time recurrent learning keeps.

Columns are weights, in groups of whole rows of a net (all weights into one entry), a group so small that it stays in the cache while
the step's products go over it: one BLAS product per state that recurs, the diagonal parts of the Jacobian as scaled additions.
"""

import numpy as np
from numpy.lib.stride_tricks import as_strided

__all__ = ["Sensitivity"]

CACHE = 2**17
"""Numbers (1 MiB) that a group and a buffer of its size may hold together."""


class Sensitivity:
    """S(t) = d state(t)/d w, (all states, weights), of one sequence.

        S(t) = J(t) S(t-1) + sum over nets of d state(t)/d net (x) source

    `advance` takes a step and gives e S(t-1) for a row e of errors at the states before it.
    """

    def __init__(self, step, rows, size):
        self.step, self.rows, self.size = step, rows, size
        kernel, self.nets = step.kernel, []
        kinds = {n.out.name: n.kind for n in kernel.cell.nets if n.out.name in kernel.weights}
        for net, kind in kinds.items():
            sources = [(s, name) for s, name in kernel.weights[net].items()]
            widths = [1 if s == "1" or kind == "diagonal" else step.length(s) for s, _ in sources]
            width, to = sum(widths), step.length(net)
            together = max(1, min(to, CACHE // (2 * size * width)))
            groups = [(first, min(first + together, to)) for first in range(0, to, together)]
            self.nets.append(_Columns(net, kind, sources, np.cumsum([0, *widths]), [
                (first, last, np.zeros((size, (last - first) * width))) for first, last in groups]))
        self.gradient = {c.net: np.zeros((step.length(c.net), c.width)) for c in self.nets}
        self.buffers = np.empty((3, max(s.size for c in self.nets for _, _, s in c.groups)))

    def advance(self, blocks, to_state, sources_of, before):
        """One step: `blocks` of the Jacobian, `to_state` {net: (all states, entries)}; adds `before` S(t-1) to the gradient."""
        stacks = self._stacks(blocks)
        for columns in self.nets:
            direct = to_state.get(columns.net)
            source = sources_of(columns)
            for first, last, now in columns.groups:
                if before is not None:
                    self.gradient[columns.net][first:last] += (before @ now).reshape(last - first, -1)
                self._product(stacks, blocks, now)
                if direct is not None:
                    self._add_direct(now, direct[:, first:last], source, first, columns.kind)

    def _stacks(self, blocks):
        """[(rows of a previous state, dense parts that read it one below the other, where they go)]."""
        found, kernel = [], self.step.kernel
        for old, new in kernel.states.items():
            dense = [(self.rows[n], block.dense) for (n, o), block in blocks.items() if o == old and block.dense is not None]
            dense.sort(key=lambda pair: pair[0].start)
            if dense and all(a[0].stop == b[0].start for a, b in zip(dense, dense[1:], strict=False)):
                found.append((self.rows[new], [d for _, d in dense], slice(dense[0][0].start, dense[-1][0].stop)))
            else:
                found += [(self.rows[new], [d], rows) for rows, d in dense]
        return [(read, np.concatenate(dense) if len(dense) > 1 else dense[0], write) for read, dense, write in found]

    def _product(self, stacks, blocks, now):
        """now <- J now, through buffers that stay in the cache."""
        dense, pointwise, extra = (buffer[:now.size].reshape(now.shape) for buffer in self.buffers)
        states, seen = self.step.kernel.states, {}
        for (new, old), block in blocks.items():
            if block.diagonal is None:
                continue
            rows, source = self.rows[new], now[self.rows[states[old]]]
            if block.index is not None:
                source = source[block.index]
            np.multiply(block.diagonal[:, None], source, out=(extra if new in seen else pointwise)[rows])
            if new in seen:
                pointwise[rows] += extra[rows]
            seen[new] = rows
        written = set()
        for read, matrix, write in stacks:
            inside = {new for new, rows in self.rows.items() if write.start <= rows.start < write.stop}
            np.matmul(matrix, now[read], out=(extra if inside & written else dense)[write])
            for new in inside if inside & written else ():
                rows = self.rows[new]
                dense[rows] = dense[rows] + extra[rows] if new in written else extra[rows]
            written |= inside
        for new, rows in self.rows.items():
            if new in seen and new in written:
                np.add(dense[rows], pointwise[rows], out=now[rows])
            else:
                now[rows] = dense[rows] if new in written else pointwise[rows] if new in seen else 0.0

    def _add_direct(self, out, direct, source, first, kind):
        """out[r, (i, j)] += direct[r, i] source[i, j]; the source is the same for all i unless the net is diagonal."""
        entries = direct.shape[1]
        width = out.shape[1] // entries
        for rows in self.rows.values():
            part, block = direct[rows], out[rows]
            places = np.arange(first, first + entries)
            if part.shape[0] >= first + entries and np.count_nonzero(part) == np.count_nonzero(part[places, np.arange(entries)]):
                own = block[first:first + entries]
                band = as_strided(own, (entries, width), (own.strides[0] + width * own.itemsize, own.itemsize))
                band += part[places, np.arange(entries)][:, None] * (source[first:first + entries] if kind == "diagonal" else source)
            elif part.any():
                where = source[first:first + entries] if kind == "diagonal" else source
                block += (part[:, :, None] * where).reshape(block.shape)

    def params(self, shapes):
        """{parameter: dE/dw} from the gradient so far."""
        found = {}
        for columns in self.nets:
            for k, (_, name) in enumerate(columns.sources):
                part = self.gradient[columns.net][:, columns.starts[k]:columns.starts[k + 1]]
                found[name] = part.reshape(shapes[name]).copy()
        return found


class _Columns:
    """The weights into one net: its sources, where each one's columns start within a row, and the groups of S."""

    def __init__(self, net, kind, sources, starts, groups):
        self.net, self.kind, self.sources, self.starts, self.groups = net, kind, sources, starts, groups
        self.width = starts[-1]
