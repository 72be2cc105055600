"""Every way in which one term of a cell's backward pass can be wrong, read off its equations. No cell is named here.

A Mutation says what is wrong in words and as a formula, and what `adjoint` has to change to make the same mistake.
"""

import functools
from dataclasses import dataclass

import sympy

from .. import notation, symbolic
from ..equations import Net
from ..notation import Slope, Squashing

__all__ = ["Mutation", "every_mutation", "later", "net_term", "partial_term", "weight_mutations"]

LATER, EARLIER, WRAP = "__later", "__earlier", "_wrap"


@dataclass(frozen=True)
class Mutation:
    """One wrong term.

    term      what it is a mistake in: "d y_f / d net_f", "net_in <- y_prev", "carry of s", "dE/dW_in_y"
    kind      "factor dropped", "transposed", ...
    words     one line; `formula` is LaTeX, the right term and the one computed instead; `plain` the same as text
    partials  ((unit, argument), expression or None): a partial derivative computed otherwise
    edges     ((net, source), change): a connection of weights; scale: a factor on the term, None where it is to be found
    carry     (previous state, change): what one step hands to the step before
    swap      two nets whose errors are exchanged
    weights   (rule, parameters, other): weight gradients summed otherwise
    errors    how the errors at the outputs enter otherwise
    """

    term: str
    kind: str
    words: str
    formula: str = ""
    plain: str = ""
    partials: tuple = ()
    edges: tuple = ()
    carry: tuple = ()
    swap: tuple = ()
    weights: tuple = ()
    errors: str = ""
    free_scale: bool = False

    def __str__(self):
        return f"{self.term}: {self.kind}"


def partial_term(unit, argument):
    return f"d {unit} / d {argument}"


def net_term(net, source):
    return f"{net} <- {source}"


def later(symbol, steps, wrap):
    """The symbol of a vector one step later (1) or earlier (-1); at the end it is held, or wraps around to the other end."""
    return sympy.Symbol(f"{symbol.name}{LATER if steps > 0 else EARLIER}{WRAP if wrap else ''}", real=True)


@functools.lru_cache(maxsize=32)
def every_mutation(cell, lengths=()):
    """(Mutation, ...) of all partial derivatives, connections, carries and errors of a cell.

    `lengths` are pairs (size, length): two sizes of one length make square weights, which may be transposed by mistake.
    """
    found = [*_of_partials(cell), *_of_edges(cell, dict(lengths)), *_of_carries(cell), *_of_nets(cell), *_of_errors(cell)]
    seen, unique = set(), []
    for m in found:
        key = (m.partials, m.edges, m.carry, m.swap, m.weights, m.errors, m.free_scale)
        if key not in seen:
            seen.add(key)
            unique.append(m)
    return tuple(unique)


def _of_partials(cell):
    for unit in cell.units:
        for arg, right in symbolic.partials(unit).items():
            term, key = partial_term(unit.out.name, arg.name), (unit.out.name, arg.name)

            def mutation(kind, wrong, words, term=term, key=key, unit=unit, arg=arg, right=right):
                return Mutation(term, kind, f"{term}: {words}", _formula(cell, unit.out, arg, right, wrong),
                                _said(term, right, wrong), partials=((key, wrong),))

            yield Mutation(term, "scaled", f"{term} is multiplied by a constant", _formula(cell, unit.out, arg, right, None),
                           _said(term, right), partials=((key, right),), free_scale=True)
            yield from (mutation(kind, wrong, words) for kind, wrong, words in _variants(cell, right))


