"""The truncated rule over a chunk of steps as matrix products, where each lane of a net carries one number per weight (`carried`).

Over the steps 1 to T of a chunk, s being the sources, p(t) = d(t) p(t-1) + u(t) s(t) gives

    p(T) = f(0) p(0) + sum_t f(t) u(t) s(t),              f(t-1) = d(t) f(t),   f(T) = 1
    sum_t e(t) p(t) = m(0) p(0) + sum_t l(t) u(t) s(t),   l(t) = e(t) + m(t),   m(t-1) = d(t) l(t),   m(T) = 0

Factors are lanes by steps and steps by sources, so that p and dE/dw are read and written once per chunk and no step waits for the one
before. They lie in panels of COLUMNS lanes, each (sources, COLUMNS): `tile` adds to them as they lie.
"""

from dataclasses import dataclass

import numpy as np

from .lines import item, loop_over
from .tile import BLOCK, COLUMNS, ROWS

__all__ = ["Chunks", "bring"]

tile = hot = None  # printed before the loop


def bring(steps, groups, panels, s, x, c, left, right, p, g, errors):
    """Bring p over a chunk of steps and add to dE/dw, if errors enter in it.

    A row of `groups`, nets with the same sources: place in `s`, how many, rows of a panel, first panel, panels of p, those of p and g. Of
    `panels`: places in `c` of its factors, of f and of m, place in p or g, place in g of the panel to which m p is added.
    """
    length = s.shape[0]
    for n in range(groups.shape[0]):
        place, count, height, first, carried, last = groups[n]
        last = first + (last if errors else carried)
        whole = (count + ROWS - 1) // ROWS * ROWS
        for j in range(whole):
            for t in range(steps):
                left[j * length + t] = s[t, place + j] if j < count else 0.0
        for q in range(first, last):
            for t in range(steps):
                for i in range(COLUMNS):
                    right[((q - first) * length + t) * COLUMNS + i] = c[t, panels[q, 0] + i]
        for block in range(0, height, BLOCK):
            rows = min(BLOCK, height - block)
            for q in range(first, last):
                into, start = panels[q, 3] + block * COLUMNS, (q - first) * length * COLUMNS
                if q < first + carried:
                    o, f = p[into:into + rows * COLUMNS], c[0, panels[q, 1]:panels[q, 1] + COLUMNS]
                    if errors:
                        w = g[panels[q, 4] + block * COLUMNS:panels[q, 4] + (block + rows) * COLUMNS]
                        m = c[0, panels[q, 2]:panels[q, 2] + COLUMNS]
                        for j in range(rows):
                            for i in range(COLUMNS):
                                w[j * COLUMNS + i] += m[i] * o[j * COLUMNS + i]
                    for j in range(rows):
                        for i in range(COLUMNS):
                            o[j * COLUMNS + i] *= f[i]
                out = p if q < first + carried else g
                for r in range(block, min(block + BLOCK, whole), ROWS):
                    tile(left, r * length, length, right, start, steps, out, into + (r - block) * COLUMNS, COLUMNS, True)
        if whole < height:
            for q in range(first, last):
                out = p if q < first + carried else g
                for t in range(steps):
                    into, start = panels[q, 3] + (whole + hot(x, t)) * COLUMNS, ((q - first) * length + t) * COLUMNS
                    for i in range(COLUMNS):
                        out[into + i] += right[start + i]


@dataclass(frozen=True)
class _Part:
    """Some lanes of p (of `state`) or of dE/dw (None) for a net: places in the rows `c` and in p or g, whose panels have `height` rows."""

    net: str
    state: str | None
    lanes: int
    factors: int
    start: int
    height: int

    @property
    def panels(self):
        return _whole(self.lanes, COLUMNS) // COLUMNS


