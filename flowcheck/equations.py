"""A cell as its forward equations: `Net`, `Unit`, `Cell`; they check themselves when built.

A cell is an ordered list of equations of two kinds, plus the map from each new state to the symbol
that holds it one step later. Everything else (forward pass, Jacobians, gradients, flow) is derived
from this list elsewhere. Imports `notation` only; holds no weights and no numbers.

The two kinds carry affine maps and pointwise formulas. A matrix-valued state is a vector whose length is a
product, "units*keys", row by row; fixed maps repeat vectors along the axes that they lack and sum over them,
so that an outer product and a product with the matrix are pointwise formulas between two such maps. A complex
state is a pair of real ones. What mixes units in any other way (softmax over units, layer normalisation)
does not fit and is refused by construction.
"""

import sys
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

import sympy

from .notation import ROUTINES, draw, index_symbols

__all__ = ["Cell", "CellClaim", "Edge", "EquationError", "Layout", "Net", "Unit", "axes_of"]

_ELEMENTARY = {"exp", "log", "Abs", "Max", "Min", "sign", "sqrt", "cos", "sin"}


class EquationError(ValueError):
    """An equation of a cell breaks a rule: names the cell, the line of its file, the symbol, the reason."""


_OWN_LENGTHS = ("inputs", "units", "blocks")


def _line_of_caller():
    return sys._getframe(2).f_lineno


def axes_of(size):
    """The axes of a length: ("units", "keys") of "units*keys", none of "1"."""
    return tuple(size.split("*")) if size != "1" else ()


@dataclass(frozen=True)
class Net:
    """An affine map of earlier vectors; it owns the weights, indexed [to, from].

        dense      out_i = sum over sources, sum_j w_ij source_j  + b_i
        diagonal   out_i = sum over sources, w_i source_i         + b_i      (peepholes, IndRNN)
        vector     out_i = b_i                                               (learned and constant in time: eigenvalues, time constants)
        shared     out_ij = source_i, or source_j                            (one gate for a block of cells; one factor of an outer product)
        pooled     out_i = sum_j source_ij                                   (the transpose of shared; a product with a matrix-valued state)

    `size` names the length of `out`: "units"; "blocks", one value per block of cells; "1"; a name that the cell gives a length;
    or a product of names, "units*keys", for a matrix of values row by row. Shared and pooled nets own no weights.

    `bias` is the initial value of b (None: no bias), a number or a formula of `draw`, `row`, `column`, `units`
    (see notation); `initial` gives such formulas for the weights, {source: formula}, U(-1/sqrt units, 1/sqrt units) otherwise.
    """

    out: sympy.Symbol
    sources: tuple
    kind: str = "dense"
    bias: float | sympy.Expr | None = 0.0
    size: str = "units"
    initial: tuple = ()
    line: int = field(default_factory=_line_of_caller, compare=False)

    def __init__(self, out, *sources, kind="dense", bias=0.0, size="units", initial=(), line=None):
        for name, value in {
            "out": out, "sources": sources, "kind": kind, "size": size, "initial": tuple(dict(initial).items()),
            "bias": None if kind in _FIXED else bias, "line": line or sys._getframe(1).f_lineno,
        }.items():
            object.__setattr__(self, name, value)

    @property
    def reads(self):
        return self.sources

    @property
    def fixed(self):
        """Whether the map is fixed: no weights, no bias, nothing to learn or to cut."""
        return self.kind in _FIXED


_FIXED = ("shared", "pooled")


@dataclass(frozen=True)
class Unit:
    """A pointwise formula: out_i = formula(argument_i, ...), the same for every unit i."""

    out: sympy.Symbol
    formula: sympy.Expr
    line: int = field(default_factory=_line_of_caller, compare=False)

    @cached_property
    def reads(self):
        return tuple(sorted(sympy.sympify(self.formula).free_symbols, key=lambda s: s.name))


@dataclass(frozen=True, order=True)
class Edge:
    """One connection into a net: `net_in<-y_prev`. Cutting it drops it from every derivative."""

    net: str
    source: str

    def __str__(self):
        return f"{self.net}<-{self.source}"


