"""The forward pass of a compiled cell: what is the same at every step is worked out once, the rest is printed as a loop of plain lines.

Nets that read the same previous states stand side by side in one array, with one product per state and step; units that are the same
squashing function of nets side by side are one call. For small nets a step costs little but its calls, so the loop has no others.
"""

import ast
from itertools import groupby

import numpy as np

from .equations import Net
from .in_place import OUT
from .memory import stacked
from .notation import Squashing
from .plain_loop import Given, plain_loop

__all__ = ["Forward"]

FIXED = {"shared": "repeat", "pooled": "total"}
"""What a fixed net does forward."""

_SMALL = 64
"""Entries of a previous state up to which weights are transposed in memory: of more, AVX2 kernels multiply them half as fast."""


class Forward:
    """One run over inputs {input: array (time, batch, inputs)}; `run(state)` fills `values`, {vector: array (time, batch, length)}.

    `like` is the type (and device) of the values; `cut`, `frozen`, `hold` and `add` are those of `Kernel.forward`.
    """

    def __init__(self, kernel, params, inputs, lengths, like, *, cut, frozen, hold, add):
        self.kernel, self.params, self.inputs, self.like, self.lengths = kernel, params, inputs, like, lengths
        self.cut, self.frozen, self.hold, self.add = cut, frozen, hold, add
        self.steps, self.batch = next(iter(inputs.values())).shape[:2]
        self.in_place = kernel.xp is np and np.dtype(like["dtype"]).kind in "fc"
        self.real = self.in_place and np.dtype(like["dtype"]).kind == "f"
        self.values, groups = {}, {}
        self.lines, self.given, self.over_time, self.rows, self.local = [], Given(), [], {}, {}
        self.read = {arg for unit in kernel.units.values() for arg in unit.args}.union(*map(self._rest, kernel.cell.nets))
        for net in kernel.cell.nets:
            if not net.fixed:
                groups.setdefault(self._stacked(net), []).append(net)
        for sources, nets in groups.items():
            self._block(sources, sorted(nets, key=lambda net: self._squashed(net)[0]))
        for equation in kernel.cell.equations:
            if isinstance(equation, Net):
                self._net(equation)
            elif equation.out.name not in self.values:
                self._unit(equation.out.name)

    def run(self, state):
        """From `state` {previous state: (batch, length)} on; once."""
        for old, new in self.kernel.states.items():
            if old in self.local:
                self.lines.append(f"{self.local[old]} = {self._at(self.values[new])}")
        starts = [old for old in self.kernel.states if old in self.local]
        loop = f"for ({', '.join(self.rows.values())},) in over_time:"
        names = ["over_time", *(self.local[old] for old in starts), *self.given.names]
        text = "\n".join([f"def loop({', '.join(names)}):", f"    {loop}", *(f"        {line}" for line in self.lines)])
        over_time = zip(*self.over_time, strict=True)
        if not self.in_place:  # a tensor would make all its views at once
            over_time = ([array[t] for array in self.over_time] for t in range(self.steps))
        plain_loop(text)(over_time, *(state[old] for old in starts), *self.given)

    def _at(self, array):
        """What the loop calls step t of an array over time."""
        if id(array) not in self.rows:
            self.rows[id(array)] = f"a{len(self.rows)}"
            self.over_time.append(array)
        return self.rows[id(array)]

    def _now(self, name):
        """What the loop calls a vector of the step, or a previous state."""
        if name not in self.local:
            self.local[name] = self._at(self.inputs[name]) if name in self.inputs else f"v{len(self.local)}"
        return self.local[name]

    def _empty(self, length):
        return self.kernel.xp.empty((self.steps, self.batch, length), **self.like)

    def _is_cut(self, net, source):
        return any(e.net == net and e.source == source for e in self.cut)

    def _left_alone(self, name):
        return name not in self.add and name not in self.hold

    def _stacked(self, net):
        """Previous states that reach a net through dense, uncut weights: their products need nothing of the step."""
        if net.kind != "dense":
            return ()
        return tuple(s.name for s in net.sources if s.name in self.kernel.states and not self._is_cut(net.out.name, s.name))

    def _rest(self, net):
        """Sources of a net that are neither inputs nor stacked."""
        known = {*self.inputs, *self._stacked(net)}
        return [s.name for s in net.sources if s.name not in known]

    def _squashed(self, net):
        """(squashing function, unit) of the unit that is such a function of this net alone, if nothing else has a say; else ("", "")."""
        if not self._rest(net) and self._left_alone(net.out.name):
            for unit in self.kernel.cell.units:
                if isinstance(unit.formula, Squashing) and unit.formula.args[0] == net.out and self._left_alone(unit.out.name):
                    return type(unit.formula).__name__, unit.out.name
        return "", ""

    def _feed(self, net, into):
        """Write what inputs and the bias add to a net, at all steps at once."""
        names = self.kernel.weights.get(net.out.name, {})
        into[...] = self.params[names["1"]] if "1" in names else 0.0
        for s in net.sources:
            if s.name in self.inputs and s.name in names:
                w, x = self.params[names[s.name]], self.inputs[s.name]
                product = x * w if net.kind == "diagonal" else self.kernel.product(x.reshape(-1, x.shape[-1]), w.T)
                into += product.reshape(into.shape)

    def _block(self, sources, nets):
        """Nets with the same stacked sources: their products, then the squashing functions of those that are complete."""
        lengths = [self.lengths[net.size] for net in nets]
        ends = np.cumsum(lengths).tolist()
        block, columns = self._empty(ends[-1]), [slice(e - n, e) for n, e in zip(lengths, ends, strict=True)]
        for net, cols in zip(nets, columns, strict=True):
            self.values[net.out.name] = _part(block, cols)
            self._feed(net, self.values[net.out.name])
        for source in sources:
            weights = [self.params[self.kernel.weights[net.out.name][source]] for net in nets]
            total, previous = self._at(block), self._now(source)
            if self.in_place:  # for a vector, `matmul` takes a microsecond longer
                stack, work = self.given.name(self._transposed(weights)), self.given.name(np.empty(block.shape[1:], **self.like))
                self.lines.append(f"{self.given.name(np.add)}({total}, {previous}.dot({stack}, {work}), {total})")
            else:
                stack = self.given.name(self.kernel.xp.concatenate(weights).T)
                self.lines.append(f"{total} += {self.given.name(self.kernel.product)}({previous}, {stack})")
        squashed = [(*self._squashed(net), cols) for net, cols in zip(nets, columns, strict=True)]
        for function, group in groupby(squashed, key=lambda found: found[0]):
            if function:
                self._squash({unit: cols for _, unit, cols in group}, block)

    @staticmethod
    def _transposed(weights):
        """The matrices on top of one another, transposed: small ones in memory, too, which BLAS multiplies faster."""
        found = stacked(weights).T
        return stacked([found]) if len(found) <= _SMALL else found

    def _squash(self, columns, block):
        """Units {unit: columns of its net}, side by side, that are one function."""
        first, last = min(c.start for c in columns.values()), max(c.stop for c in columns.values())
        values, nets = self._empty(last - first), _part(block, slice(first, last))
        self.values |= {unit: _part(values, slice(c.start - first, c.stop - first)) for unit, c in columns.items()}
        self._compute(self.kernel.units[next(iter(columns))], values, [self._at(nets)])
        self.local |= {unit: self._at(self.values[unit]) for unit in columns if unit in self.read}

    def _compute(self, unit, values, arguments):
        """Step t of `values` by a unit's formula: what the loop calls it. Calls write in place where the numbers are real and they can."""
        into, shape = self._at(values), values.shape[1:]
        if not self.real or unit.calls is None:
            self.lines.append(f"{into}[...] = {self.given.name(unit.value)}({', '.join(arguments)})")
            return into
        names, calls, works = unit.calls
        known = dict(zip(names, arguments, strict=True)) | {OUT: into}
        known |= {f"<{k}>": self.given.name(np.empty(shape, **self.like)) for k in range(works)}
        for call in calls:
            operands = [known.get(o) or self._number(o) for o in call.operands]
            self.lines.append(f"{self.given.name(call.ufunc)}({', '.join(operands)}, {known[call.into]})")
        return into

    def _number(self, text):
        """A number of a formula as an array: NumPy takes longer to make one than to compute with it."""
        return self.given.name(np.array(ast.literal_eval(text), **self.like))

    def _net(self, net):
        """A net that something is still added to, or that units read by its name."""
        name, rest = net.out.name, self._rest(net)
        if net.fixed:
            self.values[name] = self._empty(self.lengths[net.size])
            routine = getattr(self.kernel.fixed_maps(self.lengths)[name], FIXED[net.kind])
            total = self._at(self.values[name])
            self.lines.append(f"{total}[...] = {self.given.name(routine)}({self._now(net.sources[0].name)})")
        elif self._squashed(net)[0] and sum(name in unit.args for unit in self.kernel.units.values()) == 1:
            return
        else:
            total = self._at(self.values[name])
            self.lines += [f"{total} += {self._edge(net, s)}" for s in rest]
        self.local[name] = self._intervened(name, total)

    def _unit(self, name):
        unit, self.values[name] = self.kernel.units[name], self._empty(self.lengths[self.kernel.cell.sizes[name]])
        found = self._compute(unit, self.values[name], [self._now(a) for a in unit.args])
        self.local[name] = self._intervened(name, found)

    def _intervened(self, name, found):
        """After what is added to a vector from outside, and where it is held."""
        if name in self.add:
            self.lines.append(f"{found} += {self._at(self.add[name])}")
        if name in self.hold:
            mask, value = map(self.given.name, self.hold[name])
            self.lines.append(f"{found}[...] = {self.given.name(self.kernel.xp.where)}({mask}, {value}, {found})")
        return found

    def _edge(self, net, source):
        """What a source that is not stacked adds to a net at step t."""
        w = self.params[self.kernel.weights[net.out.name][source]]
        frozen = self._is_cut(net.out.name, source) and self.frozen is not None
        value = self._at(self.frozen[source]) if frozen else self._now(source)
        if net.kind == "diagonal":
            return f"{value} * {self.given.name(w)}"
        return f"{self.given.name(self.kernel.product)}({value}, {self.given.name(w.T)})"


def _part(array, columns):
    """Some columns of an array over time, or itself."""
    return array if columns == slice(0, array.shape[-1]) else array[..., columns]
