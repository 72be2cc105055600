"""Print the truncated rule of 1997 forward in time: derivatives of the states by each weight, carried from step to step (A.1).

With the recurrent connections cut, a state depends on its own past through pointwise formulas only, so that for every cell lane i

    p(t) = d(t) p(t-1) + u(t) source(t),   p = d c_i / d w,   d = d c_i(t)/d c_i(t-1),   u = d c_i(t)/d net(t)      (25), (27)
    dE/dw = sum_t e(t) p(t) + errors that reach a net without passing a carried state, times its source              (22), (26), (28)

One number p per weight and cell that it reaches, nothing stored over time: O(1) per weight and step. For a carousel d = 1.
"""

from dataclasses import dataclass

import numpy as np
import sympy

from ..equations import EquationError, Net
from ..symbolic import one_step_paths
from .printer import _at, _count, _loop

__all__ = ["Carried", "print_carried"]


class _Entry(sympy.Symbol):
    """A vector of the cell at an index that is given as text."""

    def __new__(cls, symbol, index):
        found = super().__new__(cls, f"{symbol.name}[{index}]", real=True)
        found.vector, found.index = symbol.name, index
        return found


@dataclass(frozen=True)
class Block:
    """p of one net's weights and carried states that they reach: lanes x columns numbers for each state, from `places` on.

    `row` is the net's entry that reaches lane i.
    """

    net: str
    states: tuple
    lanes: int
    columns: int
    places: tuple
    row: str