def _variants(cell, right):
    """(kind, wrong expression, words) of one partial derivative."""
    vectors = {s.name: s for s in (*(e.out for e in cell.equations if not isinstance(e, Net)), *cell.state)}
    units = {u.out: sympy.sympify(u.formula) for u in cell.units}
    nets = [n.out for n in cell.nets if n.kind != "shared"]
    for factor in sympy.Mul.make_args(right):
        if not factor.is_number:
            yield "factor dropped", right / factor, f"the factor {_plain(factor)} is missing"
            yield "factor twice", right * factor, f"the factor {_plain(factor)} stands twice"
        if isinstance(factor, sympy.Add):
            for piece in factor.args:
                yield "sign inside", right.subs(factor, factor - 2 * piece), f"the sign of {_plain(piece)} is flipped"
                if not piece.is_number:
                    yield "complement", right.subs(factor, -piece), f"{_plain(-piece)} stands for {_plain(factor)}"
                yield "piece dropped", right.subs(factor, factor - piece), f"the part {_plain(piece)} is missing"
    for slope in right.atoms(Slope):
        f, z = slope.squashing, slope.args[0]
        value = f(z)
        put = lambda new, slope=slope: right.subs(slope, new)  # noqa: E731
        yield "activation for slope", put(value), f"the activation {_plain(value)} stands where its derivative belongs"
        yield ("slope of activated", put(slope.func(value)),
               f"the derivative is taken of the already activated value, {_plain(slope.func(value))}")
        poly = sympy.expand(f.slope_in_value(value))
        for piece in sympy.Add.make_args(poly):
            yield "part of slope", put(poly - piece), f"the derivative {_plain(slope)} lacks its part {_plain(piece)}"
            yield "sign in slope", put(poly - 2 * piece), f"the part {_plain(piece)} of the derivative {_plain(slope)} has the wrong sign"
        yield "part of slope", put(1 - value), f"1 - {_plain(value)} stands where the derivative {_plain(slope)} belongs"
        for other in nets:
            if cell.sizes[other.name] == cell.sizes.get(getattr(z, "name", ""), "") and other != z:
                yield "slope of another gate", put(slope.func(other)), f"the derivative is taken at {other} instead of {z}"
        for g in notation.squashing_functions().values():
            if g is not f:
                yield "slope of another function", put(g.slope(z)), f"{_plain(g.slope(z))} stands for {_plain(slope)}"
                wrong = g.slope_in_value(value)
                yield "slope of another function", put(wrong), f"{_plain(wrong)} stands for {_plain(slope)}"
        for old, new in cell.state.items():
            for here, there in ((old, new), (new, old)):
                if z.has(here):
                    yield "another vector", put(slope.subs(here, there)), f"the derivative {_plain(slope)} is taken at {there}"
        yield from _shifts(right, slope, z)
    for value in right.atoms(Squashing):
        yield "not squashed", right.subs(value, value.args[0]), f"{_plain(value.args[0])} stands for {_plain(value)}"
        yield "slope for activation", right.subs(value, value.func.slope(value.args[0])), f"the derivative of {_plain(value)} stands for it"
        yield from _shifts(right, value, value.args[0])
    outside = {s for s in right.free_symbols if s in right.subs({x: sympy.Dummy() for x in right.atoms(Slope, Squashing)}).free_symbols}
    for symbol in sorted(outside, key=lambda s: s.name):
        formula = units.get(symbol)
        if isinstance(formula, Squashing):
            yield ("slope for activation", right.subs(symbol, formula.func.slope(formula.args[0])),
                   f"the derivative of {symbol} stands where {symbol} belongs")
            yield "not squashed", right.subs(symbol, formula.args[0]), f"{_plain(formula.args[0])} stands for {symbol}"
            yield "complement", right.subs(symbol, 1 - symbol), f"1 - {symbol} stands for {symbol}"
        for other in vectors.values():
            if other != symbol and cell.sizes[other.name] == cell.sizes[symbol.name]:
                yield "another vector", right.subs(symbol, other), f"{other} stands where {symbol} belongs"
        yield "squashed", right.subs(symbol, notation.tanh(symbol)), f"tanh({symbol}) stands for {symbol}"
        yield from _shifts(right, symbol, symbol)


def _shifts(right, factor, argument):
    """The factor one step late or early, held or wrapping around at the ends."""
    for steps in (1, -1):
        for wrap in (False, True):
            moved = factor.subs({s: later(s, steps, wrap) for s in argument.free_symbols})
            mark = f"t{'+' if steps > 0 else '-'}1"
            yield ("shifted in time", right.subs(factor, moved),
                   f"{_plain(factor)} is taken at {mark} instead of t" + (", wrapping around at the end" if wrap else ""))


