"""Multiply rows by the step Jacobians of a few lags, part by part: into slots that are prepared once and filled again and again."""

import numpy as np

from ..formed import slopes_at
from ..plain_loop import plain_loop

__all__ = ["Lags"]

_BLOCK_BYTES = 2**17
"""Rows that a diagonal is applied to at a time: they stay in the level-2 cache from one part to the next."""


class Lags:
    """The parts of a `JointJacobian`, and slots for the products: two arrays (lags, rows, joint state), or one and the same twice.

    Where every step is diag(slopes) W, rows are scaled instead of W: slopes stand as often as there are rows, because products of two
    arrays of one shape are the fastest.
    """

    def __init__(self, parts, slots):
        self.parts, self.scaled = parts, [p.row_scaled for p in parts]
        _, rows, size = slots[0].shape
        height = max(1, _BLOCK_BYTES // (8 * size))
        self.rows, self.blocks = rows, [slice(r, min(r + height, rows)) for r in range(0, rows, height)]
        self.given, lines = [], []
        for k, (part, scaled) in enumerate(zip(parts, self.scaled, strict=True)):
            lines += self._lines(k, part, scaled, size)
        numbers = range(len(parts))
        reads, given = (", ".join(f"{letter}{k}" for k in range(count)) for letter, count in (("r", len(parts)), ("g", len(self.given))))
        text = [f"def loop({reads}, each, {given}):", f"    for {', '.join(f'm{k}, w{k}, n{k}' for k in numbers)} in each:",
                *(f"        {line}" for line in lines), f"        {reads} = {', '.join(f'n{k}' for k in numbers)}"]
        self.loop = plain_loop("\n".join(text)) if parts else None
        different = slots[:1] if slots[0] is slots[1] else slots
        self.views = [[(self._views(s, p.into, p), self._views(s, p.cols, p)) for p in parts] for s in different] * (2 // len(different))

    def _name(self, value):
        self.given.append(value)
        return f"g{len(self.given) - 1}"

    def _views(self, slot, cols, part):
        """Columns of every product, or their blocks of rows for a diagonal."""
        if part.is_dense:
            return list(slot if cols == slice(0, slot.shape[2]) else slot[:, :, cols])
        return [[product[rows, cols] for rows in self.blocks] for product in slot]

    def _lines(self, k, part, scaled, size):
        """What the loop does for a part: from r, what is read, and m, its operand at one lag, to w, what is written."""
        width = part.into.stop - part.into.start
        if not part.is_dense:
            work = f", {self._name(np.empty((self.rows, width)))}" if part.add else ""
            return [f"{self._name(_add_diagonal if part.add else _set_diagonal)}(r{k}, m{k}, w{k}{work})"]
        product = self._name(np.dot if width == size or part.add else np.matmul)  # `dot` is faster, and writes to whole matrices only
        lines, read, matrix = [], f"r{k}", f"m{k}"
        if scaled is not None:
            slopes, weights = scaled
            if slopes is not None:
                read = self._name(np.empty((self.rows, len(weights))))
                lines.append(f"{self._name(np.multiply)}(r{k}, m{k}, {read})")
            matrix = self._name(weights)
        if not part.add:
            return [*lines, f"{product}({read}, {matrix}, w{k})"]
        work = self._name(np.empty((self.rows, width)))
        return [*lines, f"{product}({read}, {matrix}, {work})", f"w{k} += {work}"]

    def operands(self, times):
        """What each part multiplies by at a slice of steps, (steps, ...)."""
        return [part.at(times) if scaled is None else self._slopes(scaled[0], times)
                for part, scaled in zip(self.parts, self.scaled, strict=True)]

    def _slopes(self, slopes, times):
        steps = times.stop - times.start
        if slopes is None:
            return [None] * steps
        found = slopes_at(slopes, times)
        return np.broadcast_to(found[:, None], (steps, self.rows, found.shape[-1])).copy()

    def multiply(self, rows, operands, turn, place):
        """Multiply by the operands, the last step first, into the slots from `place` on; without a part there is nothing to write."""
        if not self.parts:
            return
        reads = [rows[:, p.cols] if p.is_dense else [rows[block, p.cols] for block in self.blocks] for p in self.parts]
        few, each = slice(place, place + len(operands[0])), []
        for operand, (writes, following) in zip(operands, self.views[turn], strict=True):
            each += [operand[::-1], writes[few], following[few]]
        self.loop(*reads, zip(*each, strict=True), *self.given)


def _set_diagonal(read, slopes, into):
    for rows, out in zip(read, into, strict=True):
        np.multiply(rows, slopes, out=out)


def _add_diagonal(read, slopes, into, work):
    for rows, out in zip(read, into, strict=True):
        out += np.multiply(rows, slopes, out=work[:len(rows)])