class Carried:
    """Which states carry derivatives, by which nets they are reached, and where all that lies.

    keeps       {(state, state one step earlier): coefficient, a number or its place in the row `k`}
    reach       {(state, net): place of u in the row `k`}
    row         {(state, net): text of the net's entry that reaches lane i of the state}
    columns     {net: [(source or "1", first column, length)]} of a net's gathered sources; diagonal nets keep them per lane
    gradient    {net: place of its (rows, columns) block in `g`}
    """

    def __init__(self, printer, enter):
        self.printer, self.storage, self.cell = printer, printer.storage, printer.cell
        states = {old.name: new.name for old, new in self.cell.state.items()}
        paths = one_step_paths(self.cell, {e for e in self.cell.edges if (e.net, e.source) in printer.cut})
        self.states = [states[old] for old in states if any(source == old for _, source in paths)]
        self.old_of = {new: old for old, new in states.items() if new in self.states}
        self.states += [v for v in enter if v not in self.states and set(states) & self._before(v)]
        self.keeps, self.reach, self.row, self.lines, self.size = {}, {}, {}, [], 0
        for state in self.states:
            self._follow(state)
        self.diagonal = {n.out.name for n in self.storage.weighted if n.kind == "diagonal"}
        self.columns, self.gathered = {}, {}
        for net in self.storage.weighted:
            self.columns[net.out.name] = self._columns(net)
        self.gradient, self.gradient_size = {}, 0
        for net in self.storage.weighted:
            self.gradient[net.out.name] = self.gradient_size
            self.gradient_size += self.storage.length(net.out.name) * self.width(net.out.name)
        reached = self._before(*enter)
        self.passed = reached - set(self.states)
        self.direct = [net for net in self.columns if net in reached]
        self._blocks()

    def width(self, net):
        """Columns of a net's gradient: one for each source entry and one for its bias; a diagonal net has one per source."""
        _, start, length = self.columns[net][-1]
        return start + length

    def _columns(self, net):
        """[(source, first column, length)], the one-hot input last."""
        found, start = [], 0
        names = [s.name for s in net.sources] + (["1"] if "1" in self.printer.storage.kernel.weights[net.out.name] else [])
        one_hot = [n for n in names if self.printer.one_hot and n in self.storage.input_place]
        for name in [n for n in names if n not in one_hot] + one_hot:
            length = 1 if name == "1" or net.kind == "diagonal" else self.storage.length(name)
            found.append((name, start, length))
            start += length
        if net.kind != "diagonal":
            key = tuple(n for n, _, _ in found if n not in one_hot)
            self.gathered.setdefault(key, sum(sum(length for _, length in parts) for parts in self.gathered_parts()))
        return found

    def gathered_parts(self):
        """[[(source, length)]] of every gathered row of sources."""
        return [[(n, 1 if n == "1" else self.storage.length(n)) for n in key] for key in self.gathered]

    def source_place(self, net):
        """(place in the row `s`, number of columns) of a dense net's gathered sources."""
        key = tuple(n for n, _, _ in self.columns[net] if not (self.printer.one_hot and n in self.storage.input_place))
        return self.gathered[key], sum(1 if n == "1" else self.storage.length(n) for n in key)

    def _follow(self, state):
        """Derivatives of one carried state by nets and carried states, lane by lane, in reverse order of the equations."""
        adjoint, index, body = {state: [sympy.Integer(1)]}, {state: "i"}, []

        def pass_on(name, value, where):
            if index.setdefault(name, where) != where:
                self._refuse(f"{state} depends on {name} in two places")
            adjoint.setdefault(name, []).append(value)

        for equation in reversed(self.cell.equations):
            name = equation.out.name
            if name not in adjoint:
                continue
            value = self._named(name, adjoint.pop(name), body, index[name])
            if not isinstance(equation, Net):
                for arg, slope in self.printer.partials(equation).items():
                    pass_on(arg.name, value * slope.subs({s: _Entry(s, index[name]) for s in slope.free_symbols}), index[name])
            elif equation.kind == "shared":
                pass_on(equation.sources[0].name, value, self.storage.short_index(name, index[name]))
            elif equation.kind == "pooled":
                self._refuse(f"{state} depends on {equation.sources[0]} summed over lanes")
            else:
                if equation.kind != "vector" and any(self._live(name, s.name) for s in equation.sources):
                    self._refuse(f"{state} depends on {name}, whose sources are not all cut")
                self.row[state, name] = index[name]
                self.reach[state, name] = self._kept(state, value, body)
        for old, terms in adjoint.items():
            if old in self.old_of.values():
                other = next(new for new, o in self.old_of.items() if o == old)
                if index[old] != "i":
                    self._refuse(f"{state} keeps {old} of another place")
                value = sympy.expand(sum(terms))
                self.keeps[state, other] = float(value) if value.is_number else self._kept(state, value, body)
        self.lines += _loop("i", self.storage.length(state), body)

    def _live(self, net, source):
        """Whether errors pass a weighted net to a source: neither cut nor an input. Refuses what leads to the step before."""
        where = self.storage.array(source)[0]
        if (net, source) in self.printer.cut or where == "x":
            return False
        if where == "before":
            self._refuse(f"{net}<-{source} is not cut")
        return True

    def _refuse(self, why):
        raise EquationError(f"{self.cell.name}: {why}, so its truncated rule cannot be compiled to loops; use the NumPy function")

    def _named(self, name, terms, body, index):
        """The adjoint of a vector as a symbol, after a line that computes it; numbers stay numbers."""
        total = sympy.sympify(sum(terms))
        if total.is_number:
            return total
        symbol = sympy.Symbol(f"d_{name}")
        body += self._lines(f"{symbol} = {{}}", total)
        return symbol

    def _kept(self, state, value, body):
        place, self.size = self.size, self.size + self.storage.length(state)
        body += self._lines(f"{_at('k', place, 'i')} = {{}}", sympy.sympify(value))
        return place

    def _lines(self, line, value):
        texts = {s.name: self.printer.entry(s.vector, s.index) for s in value.free_symbols if isinstance(s, _Entry)}
        return self.printer.formulas({line: value}, texts)

    def _before(self, *names):
        """Vectors that errors at `names` reach within a step, stopping at carried states and weighted nets."""
        reached = set(names)
        for equation in reversed(self.cell.equations):
            name = equation.out.name
            if name in reached and name not in self.states:
                weighted = equation in self.storage.weighted
                reached |= {s.name for s in equation.reads if not weighted or self._live(name, s.name)}
        return reached

    def _blocks(self):
        """Blocks of p; states that one net reaches in the same places stand together, because they may feed each other."""
        self.blocks, self.carried_size = [], 0
        for net in self.columns:
            rows = {c: self.row[c, net] for c in self.states if (c, net) in self.reach}
            for c, other in self.keeps:  # reached through another carried state only
                rows.setdefault(c, rows[other]) if other in rows else None
            places = {c: (self.storage.length(c), row) for c, row in rows.items()}
            for c, other in self.keeps:
                if places.get(c) != places.get(other, places.get(c)):
                    self._refuse(f"{net} reaches {c} and {other} in different places, and one feeds the other")
            for lanes, row in dict.fromkeys(places.values()):
                states = tuple(c for c in self.states if places.get(c) == (lanes, row))
                size, columns = lanes * self.width(net), self.width(net)
                starts = tuple(self.carried_size + k * size for k in range(len(states)))
                self.blocks.append(Block(net, states, lanes, columns, starts, row))
                self.carried_size += size * len(states)

    def pack(self, params):
        """The gradient array that holds these numbers."""
        g = np.zeros(self.gradient_size)
        for net, columns in self.columns.items():
            rows = self.storage.length(net)
            block = g[self.gradient[net]:self.gradient[net] + rows * self.width(net)].reshape(rows, -1)
            for source, start, length in columns:
                block[:, start:start + length] = np.reshape(params[self.storage.kernel.weights[net][source]], (rows, length))
        return g

    def unpack(self, g):
        """{parameter: [to, from]} from the gradient array."""
        found, names = {}, self.storage.kernel.weights
        for net, columns in self.columns.items():
            rows = self.storage.length(net)
            block = g[self.gradient[net]:self.gradient[net] + rows * self.width(net)].reshape(rows, -1)
            for source, start, length in columns:
                part = block[:, start:start + length].copy()
                found[names[net][source]] = part[:, 0] if source == "1" or net in self.diagonal else part
        return {name: found[name] for name in self.storage.kernel.parameters}