def _of_edges(cell, lengths):
    recurrent = [(e.net, e.source) for e in sorted(cell.recurrent_edges) if e.source in {s.name for s in cell.state}]
    for edge in cell.edges:
        key, term = (edge.net, edge.source), net_term(edge.net, edge.source)
        net = next(n for n in cell.nets if n.out.name == edge.net)
        weights = next(name for name, its in cell.parameters.items() if its == edge) if edge in cell.parameters.values() else "W"
        sent = f"dE/d{edge.source} += {weights}^T dE/d{edge.net}"
        yield Mutation(term, "scaled", f"the error that {edge.net} sends to {edge.source} is multiplied by a constant", plain=sent,
                       edges=((key, "scaled"),), free_scale=True)
        if net.kind == "dense" and _square(cell, edge.net, edge.source, lengths):
            yield Mutation(term, "transposed", f"the error that {edge.net} sends to {edge.source} goes through W instead of its transpose",
                           plain=f"{sent}, not {weights} dE/d{edge.net}", edges=((key, "transposed"),))
    if len(recurrent) > 1:
        squares = [k for k in recurrent if _square(cell, *k, lengths)]
        for source in sorted({s for _, s in recurrent}):
            keys = [k for k in recurrent if k[1] == source]
            yield Mutation(f"nets <- {source}", "dropped", f"no net sends its error to {source}: the carry of the hidden path is missing",
                           edges=tuple((k, "dropped") for k in keys))
        yield Mutation("nets <- previous vectors", "transposed", "all recurrent weights are used without being transposed",
                       edges=tuple((k, "transposed") for k in squares))
    for net in cell.nets:
        if net.kind == "shared":
            key, term = (net.out.name, net.sources[0].name), net_term(net.out.name, net.sources[0].name)
            yield Mutation(term, "mean for sum", f"{term}: the mean over the block's cells stands for their sum", edges=((key, "mean"),))
            yield Mutation(term, "scaled", f"{term} is multiplied by a constant", edges=((key, "scaled"),), free_scale=True)


def _of_carries(cell):
    units = {u.out: u for u in cell.units}
    for old, new in cell.state.items():
        term = f"carry of {new}"
        sent = f"dE/d{new}(t) += dE/d{old}(t+1)"
        yield Mutation(term, "dropped", f"the error of {new} is not carried to the step before", plain=sent, carry=((old.name, "dropped"),))
        yield Mutation(term, "scaled", f"the error of {new} carried to the step before is multiplied by a constant", plain=sent,
                       carry=((old.name, "scaled"),), free_scale=True)
        for unit in cell.units:
            if new in unit.reads:
                for slope in symbolic.partials(unit).get(new, sympy.Integer(0)).atoms(Slope):
                    yield Mutation(term, "wrong side", f"the error carried to {new} is added before the multiplication by {_plain(slope)}, "
                                   "not after it", carry=((old.name, slope),))
                right = symbolic.partials(unit).get(new)
                if right is not None and not right.is_number:
                    yield Mutation(term, "wrong side", f"the error carried to {new} is multiplied by {_plain(right)}",
                                   carry=((old.name, right),))
        if new in units:
            for arg in units[new].reads:
                yield Mutation(term, "past the unit", f"the error carried to {new} is added to {arg} directly, on the wrong side of the "
                               f"formula of {new}", carry=((old.name, f"past {arg.name}"),))
    if len(cell.state) > 1:
        yield Mutation("all carries", "dropped", "no error is carried to the step before: the state is detached",
                       carry=tuple((old.name, "dropped") for old in cell.state))


def _of_nets(cell):
    nets = [n.out.name for n in cell.nets if n.kind != "shared"]
    for i, a in enumerate(nets):
        for b in nets[i + 1:]:
            if cell.sizes[a] == cell.sizes[b]:
                yield Mutation(f"d/d {a}, d/d {b}", "swapped", f"the errors of {a} and {b} are swapped", swap=(a, b))


def _square(cell, net, source, lengths):
    long, wide = (cell.sizes[name] for name in (net, source))
    return lengths.get(long, long) == lengths.get(wide, wide)


