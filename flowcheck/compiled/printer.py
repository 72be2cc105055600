"""Print a cell's equations as scalar loops: one step forward, one step back, the truncated rule's carried derivatives.

Pointwise formulas and their partial derivatives (SymPy, common subexpressions named) become one loop each, a run of nets one matrix
product, with every length and place a literal. Only the cell's data is read; no cell is named.
"""

import itertools

import sympy
from sympy.printing.pycode import PythonCodePrinter

from .. import symbolic
from ..equations import EquationError, Net
from .routines import ROUTINES

__all__ = ["Printer"]

UNROLLED = 4
"""Loops up to this length are left to the compiler to unroll."""

_MATH = {"exp": "math.exp", "log": "math.log", "sqrt": "math.sqrt", "cos": "math.cos", "sin": "math.sin", "Abs": "abs", "Max": "max",
         "Min": "min", "sign": "sign", "Heaviside": "heaviside", "softplus": "softplus"}


class _Formula(PythonCodePrinter):
    """Formulas with symbols replaced by the text of array entries."""

    def __init__(self, texts, cell):
        super().__init__({"fully_qualified_modules": False})
        self.texts, self.cell = texts, cell

    def _print_Symbol(self, symbol):  # noqa: N802  (SymPy's hook)
        return self.texts.get(symbol.name, symbol.name)

    def _print(self, node, **kwargs):
        if isinstance(node, sympy.Function | sympy.Max | sympy.Min) and not isinstance(node, sympy.Piecewise):
            return self._function(node)
        return super()._print(node, **kwargs)

    def _function(self, node):
        name = type(node).__name__
        known = name if name in ROUTINES else _MATH.get(name)
        if known is None:
            raise EquationError(f"{self.cell.name}: the function {name} cannot be compiled to loops "
                                f"(functions that can: {', '.join((*ROUTINES, *_MATH))}); use the NumPy functions")
        arguments = node.args[:1] if name == "Heaviside" else node.args
        return f"{known}({', '.join(map(self._print, arguments))})"

    def _print_Pow(self, node, **kwargs):  # noqa: N802
        base, power = node.as_base_exp()
        if power == sympy.Rational(1, 2):
            return f"math.sqrt({self._print(base)})"
        if power.is_Integer and 2 <= power <= 4:
            return "(" + "*".join([self.parenthesize(base, 100)] * int(power)) + ")"
        if power.is_Integer and power < 0:
            return f"(1.0/{self._print_Pow(base**-power) if power < -1 else self.parenthesize(base, 100)})"
        return super()._print_Pow(node, **kwargs)

    def _print_Rational(self, node):  # noqa: N802
        return f"({node.p}.0/{node.q}.0)"

    def _print_Integer(self, node):  # noqa: N802
        return f"{node.p}.0"