def print_online(carried):
    """Source text of coefficients, gather, and the two halves of carry for one step at a time: advance(...) and collect(...).

    Places are literal: for nets so small that slices would cost more than the arithmetic.
    """
    advance, collect = ["def advance(x, s, k, p, zero):"], ["def collect(now, before, x, s, a, p, g, zero):"]
    for block in carried.blocks:
        if block.net in carried.diagonal:
            carried._refuse(f"{block.net} is diagonal")
        source, gathered = carried.source_place(block.net)
        one_hot, numbers = gathered < block.columns, range(len(block.states))
        parts = [_terms(carried, block, n) for n in numbers]
        read = [line.replace("k[t, ", "k[") for lines, _, _ in parts for line in lines]
        constant = all(kept == [(1.0, n)] for n, (_, kept, _) in zip(numbers, parts, strict=True))

        def update(columns, with_source, p, parts=parts, numbers=numbers, source=source):
            body = [f"q{n} = {p[n]}" for n in numbers]
            for n, (_, kept, has_u) in zip(numbers, parts, strict=True):
                terms = [f"q{j}" if d == 1.0 else f"{d} * q{j}" for d, j in kept]
                terms += [f"u{n} * {_at('s', source, 'j')}"] if has_u and with_source else []
                body.append(f"{p[n]} = {' + '.join(terms) or '0.0'}")
            return [f"for j in range({columns}):", *(f"    {line}" for line in body)]

        p = [f"p[{place} + i * {block.columns} + j]" for place in block.places]
        inner = [*read, *(update(_count(gathered), True, p) if gathered else [])]
        if one_hot:
            inner += [] if constant else update(f"{gathered}, {block.columns}", False, p)
            inner += [f"p[{place} + i * {block.columns} + {gathered} + x] += u{n}"
                      for n, place in enumerate(block.places) if parts[n][2]]
        advance += _loop("i", block.lanes, inner)
        errors = " + ".join(f"a[{carried.storage.place[c]} + i] * {p[n]}" for n, c in enumerate(block.states))
        grad = f"g[{carried.gradient[block.net]} + ({block.row}) * {block.columns} + j]"
        collect += _loop("i", block.lanes, [f"for j in range({_count(block.columns)}):", f"    {grad} += {errors}"])
    for net in carried.direct:
        source, gathered = carried.source_place(net)
        width, gradient = carried.width(net), carried.gradient[net]
        body = [f"e = a[{carried.storage.place[net]} + i]"]
        if gathered:
            body += [f"for j in range({_count(gathered)}):", f"    g[{gradient} + i * {width} + j] += e * {_at('s', source, 'j')}"]
        body += [f"g[{gradient} + i * {width} + {gathered} + x] += e"] if gathered < width else []
        collect += _loop("i", carried.storage.length(net), body)
    return "\n\n\n".join("\n".join([*lines, "    pass"]) for lines in (_coefficients(carried), _gather(carried), advance, collect))


