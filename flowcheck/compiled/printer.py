"""Print a cell's equations as scalar loops: one step forward, one step back, the truncated rule's carried derivatives.

Pointwise formulas and their partial derivatives (SymPy, common subexpressions named) become one loop each, a run of nets one matrix
product, with every length and place a literal. Only the cell's data is read; no cell is named.
"""

import itertools

import sympy

from .. import symbolic
from ..equations import EquationError, Net
from ..notation import Squashing, in_terms_of_value
from .formula import Formula
from .lines import UNROLLED, item, loop_over, product_lines, stretches

__all__ = ["Printer"]


class Printer:
    """Source text of one cell with given lengths. `cut` edges carry no error in the backward step.

    one_hot: the input is the number of its one entry instead of a vector. by_value: slopes in terms of values that the row holds,
    f' = f (1 - f), which costs no exponential but leaves an error of eps, not relative to f', where a unit is
    saturated. small: sum up the nets in one expression each instead of source by source. with_slopes: a step forward computes f'(z)
    beside f(z) of squashing functions, which costs little more than f(z), and keeps both in the row, behind the vectors; `size` numbers.
    """

    def __init__(self, storage, cut=frozenset(), one_hot=False, by_value=False, small=False, with_slopes=False):
        self.storage, self.cell = storage, storage.cell
        self.one_hot, self.by_value, self.small = one_hot, by_value, small
        self.known = {sympy.sympify(u.formula): u.out for u in self.cell.units}
        self.squashed, self.kept, self.places, self.size = {}, {}, {}, storage.size
        for unit in self.cell.units if with_slopes else ():
            self.squashed[unit.out.name] = [self._keep(unit, f) for f in sorted(sympy.sympify(unit.formula).atoms(Squashing), key=str)
                                            if f.args[0] in unit.reads and f not in self.kept]
        self.cut = {(e.net, e.source) for e in cut}
        self.early = set(storage.input_place) | set(storage.kernel.states)
        if one_hot and (len(self.cell.inputs) != 1 or any(i.name in _names(u.reads) for u in self.cell.units for i in self.cell.inputs)):
            raise EquationError(f"{self.cell.name}: one-hot inputs need one input that only nets read; give dense inputs")

    def _keep(self, unit, node):
        """f(z), for which places are found in the row: for itself, where it is not the unit, and for f'(z)."""
        known = sympy.sympify(unit.formula) == node
        for function, name in ((node, unit.out.name if known else str(node)), (node.func.slope(node.args[0]), f"{node} slope")):
            self.kept[function] = sympy.Symbol(name, real=True)
            if name != unit.out.name:
                self.places[name], self.size = self.size, self.size + self.storage.length(unit.out.name)
        return node

    def partials(self, unit):
        """{argument: partial derivative} of a unit."""
        slopes = {s: sympy.sympify(d).xreplace(self.kept) for s, d in symbolic.partials(unit).items()}
        if self.by_value:
            slopes = {s: in_terms_of_value(d).subs(self.known) for s, d in slopes.items()}
        return slopes

    # Texts of single entries.

    def entry(self, name, index, array=None):
        """Text of entry `index` of a vector, e.g. now[48 + i]."""
        where, place = ("now", self.places[name]) if name in self.places else self.storage.array(name)
        return item(array or where, place, index)

    def adjoint(self, name, index):
        """Text of the adjoint of an entry: in `a` at this step, in `a_before` one step earlier, in `a_x` for inputs."""
        where, place = self.storage.array(name)
        return item({"now": "a", "before": "a_before", "x": "a_x"}[where], place, index)

    @staticmethod
    def formula(cell, texts):
        """Function from a SymPy expression to its text, with symbols replaced."""
        return Formula(texts, cell).doprint

    def formulas(self, targets, texts):
        """Lines that use SymPy expressions {line with {} for its formula: expression}, common subexpressions named first."""
        named, reduced = sympy.cse(list(targets.values()), symbols=(sympy.Symbol(f"z{k}") for k in itertools.count()))
        printer = Formula(texts, self.cell)
        lines = [f"{symbol} = {printer.doprint(value)}" for symbol, value in named]
        return lines + [line.format(printer.doprint(value)) for line, value in zip(targets, reduced, strict=True)]

    # One step forward.

    def step(self, name="step", vectors=None):
        """step(now, before, x, w, zero): fill the row `now`, or its vectors of the given names."""
        storage, lines = self.storage, [f"def {name}(now, before, x, w, zero):"]
        vectors = set(storage.place) if vectors is None else vectors
        lines += self._early_nets(vectors)
        twins = self._twins(vectors)
        for equation in self.cell.equations:
            if equation.out.name not in vectors or equation.out.name in twins.values():
                continue
            name, length = equation.out.name, storage.length(equation.out.name)
            if not isinstance(equation, Net):
                body = self._unit(equation)
                last = name
                while last in twins:
                    last = twins[last]
                    length += storage.length(last)
                few = 3 if self.squashed.get(name) else UNROLLED  # vectors pay at once
                lines += loop_over("i", length, body, few)
            elif equation.fixed:
                source = equation.sources[0].name
                if equation.kind == "pooled":
                    lines += loop_over("i", length, [f"{self.entry(name, 'i')} = 0.0"])
                to, index = self._ends(equation)
                sign = "=" if equation.kind == "shared" else "+="
                lines += loop_over("i", storage.long(equation), [f"{self.entry(name, to)} {sign} {self.entry(source, index)}"])
            else:
                for run in storage.runs:
                    if run.nets == (name,) and (run.source not in self.early or run.diagonal):
                        lines += self._product(run)
        return "\n".join([*lines, "    pass"])

    def _unit(self, unit):
        """Lines that compute an entry of a unit, and what is kept of it."""
        squashed, name = self.squashed.get(unit.out.name, ()), unit.out.name
        formula, lines = sympy.sympify(unit.formula).xreplace(self.kept), []
        for k, node in enumerate(squashed):
            lines.append(f"v{k}, d{k} = {node.func.__name__}_with_slope({self.entry(node.args[0].name, 'i')})")
            places = [self.entry(self.kept[f].name, "i") for f in (node, node.func.slope(node.args[0]))]
            lines += [f"{place} = {value}{k}" for place, value in zip(places, "vd", strict=True)]
        if formula == unit.out:
            return lines
        texts = {s.name: self.entry(s.name, "i") for s in formula.free_symbols}
        return lines + self.formulas({f"{self.entry(name, 'i')} = {{}}": formula}, texts)

    def _early_nets(self, vectors):
        """Lines: biases, and what inputs and previous states send, of the weighted nets among `vectors`."""
        storage, lines = self.storage, []
        nets = [n.out.name for n in storage.weighted]
        early = [r for r in storage.runs if r.source in self.early and not r.diagonal and vectors.issuperset(r.nets)]
        for first, last in stretches([n in vectors for n in nets]):
            groups = [[nets[k]] for k in range(first, last)] if not self.small else []
            for name in nets[first:last] if self.small else ():  # nets that read the same runs are summed up together
                same = groups and [r for r in early if name in r.nets] == [r for r in early if groups[-1][0] in r.nets]
                groups[-1].append(name) if same else groups.append([name])
            if not self.small:
                groups = [nets[first:last]]
            for group in groups:
                rows, to = sum(storage.length(n) for n in group), storage.place[group[0]]
                terms = [item("w", storage.bias + to, "i")]
                for run in (r for r in early if self.small and group[0] in r.nets):
                    array, place = storage.array(run.source)
                    if array == "x" and self.one_hot:
                        terms.append(f"w[{run.place + to - run.to} + x * {run.rows} + i]")
                        continue
                    terms += [f"{array}[{place + r}] * {item('w', run.place + r * run.rows + to - run.to, 'i')}"
                              for r in range(run.columns)]
                lines += loop_over("i", rows, [f"{item('now', to, 'i')} = {' + '.join(terms)}"])
        for run in early if not self.small else ():
            lines += self._product(run)
        return lines

    def _twins(self, vectors):
        """{unit: unit beside it in the row, of the same function of a net beside its net}: one loop computes both."""
        found, late = {}, {r.nets[0] for r in self.storage.runs if r.source not in self.early or r.diagonal}
        simple = [(u, u.reads[0]) for u in self.cell.units if len(u.reads) == 1 and u.reads[0].name in self.storage.place
                  and self.storage.place[u.reads[0].name] < self.storage.net_rows and u.reads[0].name not in late]
        for (one, arg), (two, other) in zip(simple, simple[1:], strict=False):
            beside = all(self.storage.place[b] == self.storage.place[a] + self.storage.length(a)
                         for a, b in ((one.out.name, two.out.name), (arg.name, other.name)))
            same = sympy.sympify(one.formula).subs(arg, other) == sympy.sympify(two.formula)
            same = same and all(self.kept[f].name == u.out.name for u in (one, two) for f in self.squashed.get(u.out.name, ()))
            if beside and same and vectors.issuperset((one.out.name, two.out.name)):
                found[one.out.name] = two.out.name
        return found

    def _ends(self, net):
        """(index of the net's entry, index of its source's) in a loop over the longer vector of a fixed map."""
        short = self.storage.short_index(net.out.name, "i")
        return ("i", short) if net.kind == "shared" else (short, "i")

    def _product(self, run):
        """Lines: the run's rows of `now` += W source."""
        source, place = self.storage.array(run.source)
        if run.diagonal:
            return loop_over("i", run.rows, [f"{item('now', run.to, 'i')} += {item('w', run.place, 'i')} * {item(source, place, 'i')}"])
        if source == "x" and self.one_hot:
            return [f"    u = w[{run.place} + x * {run.rows}:{run.place} + (x + 1) * {run.rows}]",
                    *loop_over("i", run.rows, [f"{item('now', run.to, 'i')} += u[i]"])]
        return product_lines("now", run.to, run.rows, "w", run.place, source, place, run.columns)

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

    def enter(self, names):
        """enter(a, e): add one row of errors, the vectors of `names` side by side, to the adjoints."""
        lines, place = ["def enter(a, e, zero):"], 0
        for name in names:
            length = self.storage.length(name)
            lines += loop_over("i", length, [f"{item('a', self.storage.place[name], 'i')} += {item('e', place, 'i')}"])
            place += length
        return "\n".join(lines)

    def clear(self, names):
        """clear(a): no adjoint at the vectors of `names`."""
        lines = ["def clear(a, zero):"]
        for name in dict.fromkeys(names):
            lines += loop_over("i", self.storage.length(name), [f"{item('a', self.storage.place[name], 'i')} = 0.0"])
        return "\n".join(lines)

    def direct(self, vectors):
        """direct(now, before, x, w, a, zero): the same within the step only, from the given vectors to what they read."""
        lines = ["def direct(now, before, x, w, a, zero):"]
        for equation in reversed(self.cell.equations):
            if equation.out.name not in vectors:
                continue
            if equation not in self.storage.weighted:
                lines += self.pointwise_back(equation, within=True)
                continue
            for run in self.storage.runs:
                if equation.out.name in run.nets and self.storage.array(run.source)[0] == "now":
                    lines += self._product_back(run)
        return "\n".join([*lines, "    pass"])

    def read_by(self, vectors):
        """What the given vectors read within the step: where `direct` adds."""
        equations = [e for e in self.cell.equations if e.out.name in vectors]
        read = {s.name for e in equations for s in (e.sources if isinstance(e, Net) else self.partials(e))}
        return [name for name in self.storage.place if name in read and self.storage.array(name)[0] == "now"]

    def pointwise_back(self, equation, within=False):
        """Lines that send the adjoint of a unit, or of a fixed net, back to what it reads (`within` the step only)."""
        if not isinstance(equation, Net):
            return self._unit_back(equation, self.storage.length(equation.out.name), within)
        to, index = self._ends(equation)
        line = f"{self.adjoint(equation.sources[0].name, index)} += {self.adjoint(equation.out.name, to)}"
        return loop_over("i", self.storage.long(equation), [line])

    def _unit_back(self, unit, length, within):
        slopes = {s.name: d for s, d in self.partials(unit).items() if not within or self.storage.array(s.name)[0] == "now"}
        texts = {s.name: self.entry(s.name, "i") for d in slopes.values() for s in d.free_symbols}
        targets = {f"{self.adjoint(arg, 'i')} += error * ({{}})": d for arg, d in slopes.items()}
        body = [f"error = {self.adjoint(unit.out.name, 'i')}", *self.formulas(targets, texts)]
        return loop_over("i", length, body) if targets else []

    def _product_back(self, run):
        live = [n for n in run.nets if (n, run.source) not in self.cut]
        where, place = self.storage.array(run.source)
        if not live or (where == "x" and self.one_hot):
            return []
        target = {"now": "a", "before": "a_before", "x": "a_x"}[where]
        if run.diagonal:
            return loop_over("i", run.rows, [f"{item(target, place, 'i')} += {item('w', run.place, 'i')} * {item('a', run.to, 'i')}"])
        lines = []
        for first, last in stretches([n in live for n in run.nets]):
            to = self.storage.place[run.nets[first]]
            rows = sum(self.storage.length(n) for n in run.nets[first:last])
            lines += product_lines(target, place, run.columns, "w", run.place + (to - run.to) * run.columns, "a", to, rows)
        return lines


def _names(symbols):
    return [s.name for s in symbols]