def weight_mutations(cell, entries, lengths=()):
    """[Mutation] of the sums over time; `entries` {name of an array: parameters of the cell that it holds}; `lengths` as above."""
    rules = {"last": "only the last step is accumulated", "first": "only the first step is kept: assigned, not added",
             "later source": "its source is taken one step late", "earlier source": "its source is taken one step early",
             "later source wrapping": "its source is taken one step late, wrapping around at the end",
             "earlier source wrapping": "its source is taken one step early, wrapping around at the start",
             "mean over time": "the mean over time stands for the sum", "mean over batch": "the mean over the batch stands for the sum",
             "last source at the first step": "its source at the first step is the state after the last, as index -1 gives",
             "not last": "the last step is left out", "not first": "the first step is left out"}
    found, states = [], {old.name for old in cell.state}
    for entry, params in entries.items():
        for some in dict.fromkeys([tuple(params), *((p,) for p in params)]):
            term = f"dE/d{entry}" if len(some) == len(params) else f"dE/d{entry}, its part {some[0]}"
            edges = [cell.parameters[p] for p in some]
            first = edges[0]
            total = f"dE/d{some[0]} = sum over t of dE/d{first.net}(t)" + (f" {first.source}(t)^T" if first.source != "1" else "")
            found.append(Mutation(term, "scaled", f"{term} is multiplied by a constant", plain=total, weights=("scaled", some, ""),
                                  free_scale=True))
            found += [Mutation(term, rule, f"{term}: {words}", plain=total, weights=(rule, some, "")) for rule, words in rules.items()
                      if "source" not in rule or any(e.source in states if "at the first" in rule else e.source != "1" for e in edges)]
            if any(e.source != "1" and _square(cell, e.net, e.source, dict(lengths)) for e in edges):
                found.append(Mutation(term, "transposed", f"{term}: transposed", plain=total, weights=("transposed", some, "")))
            found += _another_gate(cell, term, some[0]) if len(some) == 1 else []
    found += [Mutation("all dE/dW", rule, f"all weight gradients: {rules[rule]}", weights=(rule, tuple(cell.parameters), ""))
              for rule in ("last", "first", "mean over time", "mean over batch", "not first", "not last")]
    found.append(Mutation("all dE/dW", "scaled", "all dE/dW are multiplied by a constant", weights=("scaled", tuple(cell.parameters), ""),
                          free_scale=True))
    return found


def _another_gate(cell, term, name):
    """The gradient of another gate's weights or bias returned for this one's."""
    edge = cell.parameters[name]
    for other, its in cell.parameters.items():
        if other != name and its.source == edge.source and cell.sizes[its.net] == cell.sizes[edge.net]:
            what = "bias" if edge.source == "1" else "weights"
            words = f"{term}: the gradient of {other} stands for it"
            yield Mutation(term, f"another gate's {what}", words, weights=("other", (name,), other))


def _of_errors(cell):
    yield Mutation("errors at the output", "last step only", "errors enter at the last step only", errors="last")
    yield Mutation("errors at the output", "late", "errors enter one step late", errors="late")
    yield Mutation("errors at the output", "early", "errors enter one step early", errors="early")
    yield Mutation("the whole gradient", "scaled", "the whole gradient is multiplied by a constant", errors="scaled", free_scale=True)


def _plain(expression):
    text = str(expression).replace("_prime(", "'(")
    for mark, said in ((LATER + WRAP, "(t+1)"), (EARLIER + WRAP, "(t-1)"), (LATER, "(t+1)"), (EARLIER, "(t-1)")):
        text = text.replace(mark, said)
    return text


def _said(term, right, wrong=None):
    return f"{term} = {_plain(right)}" + ("" if wrong is None else f", not {_plain(sympy.powsimp(wrong))}")


def _formula(cell, unit, arg, right, wrong):
    """LaTeX: the partial derivative, and what was computed instead."""
    left = rf"\frac{{\partial {notation.latex(unit, cell.symbols)}}}{{\partial {notation.latex(arg, cell.symbols)}}}"
    true = rf"{left} = {notation.latex(right, cell.symbols)}"
    return true if wrong is None else rf"{true}, \text{{ not }} {notation.latex(wrong, cell.symbols)}"