def print_carried(carried):
    """Source text of coefficients(now, before, x, k, zero), gather(now, before, x, s, zero) and carry(...)."""
    return "\n\n\n".join("\n".join([*lines, "    pass"]) for lines in (_coefficients(carried), _gather(carried), _carry(carried)))


def _coefficients(carried):
    return ["def coefficients(now, before, x, k, zero):", *carried.lines]


def _gather(carried):
    lines, place = ["def gather(now, before, x, s, zero):"], 0
    for parts in carried.gathered_parts():
        for source, length in parts:
            value = "1.0" if source == "1" else carried.printer.entry(source, "i")
            lines += _loop("i", length, [f"{_at('s', place, 'i')} = {value}"])
            place += length
    return lines


def _carry(carried):
    """carry(steps, rows, x, s, k, a, p, g, errors, zero): bring p forward over some steps; where errors enter, add e p to dE/dw."""
    lines = ["def carry(steps, rows, x, s, k, a, p, g, errors, zero):"]
    for block in carried.blocks:
        lines += _diagonal_block(carried, block) if block.net in carried.diagonal else _dense_block(carried, block)
    lines += ["    if not errors:", "        return"]
    for net in carried.direct:
        lines += _direct_block(carried, net)
    return lines


def _terms(carried, block, number):
    """(lines that read the coefficients of state `number` in lane i, text of sum of d p over the states, text of u or None, e)."""
    state, read, kept = block.states[number], [], []
    for j, other in enumerate(block.states):
        d = carried.keeps.get((state, other))
        if d is None:
            continue
        if isinstance(d, float):
            kept.append((d, j))
        else:
            read.append(f"d{number}{j} = {_at('k', d, 'i').replace('k[', 'k[t, ')}")
            kept.append((f"d{number}{j}", j))
    u = carried.reach.get((state, block.net))
    if u is not None:
        read.append(f"u{number} = {_at('k', u, 'i').replace('k[', 'k[t, ')}")
    return read, kept, u is not None