class Printer:
    """Source text of one cell with given lengths. `cut` edges carry no error in the backward step.

    one_hot: the input is the number of its one entry instead of a vector.
    """

    def __init__(self, storage, cut=frozenset(), one_hot=False):
        self.storage, self.cell, self.one_hot = storage, storage.cell, one_hot
        self.cut = {(e.net, e.source) for e in cut}
        self.early = set(storage.input_place) | set(storage.kernel.states)
        if one_hot and (len(self.cell.inputs) != 1 or any(i.name in _names(u.reads) for u in self.cell.units for i in self.cell.inputs)):
            raise EquationError(f"{self.cell.name}: one-hot inputs need one input that only nets read; give dense inputs")

    # Texts of single entries.

    def entry(self, name, index, array=None):
        """Text of entry `index` of a vector, e.g. now[48 + i]."""
        where, place = self.storage.array(name)
        return _at(array or where, place, index)

    def adjoint(self, name, index):
        """Text of the adjoint of an entry: in `a` at this step, in `a_before` one step earlier, in `a_x` for inputs."""
        where, place = self.storage.array(name)
        return _at({"now": "a", "before": "a_before", "x": "a_x"}[where], place, index)

    def formulas(self, targets, texts):
        """Lines that use SymPy expressions {line with {} for its formula: expression}, common subexpressions named first."""
        named, reduced = sympy.cse(list(targets.values()), symbols=(sympy.Symbol(f"z{k}") for k in itertools.count()))
        printer = _Formula(texts, self.cell)
        lines = [f"{symbol} = {printer.doprint(value)}" for symbol, value in named]
        return lines + [line.format(printer.doprint(value)) for line, value in zip(targets, reduced, strict=True)]

    # One step forward.

    def step(self):
        """step(now, before, x, w, zero): fill the row `now`."""
        storage, lines = self.storage, ["def step(now, before, x, w, zero):"]
        lines += _loop("i", storage.net_rows, [f"{_at('now', 0, 'i')} = {_at('w', storage.bias, 'i')}"])
        for run in storage.runs:
            if run.source in self.early and not run.diagonal:
                lines += self._product(run)
        for equation in self.cell.equations:
            name, length = equation.out.name, storage.length(equation.out.name)
            if not isinstance(equation, Net):
                texts = {s.name: self.entry(s.name, "i") for s in equation.reads}
                target = {f"{self.entry(name, 'i')} = {{}}": sympy.sympify(equation.formula)}
                lines += _loop("i", length, self.formulas(target, texts))
            elif equation.fixed:
                source = equation.sources[0].name
                if equation.kind == "pooled":
                    lines += _loop("i", length, [f"{self.entry(name, 'i')} = 0.0"])
                to, index = self._ends(equation)
                sign = "=" if equation.kind == "shared" else "+="
                lines += _loop("i", storage.long(equation), [f"{self.entry(name, to)} {sign} {self.entry(source, index)}"])
            else:
                for run in storage.runs:
                    if run.nets == (name,) and (run.source not in self.early or run.diagonal):
                        lines += self._product(run)
        return "\n".join(lines)

    def _ends(self, net):
        """(index of the net's entry, index of its source's) in a loop over the longer vector of a fixed map."""
        short = self.storage.short_index(net.out.name, "i")
        return ("i", short) if net.kind == "shared" else (short, "i")

    def _product(self, run):
        """Lines: the run's rows of `now` += W source."""
        source, place = self.storage.array(run.source)
        if run.diagonal:
            return _loop("i", run.rows, [f"{_at('now', run.to, 'i')} += {_at('w', run.place, 'i')} * {_at(source, place, 'i')}"])
        if source == "x" and self.one_hot:
            return [f"    u = w[{run.place} + x * {run.rows}:{run.place} + (x + 1) * {run.rows}]",
                    *_loop("i", run.rows, [f"{_at('now', run.to, 'i')} += u[i]"])]
        return _matrix("now", run.to, run.rows, "w", run.place, source, place, run.columns)

    # One step back.

    def back(self):
        """back(now, before, x, w, a, a_before, a_x, zero): add to the adjoints what each vector receives; full but for the cut edges.

        Nets' adjoints stay in `a`, for the weights.
        """
        storage, lines = self.storage, ["def back(now, before, x, w, a, a_before, a_x, zero):"]
        for equation in reversed(self.cell.equations):
            if equation in storage.weighted:
                for run in storage.runs:
                    if run.nets == (equation.out.name,) and (run.source not in self.early or run.diagonal):
                        lines += self._product_back(run)
            else:
                lines += self.pointwise_back(equation)
        for run in storage.runs:
            if run.source in self.early and not run.diagonal:
                lines += self._product_back(run)
        return "\n".join(lines)

    def direct(self, vectors):
        """direct(now, before, x, a, zero): the same within the step and without weights, from the given vectors to what they read."""
        lines = ["def direct(now, before, x, a, zero):"]
        for equation in reversed(self.cell.equations):
            if equation not in self.storage.weighted and equation.out.name in vectors:
                lines += self.pointwise_back(equation, within=True)
        return "\n".join([*lines, "    pass"])

    def pointwise_back(self, equation, within=False):
        """Lines that send the adjoint of a unit, or of a fixed net, back to what it reads (`within` the step only)."""
        if not isinstance(equation, Net):
            return self._unit_back(equation, self.storage.length(equation.out.name), within)
        to, index = self._ends(equation)
        line = f"{self.adjoint(equation.sources[0].name, index)} += {self.adjoint(equation.out.name, to)}"
        return _loop("i", self.storage.long(equation), [line])

    def _unit_back(self, unit, length, within):
        slopes = {s.name: d for s, d in symbolic.partials(unit).items() if not within or self.storage.array(s.name)[0] == "now"}
        texts = {s.name: self.entry(s.name, "i") for s in unit.reads}
        targets = {f"{self.adjoint(arg, 'i')} += error * ({{}})": d for arg, d in slopes.items()}
        body = [f"error = {self.adjoint(unit.out.name, 'i')}", *self.formulas(targets, texts)]
        return _loop("i", length, body) if targets else []

    def _product_back(self, run):
        live = [n for n in run.nets if (n, run.source) not in self.cut]
        where, place = self.storage.array(run.source)
        if not live or (where == "x" and self.one_hot):
            return []
        target = {"now": "a", "before": "a_before", "x": "a_x"}[where]
        if run.diagonal:
            return _loop("i", run.rows, [f"{_at(target, place, 'i')} += {_at('w', run.place, 'i')} * {_at('a', run.to, 'i')}"])
        lines = []
        for first, last in _stretches([n in live for n in run.nets]):
            to = self.storage.place[run.nets[first]]
            rows = sum(self.storage.length(n) for n in run.nets[first:last])
            lines += _matrix(target, place, run.columns, "w", run.place + (to - run.to) * run.columns, "a", to, rows)
        return lines


