"""Where everything lies: the vectors of one step in one row, all weights in one array, so that printed code has literal places only.

A row holds the weighted nets first, in order, then all other vectors. The same row one step earlier holds the previous states.
Nets that stand side by side and read the same source form one `Run`: one matrix, one product.
"""

import math
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from ..equations import EquationError

__all__ = ["Run", "Storage"]

KINDS = ("dense", "diagonal", "vector", "shared", "pooled")


@dataclass(frozen=True)
class Run:
    """Weights from one source into adjacent nets: `rows` entries of the row from place `to` on, `columns` entries of the source."""

    source: str
    nets: tuple
    place: int
    to: int
    rows: int
    columns: int
    diagonal: bool

    @property
    def size(self):
        return self.rows if self.diagonal else self.rows * self.columns


class Storage:
    """Places of the vectors and weights of a cell with given lengths. No run joins nets of the names `apart` with others.

    Two copies of a weight array exist: `forward` stores a run as [from, to], `backward` as [to, from], so that the inner loop of
    either product runs along memory. Raises EquationError for a kind of net that cannot be printed.
    """

    def __init__(self, kernel, lengths, apart=frozenset()):
        self.apart, self.kernel, self.cell, self.lengths = apart, kernel, kernel.cell, dict(lengths)
        strange = [n for n in self.cell.nets if n.kind not in KINDS]
        if strange:
            raise EquationError(f"{self.cell.name}, {strange[0].out}: a net of kind {strange[0].kind!r} cannot be compiled to loops "
                                f"(kinds that can: {', '.join(KINDS)}); use the NumPy functions")
        self.weighted = [n for n in self.cell.nets if n.out.name in kernel.weights]
        others = [e for e in self.cell.equations if e.out.name not in kernel.weights]
        self.place, self.size = {}, 0
        for equation in (*self.weighted, *others):
            self.place[equation.out.name] = self.size
            self.size += self.length(equation.out.name)
        self.net_rows = sum(self.length(n.out.name) for n in self.weighted)
        self.maps = kernel.fixed_maps(lengths)
        self.input_place = {s.name: k * self.lengths["inputs"] for k, s in enumerate(self.cell.inputs)}
        self.runs = self._runs()
        self.bias = sum(run.size for run in self.runs)
        self.weights = self.bias + self.net_rows

    def length(self, name):
        """Number of entries of a vector."""
        return self.lengths[self.cell.sizes[name]]

    def long(self, net):
        """Length of the longer vector of a fixed net."""
        return math.prod(self.maps[net.out.name].axes)

    def short_index(self, net, index):
        """Text of the entry of the shorter vector of a fixed map that belongs to entry `index` of the longer one."""
        fixed, terms = self.maps[net], []
        for a, (long, short) in enumerate(zip(fixed.axes, fixed.short, strict=True)):
            if short > 1:
                stride, out = math.prod(fixed.axes[a + 1:]), math.prod(fixed.short[a + 1:])
                text = index if stride == 1 else f"{index} // {stride}"
                text = f"({text}) % {long}" if a else text
                terms.append(f"({text}) * {out}" if out > 1 else text)
        return " + ".join(terms) if len(terms) == 1 else f"({' + '.join(terms) or '0'})"

    def array(self, name):
        """(array, place) of a vector while a step is computed: in the row `now`, in the row `before`, or in the input `x`."""
        if name in self.input_place:
            return "x", self.input_place[name]
        if name in self.kernel.states:
            return "before", self.place[self.kernel.states[name]]
        return "now", self.place[name]

    def _runs(self):
        """Runs in order; those that read inputs or previous states come first and may span several nets."""
        early = {s.name for s in self.cell.inputs} | set(self.kernel.states)
        groups = []
        for source in (s.name for s in self.cell.symbols if s.name in early):
            numbered = [((k - j, n.out.name in self.apart), n) for j, (k, n) in enumerate(
                (k, n) for k, n in enumerate(self.weighted) if n.kind == "dense" and source in _names(n.sources))]
            groups += [(source, [n for _, n in nets]) for _, nets in groupby(numbered, key=lambda pair: pair[0])]
        groups += [(s.name, [n]) for n in self.weighted for s in n.sources if s.name not in early or n.kind == "diagonal"]
        runs, place = [], 0
        for source, nets in groups:
            rows = sum(self.length(n.out.name) for n in nets)
            names = tuple(n.out.name for n in nets)
            runs.append(Run(source, names, place, self.place[names[0]], rows, self.length(source), nets[0].kind == "diagonal"))
            place += runs[-1].size
        return runs

    def pack(self, params):
        """(forward, backward): the weights {parameter: [to, from]} as one array each."""
        forward, backward = np.zeros(self.weights), np.zeros(self.weights)
        for run in self.runs:
            block = np.concatenate([np.asarray(params[self.kernel.weights[n][run.source]], float) for n in run.nets])
            span = slice(run.place, run.place + run.size)
            forward[span], backward[span] = block.T.ravel(), block.ravel()
        for net in self.weighted:
            name = self.kernel.weights[net.out.name].get("1")
            if name:
                start = self.bias + self.place[net.out.name]
                forward[start:start + len(params[name])] = backward[start:start + len(params[name])] = params[name]
        return forward, backward

    def unpack(self, backward):
        """{parameter: [to, from]} from an array laid out as `backward`."""
        found = {}
        for run in self.runs:
            block = backward[run.place:run.place + run.size].reshape((run.rows,) if run.diagonal else (run.rows, run.columns))
            for net in run.nets:
                start = self.place[net] - run.to
                found[self.kernel.weights[net][run.source]] = block[start:start + self.length(net)].copy()
        for net in self.weighted:
            name, start = self.kernel.weights[net.out.name].get("1"), self.bias + self.place[net.out.name]
            if name:
                found[name] = backward[start:start + self.length(net.out.name)].copy()
        return {name: found[name] for name in self.kernel.parameters}

    def unpack_forward(self, forward):
        """{parameter: [to, from]} from an array laid out as `forward`."""
        backward = forward.copy()
        for run in self.runs:
            if not run.diagonal:
                span = slice(run.place, run.place + run.size)
                backward[span] = forward[span].reshape(run.columns, run.rows).T.ravel()
        return self.unpack(backward)


def _names(symbols):
    return [s.name for s in symbols]