@dataclass(frozen=True)
class CellClaim:
    """What a cell promises and the suite measures at every lag q.

    With the recurrent connections cut:
        carousel          d state(t)/d state(t-q) = identity
        product:GATE      d state(t)/d state(t-q) = diag(GATE(t) GATE(t-1) ... GATE(t-q+1))
        product:RE,IM     the same for a complex state, given as "re,im", and a complex gate
    Of the full gradient:
        linear            a change of any size in state(t-q) changes state(t) by the flow times it
        independent       d state(t)/d state(t-q) is diagonal: no unit feeds another
        nonexpansive      the spectral norm of d state(t)/d state(t-q) never grows with q
        delay:Q           the flow of all states together is exactly zero from lag Q on, and not before
    Of the values:
        coupled:A,B       A(t) + B(t) = 1
    """

    kind: str
    state: str
    text: str

    @property
    def word(self):
        return self.kind.partition(":")[0]

    @property
    def arguments(self):
        """What stands behind the colon."""
        return tuple(filter(None, self.kind.partition(":")[2].split(",")))

    @property
    def states(self):
        """The state, or the pair of a complex one."""
        return tuple(self.state.split(","))


CLAIMS = {"carousel": (0,), "product": (1, 2), "linear": (0,), "independent": (0,), "nonexpansive": (0,), "delay": (1,), "coupled": (2,)}
"""Kinds of claims with the numbers of arguments that they take."""


@dataclass(frozen=True)
class Layout:
    """How a framework stores this cell: which rows of its stacked weights belong to which net.

    `framework` and `kind` are the framework's words ("torch", "LSTM"); `gates` are the nets that read x, in
    row order; `recurrent` the nets that read y(t-1), where they differ (GRU with reset after the product);
    `nonlinearity` tells apart layouts that share their shapes.
    """

    framework: str
    kind: str
    gates: tuple
    recurrent: tuple = ()
    letters: tuple = ()
    nonlinearity: str = ""