class Chunks:
    """Which blocks are brought forward so, where all that lies, and the printed `weigh`, which fills the rows `c` of factors.

    Rows of a panel: the gathered sources, room for the last tile, the one-hot inputs. Row t of `c` also has f and m of the step before, of
    each carried state.
    """

    def __init__(self, carried):
        self.carried, self.storage = carried, carried.storage
        self.blocks = [b for b in carried.blocks if b.net not in carried.diagonal and len(b.states) == 1 and b.row == "i"]
        self.direct = [net for net in carried.direct if net not in carried.diagonal]
        self.size, self.kept = 0, {}
        for state in dict.fromkeys(b.states[0] for b in self.blocks):
            self.kept[state] = [self._lanes(self.storage.length(state)) for _ in "fm"]
        alike = {}
        for net in dict.fromkeys([*(b.net for b in self.blocks), *self.direct]):
            alike.setdefault((*carried.source_place(net), carried.width(net)), []).append(net)
        self.parts, self.p_size, self.g_size, groups, panels = [], 0, 0, [], []
        for (place, count, width), nets in alike.items():
            height, first = _whole(count, ROWS) + width - count, len(panels)
            sums = {net: self._part(net, None, self.storage.length(net), height) for net in nets}
            for b in (b for b in self.blocks if b.net in nets):
                part, to = self._part(b.net, b.states[0], b.lanes, height), sums[b.net]
                panels += [(part.factors + k * COLUMNS, *(place + k * COLUMNS for place in self.kept[b.states[0]]),
                            part.start + k * height * COLUMNS, to.start + k * height * COLUMNS) for k in range(part.panels)]
            carried_panels = len(panels) - first
            panels += [(part.factors + k * COLUMNS, 0, 0, part.start + k * height * COLUMNS, 0)
                       for part in sums.values() for k in range(part.panels)]
            groups.append((place, count, height, first, carried_panels, len(panels) - first))
        self.groups, self.panels = np.array(groups, np.int64).reshape(-1, 6), np.array(panels, np.int64).reshape(-1, 5)
        self.longest, self.widest = (max((group[k] for group in groups), default=0) for k in (2, 5))

    def _lanes(self, length):
        """Place of as many numbers in the rows `c`, up to a whole panel."""
        place, self.size = self.size, self.size + _whole(length, COLUMNS)
        return place

    def _part(self, net, state, lanes, height):
        part = _Part(net, state, lanes, self._lanes(lanes), self.g_size if state is None else self.p_size, height)
        self.p_size += part.panels * height * COLUMNS if state else 0
        self.g_size += part.panels * height * COLUMNS if state is None else 0
        self.parts.append(part)
        return part

    def weigh(self):
        """Source text of weigh(steps, k, a, c, errors, zero) and hot(x, t)."""
        lines, body = ["def weigh(steps, k, a, c, errors, zero):"], {True: [], False: []}
        for state, (f, m) in self.kept.items():
            length = self.storage.length(state)
            lines += loop_over("i", length, [f"c[steps, {f} + i] = 1.0", f"c[steps, {m} + i] = 0.0"])
            for errors in body:
                body[errors] += loop_over("i", length, self._factors(state, f, m, errors))
        carried = {b.net for b in self.blocks}
        for net in self.direct:
            if net not in carried:
                part, = (p for p in self.parts if p.net == net and p.state is None)
                line = f"{item('c_t', part.factors, 'i')} = {item('a_t', self.storage.place[net], 'i')}"
                body[True] += loop_over("i", part.lanes, [line])
        lines += ["    for t in range(steps - 1, -1, -1):", "        k_t, a_t, c_t, after = k[t], a[t], c[t], c[t + 1]"]
        for errors, text in body.items():
            lines += [f"        {'if' if errors else 'elif not'} errors:", *(f"        {line}" for line in text), "            pass"]
        return "\n".join([*lines, "", "", "def hot(x, t):", f"    return {'x[t]' if self.carried.printer.one_hot else '0'}"])

    def _factors(self, state, f, m, errors):
        """Lines of the loop over the lanes of a carried state."""
        carried, d = self.carried, self.carried.keeps.get((state, state), 0.0)
        d = repr(d) if isinstance(d, float) else item("k_t", d, "i")
        lines = [f"f = {item('after', f, 'i')}", f"{item('c_t', f, 'i')} = {d} * f"]
        if errors:
            lines.append(f"l = {item('a_t', carried.storage.place[state], 'i')} + {item('after', m, 'i')}")
            lines.append(f"{item('c_t', m, 'i')} = {d} * l")
        for part in self.parts:
            u = carried.reach.get((state, part.net))
            if u is None or part.state not in (None, state) or part.net not in {b.net for b in self.blocks if b.states[0] == state}:
                continue
            u, to = item("k_t", u, "i"), item("c_t", part.factors, "i")
            if part.state == state:
                lines.append(f"{to} = f * {u}")
            elif errors:
                first = next(b.states[0] for b in self.blocks if b.net == part.net) == state
                direct = f" + {item('a_t', carried.storage.place[part.net], 'i')}" if part.net in self.direct else ""
                lines.append(f"{to} = l * {u}{direct}" if first else f"{to} += l * {u}")
        return lines

    def buffers(self, steps):
        """(c, left, right, p, g) for chunks of as many steps."""
        return (np.zeros((steps + 1, self.size)), np.zeros(self.longest * steps), np.zeros(self.widest * steps * COLUMNS),
                np.zeros(self.p_size), np.zeros(self.g_size))

    def add(self, g, gradient):
        """Add dE/dw in panels to the gradient array of the Carried."""
        for part in (part for part in self.parts if part.state is None):
            span = slice(part.start, part.start + part.panels * part.height * COLUMNS)
            rows = g[span].reshape(-1, part.height, COLUMNS).swapaxes(1, 2).reshape(-1, part.height)[:part.lanes]
            count, width, start = self.carried.source_place(part.net)[1], self.carried.width(part.net), self.carried.gradient[part.net]
            into = gradient[start:start + part.lanes * width].reshape(part.lanes, width)
            into[:, :count] += rows[:, :count]
            into[:, count:] += rows[:, part.height - (width - count):]


def _whole(count, size):
    """The next multiple of a size."""
    return -(-count // size) * size