def _names(symbols):
    return [s.name for s in symbols]


def _at(array, place, index):
    return f"{array}[{place} + {index}]" if place else f"{array}[{index}]"


def _count(length):
    """Text of a loop's length. LLVM unrolls loops of known length before it would vectorise them; adding a zero that it does not know
    prevents that where vectors pay."""
    return str(length) if length <= UNROLLED else f"{length} + zero"


def _loop(index, length, body):
    return [f"    for {index} in range({_count(length)}):", *(f"        {line}" for line in body)]


def _stretches(flags):
    """(first, last + 1) of every stretch of true values."""
    flags, found, start = [*flags, False], [], None
    for k, flag in enumerate(flags):
        if flag and start is None:
            start = k
        if not flag and start is not None:
            found.append((start, k))
            start = None
    return found


def _matrix(out, out_place, columns, w, w_place, vector, vector_place, rows):
    """Lines: out_c += sum_r vector_r w[r, c], four rows at a time, so that `out` is read and written a quarter as often.

    Slices begin at zero again, which spares the inner loop the test for negative indices that would keep it from vectors.
    """
    lines, span = [], f"{w_place} + r * {columns}:{w_place} + (r + 4) * {columns}"
    whole = rows - rows % 4
    if whole:
        lines += [f"    for r in range(0, {whole}, 4):", f"        u = {w}[{span}]"]
        lines += [f"        v{k} = {_at(vector, vector_place + k, 'r')}" for k in range(4)]
        terms = " + ".join(f"v{k} * {_at('u', k * columns, 'i')}" for k in range(4))
        lines += [f"        for i in range({_count(columns)}):", f"            {_at(out, out_place, 'i')} += {terms}"]
    if rows > whole:
        lines += [f"    v{k} = {vector}[{vector_place + whole + k}]" for k in range(rows - whole)]
        terms = " + ".join(f"v{k} * {_at(w, w_place + (whole + k) * columns, 'i')}" for k in range(rows - whole))
        lines += [f"    for i in range({_count(columns)}):", f"        {_at(out, out_place, 'i')} += {terms}"]
    return lines