@dataclass(frozen=True)
class Cell:
    """A recurrent cell: ordered equations, the states they carry over, claims, known layouts.

    inputs      symbols given at every step (one vector x as a rule)
    state       {symbol at t-1: symbol at t}
    output      the symbol that other layers see
    equations   in order of computation; each reads what stands before it
    lengths     {name: usual length} of lengths other than "inputs", "units" and "blocks"

    Raises EquationError for an unknown symbol, a state that is never updated, an equation that is never
    used, two equations of one name, sizes that do not meet, a function without a routine.
    """

    name: str
    source: str
    year: int
    inputs: tuple
    state: dict
    output: sympy.Symbol
    equations: tuple
    claims: tuple = ()
    layouts: tuple = ()
    lengths: dict = field(default_factory=dict)

    def __post_init__(self):
        for name in ("inputs", "equations", "claims", "layouts"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "state", MappingProxyType(dict(self.state)))
        object.__setattr__(self, "lengths", MappingProxyType(dict(self.lengths)))
        self._check_order()
        self._check_use()
        object.__setattr__(self, "sizes", MappingProxyType(self._sizes()))
        _ = self.parameters  # refuses weights of one name

    def __hash__(self):
        return hash((self.name, self.equations, tuple(self.state.items())))

    @cached_property
    def nets(self):
        return tuple(e for e in self.equations if isinstance(e, Net))

    @cached_property
    def units(self):
        return tuple(e for e in self.equations if isinstance(e, Unit))

    @cached_property
    def symbols(self):
        return (*self.inputs, *self.state, *(e.out for e in self.equations))

    @cached_property
    def edges(self):
        """Every weighted connection, in order."""
        return tuple(Edge(n.out.name, s.name) for n in self.nets if not n.fixed for s in n.sources)

    @cached_property
    def parameters(self):
        """{name: Edge} of every weight and bias; a bias is the Edge from "1".

        Net net_in with source y_prev owns W_in_y (dense) or w_in_y (diagonal) and the bias b_in; net "net" owns W_y, b.
        A vector net owns what it is, under its own name.
        """
        names = {}
        for net in self.nets:
            if net.fixed:
                continue
            if net.kind == "vector":
                names[net.out.name] = Edge(net.out.name, "1")
                continue
            role = net.out.name.removeprefix("net").lstrip("_")
            letter = "W" if net.kind == "dense" else "w"
            for source in net.sources:
                name = "_".join(filter(None, (letter, role, source.name.removesuffix("_prev"))))
                if name in names:
                    name = "_".join(filter(None, (letter, role, source.name)))
                if name in names:
                    self._refuse(net.line, net.out, f"would name its weights {name}, as {names[name]} does; rename one of the vectors")
                names[name] = Edge(net.out.name, source.name)
            if net.bias is not None:
                names["_".join(filter(None, ("b", role)))] = Edge(net.out.name, "1")
        return MappingProxyType(names)

    @cached_property
    def recurrent_edges(self):
        """The connections that the rule of 1997 cuts: weighted, and from what their own net reaches, within the step or through the states.

        Errors that reach a net input change the weights into it and go no further back (section 4, A.1). Connections into the output
        itself (a projection) are kept: an error that enters there would reach nothing.
        """
        follow = {symbol: [e.out for e in self.equations if symbol in e.reads] for symbol in self.symbols}
        for old, new in self.state.items():
            follow[new].append(old)
        found = set()
        for net in self.nets:
            reached, ahead = set(), [net.out]
            while ahead:
                symbol = ahead.pop()
                if symbol not in reached:
                    reached.add(symbol)
                    ahead += follow[symbol]
            if net.out != self.output and not net.fixed:
                found |= {Edge(net.out.name, s.name) for s in net.sources if s in reached}
        return frozenset(found)

    def cut(self, edges):
        """A set of edges from their text ("net_in<-y_prev"), from Edge objects, or True for all recurrent ones.

        Raises EquationError for a connection that the cell does not have.
        """
        if edges is True:
            return self.recurrent_edges
        if not edges:
            return frozenset()
        known = {str(e): e for e in self.edges}
        unknown = [str(e) for e in edges if str(e) not in known]
        if unknown:
            raise EquationError(f"{self.name}: no connection {unknown[0]}; connections: {', '.join(known)}")
        return frozenset(known[str(e)] for e in edges)

    def _refuse(self, line, symbol, reason):
        where = f"{self.name}, line {line}" if line else self.name
        raise EquationError(f"{where}: {symbol} {reason}")

    def _check_order(self):
        lines, known = {}, [*self.inputs, *self.state]
        for claim in self.claims:
            self._check_claim(claim)
        for symbol in known:
            if known.count(symbol) > 1:
                self._refuse(None, symbol, "is declared twice, as input or state")
        for e in self.equations:
            if e.out in lines:
                self._refuse(e.line, e.out, f"has two equations, the first in line {lines[e.out]}; rename one")
            if e.out in known:
                self._refuse(e.line, e.out, "is an input or a previous state and cannot be computed; rename it")
            for symbol in e.reads:
                if symbol not in known:
                    later = any(symbol == other.out for other in self.equations)
                    reason = "before it is computed; move its equation up" if later else "which nothing defines"
                    names = ", ".join(s.name for s in known)
                    self._refuse(e.line, e.out, f"reads {symbol}, {reason} (known here: {names})")
            if isinstance(e, Unit):
                self._check_functions(e)
            else:
                self._check_net(e)
            lines[e.out] = e.line
            known.append(e.out)

    def _check_net(self, net):
        wanted = {"dense": net.sources, "diagonal": net.sources, "vector": not net.sources and net.bias is not None,
                  "shared": len(net.sources) == 1, "pooled": len(net.sources) == 1}
        if not wanted.get(net.kind):
            self._refuse(net.line, net.out, f"is a net of kind {net.kind!r} with {len(net.sources)} sources; kinds are dense and diagonal "
                         "with sources, shared and pooled with one, vector with none and an initial value")
        names = (*_OWN_LENGTHS, *self.lengths)
        unknown = [axis for axis in axes_of(net.size) if axis not in names]
        if unknown:
            self._refuse(net.line, net.out, f"has size {net.size!r}; sizes are '1', {', '.join(map(repr, names))} and their products")
        twice = [s for s in net.sources if net.sources.count(s) > 1]
        if twice:
            self._refuse(net.line, net.out, f"reads {twice[0]} twice; add the two weights")
        for formula in (net.bias, *(f for _, f in net.initial)):
            strange = sympy.sympify(formula or 0).free_symbols - {draw, *index_symbols}
            if strange:
                self._refuse(net.line, net.out, f"starts from {formula}; formulas may have draw, row, column, units, not {strange.pop()}")
        if unread := [s for s, _ in net.initial if s not in net.sources]:
            self._refuse(net.line, net.out, f"has initial weights for {unread[0]}, which it does not read")

    def _check_claim(self, claim):
        states, computed = {s.name for s in self.state.values()}, {e.out.name for e in self.equations}
        for state in claim.states:
            if state not in states:
                self._refuse(None, state, f"is claimed to be a {claim.kind}, but is no state; states are {', '.join(sorted(states))}")
        known = len(claim.arguments) in CLAIMS.get(claim.word, ())
        if claim.word == "delay":
            known = known and claim.arguments[0].isdigit()
        else:
            known = known and computed.issuperset(claim.arguments)
        if not known or claim.word == "product" and len(claim.states) != len(claim.arguments):
            self._refuse(None, claim.state, f"is claimed to be {claim.kind!r}; claims are {', '.join(CLAIMS)}, those of gates with vectors "
                         "of the cell, delay with a number")

    def _check_functions(self, unit):
        for node in sympy.preorder_traversal(sympy.sympify(unit.formula)):
            name = type(node).__name__
            if isinstance(node, sympy.Function) and name not in ROUTINES and name not in _ELEMENTARY:
                self._refuse(unit.line, unit.out, f"uses the function {name}, which has no routine; add it to notation.py")

    def _check_use(self):
        computed = {e.out: e for e in self.equations}
        for old, new in self.state.items():
            if new not in computed:
                self._refuse(None, old, f"is never updated: its new value {new} has no equation")
        if self.output not in computed:
            self._refuse(None, self.output, "is the output, but has no equation")
        read = {s for e in self.equations for s in e.reads} | set(self.state.values()) | {self.output}
        for e in self.equations:
            if e.out not in read:
                self._refuse(e.line, e.out, "is never used: no equation reads it and no state keeps it")
        for symbol in (*self.inputs, *self.state):
            if symbol not in read:
                self._refuse(None, symbol, "is never read by any equation")

    def _sizes(self):
        """Length of every vector, as a name, e.g. "inputs", "units", "blocks", "units*keys"."""
        net_size = {n.out: n.size for n in self.nets}
        sizes = {x: "inputs" for x in self.inputs} | net_size
        for _ in range(len(self.state) + 1):  # a state's size is that of its new value, which may read other states
            for unit in self.units:
                known = {sizes[s] for s in unit.reads if s in sizes}
                if len(known) > 1:
                    detail = ", ".join(f"{s}: {sizes[s]}" for s in unit.reads if s in sizes)
                    self._refuse(unit.line, unit.out, f"mixes vectors of different length ({detail}); share one by a net")
                if known:
                    sizes[unit.out] = known.pop()
            for old, new in self.state.items():
                if new in sizes:
                    sizes[old] = sizes[new]
        for symbol in self.symbols:
            if symbol not in sizes:
                self._refuse(None, symbol, "has no length: it depends on no net")
        for net in self.nets:
            for s in net.sources:
                if net.kind == "diagonal" and sizes[s] != net.size:
                    self._refuse(net.line, net.out, f"is diagonal but {s} has length {sizes[s]}, not {net.size}")
                short, long = (sizes[s], net.size) if net.kind == "shared" else (net.size, sizes[s])
                if net.fixed and not _repeats(short, long):
                    self._refuse(net.line, net.out, f"is {net.kind}, from {s} of length {sizes[s]} to {net.size}; the longer one has "
                                 "the axes of the shorter and more, or they are 'blocks' and 'units'")
        unused = [name for name in self.lengths if not any(name in axes_of(size) for size in sizes.values())]
        if unused:
            self._refuse(None, unused[0], "is given a length, but no vector has it")
        return {symbol.name: size for symbol, size in sizes.items()}


def _repeats(short, long):
    """Whether a vector of length `long` can repeat one of length `short`."""
    axes = [a for a in axes_of(long) if a in axes_of(short)]
    return (short, long) == ("blocks", "units") or (tuple(axes) == axes_of(short) and len(axes) < len(axes_of(long)))