def _dense_block(carried, block):
    one_hot = carried.printer.one_hot and any(n in carried.storage.input_place for n, _, _ in carried.columns[block.net])
    source, gathered = carried.source_place(block.net)
    width, numbers = block.columns, range(len(block.states))
    parts = [_terms(carried, block, n) for n in numbers]
    constant = all(kept == [(1.0, n)] for n, (_, kept, _) in zip(numbers, parts, strict=True))

    def update(columns, with_source, with_errors):
        """Lines of the loop over columns."""
        body = [f"q{n} = p{n}[j]" for n in numbers]
        for n, (_, kept, has_u) in zip(numbers, parts, strict=True):
            terms = [f"q{j}" if d == 1.0 else f"{d} * q{j}" for d, j in kept]
            terms += [f"u{n} * {_at('s_t', source, 'j')}"] if has_u and with_source else []
            body.append(f"r{n} = {' + '.join(terms) or '0.0'}")
        body += [f"p{n}[j] = r{n}" for n in numbers]
        body += ["g_i[j] += " + " + ".join(f"e{n} * r{n}" for n in numbers)] if with_errors else []
        return [f"for j in range({columns}):", *(f"    {line}" for line in body)]

    inner = []
    for with_errors in (True, False):
        here = update(_count(gathered), True, with_errors) if gathered else []
        if one_hot:
            here += [] if constant else update(f"{gathered}, {width}", False, False)
            here += [f"p{n}[{gathered} + x[t]] += u{n}" for n in numbers if parts[n][2]]
            if with_errors:
                here += [f"for j in range({gathered}, {width}):", "    g_i[j] += " + " + ".join(f"e{n} * p{n}[j]" for n in numbers)]
        inner.append(here)
    lines = [f"for i in range({_count(block.lanes)}):"]
    lines += [f"    p{n} = p[{place} + i * {width}:{place} + (i + 1) * {width}]" for n, place in enumerate(block.places)]
    gradient, row = carried.gradient[block.net], block.row
    lines += [f"    g_i = g[{gradient} + ({row}) * {width}:{gradient} + ({row} + 1) * {width}]", "    for t in range(steps):"]
    lines += [f"        {line}" for read, _, _ in parts for line in read]
    lines += [f"        e{n} = a[t, {carried.storage.place[c]} + i]" for n, c in enumerate(block.states)]
    lines += ["        s_t = s[t]", "        if errors:", *(f"            {line}" for line in inner[0]), "        else:",
              *(f"            {line}" for line in inner[1])]
    return [f"    {line}" for line in lines]


def _diagonal_block(carried, block):
    """A diagonal net has one weight per lane and source."""
    if block.row != "i":
        carried._refuse(f"{block.net} is diagonal and repeated")
    lines, numbers = [], range(len(block.states))
    parts = [_terms(carried, block, n) for n in numbers]
    for source, column, _ in carried.columns[block.net]:
        place = f" * {block.columns} + {column}"
        p = [f"p[{start} + i{place}]" for start in block.places]
        body = [line for read, _, _ in parts for line in read]
        body += [f"q{n} = {p[n]}" for n in numbers]
        value = "1.0" if source == "1" else _timed(carried, source)
        for n, (_, kept, has_u) in zip(numbers, parts, strict=True):
            terms = [f"{d} * q{j}" for d, j in kept] + ([f"u{n} * {value}"] if has_u else [])
            body.append(f"{p[n]} = {' + '.join(terms) or '0.0'}")
        body += ["if errors:", f"    g[{carried.gradient[block.net]} + i{place}] += " + " + ".join(
            f"a[t, {carried.storage.place[c]} + i] * {p[n]}" for n, c in enumerate(block.states))]
        lines += [f"    for i in range({_count(block.lanes)}):", "        for t in range(steps):"]
        lines += [f"            {line}" for line in body]
    return lines


def _timed(carried, source):
    """Text of entry i of a source at step t of the rows at hand; row 0 is the step before the first."""
    array, place = carried.storage.array(source)
    if array == "x":
        return f"x[t, {place} + i]"
    return f"rows[t{' + 1' if array == 'now' else ''}, {place} + i]"


def _direct_block(carried, net):
    rows, width, gradient = carried.storage.length(net), carried.width(net), carried.gradient[net]
    lines = [f"for i in range({_count(rows)}):", f"    g_i = g[{gradient} + i * {width}:{gradient} + (i + 1) * {width}]",
             "    for t in range(steps):", f"        e = a[t, {carried.storage.place[net]} + i]", "        s_t = s[t]"]
    if net in carried.diagonal:
        for source, column, _ in carried.columns[net]:
            value = "1.0" if source == "1" else _timed(carried, source)
            lines.append(f"        g_i[{column}] += e * {value}")
    else:
        source, gathered = carried.source_place(net)
        if gathered:
            lines += [f"        for j in range({_count(gathered)}):", f"            g_i[j] += e * {_at('s_t', source, 'j')}"]
        if gathered < width:
            lines += [f"        g_i[{gathered} + x[t]] += e"]
    return [f"    {line}" for line in lines]
