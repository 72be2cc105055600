"""The truncated rule of 1997 forward in time: derivatives of the states by each weight, carried from step to step (A.1).

With the recurrent connections cut, a state depends on its own past through pointwise formulas only, so that for every cell lane i

    p(t) = d(t) p(t-1) + u(t) source(t),   p = d c_i / d w,   d = d c_i(t)/d c_i(t-1),   u = d c_i(t)/d net(t)      (25), (27)
    dE/dw = sum_t e(t) p(t) + errors that reach a net without passing a carried state, times its source              (22), (26), (28)

One number p per weight and cell that it reaches, nothing stored over time: O(1) per weight and step. For a carousel d = 1.
What is carried and where it lies stands here; `truncated` prints the loops.
"""

from dataclasses import dataclass

import numpy as np
import sympy

from ..equations import EquationError, Net
from ..symbolic import one_step_paths
from .lines import item, loop_over

__all__ = ["Block", "Carried"]


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

    @property
    def reads_rows(self):
        """Whether `carry` reads vectors of all the few steps: the sources of diagonal nets."""
        return bool(self.diagonal & {*(b.net for b in self.blocks), *self.direct})

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
        self.lines += loop_over("i", self.storage.length(state), body)

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
        body += self._lines(f"{item('k', place, 'i')} = {{}}", sympy.sympify(value))
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
