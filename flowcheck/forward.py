"""The forward pass of a compiled cell: what is the same at every step is worked out once, the rest is a list of operations.

Nets that read the same previous states stand side by side in one array, with one product per state and step; units that are the same
squashing function of nets side by side are one call.
"""

from itertools import groupby

import numpy as np

from .aligned import stacked
from .equations import Net
from .notation import Squashing, squashing_ufuncs

__all__ = ["Forward"]

FIXED = {"shared": "repeat", "pooled": "total"}
"""What a fixed net does forward."""


class Forward:
    """One run over inputs {input: array (time, batch, inputs)}; `run(state)` fills `values`, {vector: array (time, batch, length)}.

    `like` is the type (and device) of the values; `cut`, `frozen`, `hold` and `add` are those of `Kernel.forward`.
    """

    def __init__(self, kernel, params, inputs, lengths, like, *, cut, frozen, hold, add):
        self.kernel, self.params, self.inputs, self.like, self.lengths = kernel, params, inputs, like, lengths
        self.cut, self.frozen, self.hold, self.add = cut, frozen, hold, add
        self.steps, self.batch = next(iter(inputs.values())).shape[:2]
        self.in_place = kernel.xp is np and np.dtype(like["dtype"]).kind in "fc"
        self.ufuncs = squashing_ufuncs() if self.in_place and np.dtype(like["dtype"]).kind == "f" else {}
        self.values, self.operations, groups = {}, [], {}
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
        operations, self.operations = self.operations, None  # they know this run: a cycle would keep its values
        inputs = [(name, array) for name, array in self.inputs.items() if name in self.read]
        carried = [(old, self.values[new]) for old, new in self.kernel.states.items()]
        now = dict(state)  # what is of the step before is written anew before it is read
        for t in range(self.steps):
            for name, array in inputs:
                now[name] = array[t]
            for operation in operations:
                operation(t, now)
            for old, array in carried:
                now[old] = array[t]

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
            self.values[net.out.name] = block[..., cols]
            self._feed(net, self.values[net.out.name])
        for source in sources:
            weights = [self.params[self.kernel.weights[net.out.name][source]] for net in nets]
            stack = stacked(weights) if self.in_place else self.kernel.xp.concatenate(weights)
            self.operations.append(self._add_product(block, source, stack.T))
        squashed = [(*self._squashed(net), cols) for net, cols in zip(nets, columns, strict=True)]
        for function, group in groupby(squashed, key=lambda found: found[0]):
            if function:
                self._squash(function, {unit: cols for _, unit, cols in group}, block)

    def _add_product(self, block, source, stack):
        if not self.in_place:
            product = self.kernel.product

            def add(t, now):
                block[t] += product(now[source], stack)
        else:
            work = np.empty(block.shape[1:], **self.like)

            def add(t, now):
                total = block[t]
                np.add(total, now[source].dot(stack, work), out=total)  # for a vector, `matmul` takes a microsecond longer
        return add

    def _squash(self, function, columns, block):
        """Units {unit: columns of its net}, side by side, that are one function."""
        first, last = min(c.start for c in columns.values()), max(c.stop for c in columns.values())
        values, nets = self._empty(last - first), block[..., first:last]
        places = {unit: slice(c.start - first, c.stop - first) for unit, c in columns.items()}
        self.values |= {unit: values[..., cols] for unit, cols in places.items()}
        ufunc, routine = self.ufuncs.get(function), self.kernel.units[next(iter(columns))].value
        each = [(unit, self.values[unit]) for unit in places if unit in self.read]

        def squash(t, now):
            if ufunc is None:
                values[t] = routine(nets[t])
            else:
                ufunc(nets[t], values[t])
            for unit, array in each:
                now[unit] = array[t]
        self.operations.append(squash)

    def _net(self, net):
        """A net that something is still added to, or that units read by its name."""
        name, rest = net.out.name, self._rest(net)
        if net.fixed:
            self.values[name] = self._empty(self.lengths[net.size])
            repeated, source = getattr(self.kernel.fixed_maps(self.lengths)[name], FIXED[net.kind]), net.sources[0].name
        elif self._squashed(net)[0] and sum(name in unit.args for unit in self.kernel.units.values()) == 1:
            return
        values = self.values[name]

        def complete(t, now):
            total = values[t]
            if net.fixed:
                total[...] = repeated(now[source])
            for s in () if net.fixed else rest:
                total += self._edge(net, s, t, now)
            now[name] = self._intervened(name, t, total)
        self.operations.append(complete)

    def _unit(self, name):
        unit, values = self.kernel.units[name], self._empty(self.lengths[self.kernel.cell.sizes[name]])
        value, args, alone = unit.value, unit.args, self._left_alone(name)
        self.values[name] = values

        def compute(t, now):
            found = values[t]
            found[...] = value(*[now[a] for a in args])
            now[name] = found if alone else self._intervened(name, t, found)
        self.operations.append(compute)

    def _intervened(self, name, t, found):
        if name in self.add:
            found += self.add[name][t]
        if name in self.hold:
            mask, value = self.hold[name]
            found[...] = self.kernel.xp.where(mask, value, found)
        return found

    def _edge(self, net, source, t, now):
        w = self.params[self.kernel.weights[net.out.name][source]]
        value = self.frozen.at(source, t) if self._is_cut(net.out.name, source) and self.frozen is not None else now[source]
        return value * w if net.kind == "diagonal" else self.kernel.product(value, w.T)
