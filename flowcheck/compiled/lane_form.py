"""Printed functions with their lanes innermost, so that a compiler makes vectors of lanes.

    now[8 + i] = sigma(now[i])   becomes   many[(8 + i) * LANES + lane] = sigma(many[i * LANES + lane])   for every lane

All arrays become parts of the one array `many`, so that no loop has to find out first whether arrays overlap.
"""

import ast
import copy

from ..equations import EquationError

__all__ = ["InLanes", "function_of", "states_kept"]

_UNROLLED = 64
"""Columns that a loop may have to be written out."""


def function_of(signature, statements):
    """Source text of a function."""
    lines = [row for statement in statements for row in ast.unparse(ast.fix_missing_locations(statement)).splitlines()]
    return "\n".join([f"def {signature}:", *(f"    {line}" for line in lines)])


def states_kept(storage):
    """Statements that keep the states of the step before."""
    places = [(storage.place[new], storage.length(new)) for new in storage.kernel.states.values()]
    return ast.parse("\n".join(f"for i in range({length}):\n    before[{to} + i] = now[{to} + i]" for to, length in places)).body


class InLanes(ast.NodeTransformer):
    """Statements of a printed function with every array entry in lanes; `dense` collects which weights and derivatives they use."""

    def __init__(self, places, lanes, one_hot, dense):
        self.places, self.lanes, self.one_hot, self.dense = places, lanes, one_hot, dense

    def loops(self, statement):
        """A loop over entries i as one over all entries of all lanes where each stands at c + i, else as one over lanes for every i."""
        if isinstance(statement, ast.Pass):
            return []
        if not isinstance(statement, ast.For) or any(isinstance(n, ast.Slice | ast.If) for n in ast.walk(statement)):
            raise EquationError(f"no lanes for: {ast.unparse(statement).splitlines()[0]}")
        count = _count(statement.iter)
        body = [s for line in statement.body for s in _unrolled(line) if not (self.one_hot and _takes(s))]
        self._note(body, count)
        one_loop = all(_beside(n.slice) for line in body for n in ast.walk(line) if isinstance(n, ast.Subscript) and not self._column(n))
        self.flat = one_loop
        body = [self._assigned(line) for line in body]
        if one_loop:
            return [_for("i", f"{count * self.lanes} + zero", body)]
        return [_for("lane", f"{self.lanes} + zero", [_At("i", i).visit(copy.deepcopy(line)) for line in body]) for i in range(count)]

    def column(self, statement):
        """What of a loop adds to the derivatives by a one-hot input's weights, in one lane."""
        body = [line for line in statement.body if not isinstance(line, ast.For)]
        form = InLanes({"k": self.places["k"]}, self.lanes, False, {})
        form.flat = False
        return ast.fix_missing_locations(_for("i", str(_count(statement.iter)), [form.visit(copy.deepcopy(line)) for line in body]))

    def _assigned(self, line):
        self.target = line.targets[0] if isinstance(line, ast.Assign) else line.target
        return self.visit(copy.deepcopy(line))

    def _column(self, node):
        """Whether an entry is that of a one-hot input: w[... x ...]; `give` puts it where the sum is to stand."""
        return self.one_hot and node.value.id == "w" and any(isinstance(n, ast.Name) and n.id == "x" for n in ast.walk(node.slice))

    def visit_Subscript(self, node):  # noqa: N802  (ast's hook)
        if node.value.id not in self.places:
            return node
        if self._column(node):
            return self.visit_Subscript(copy.deepcopy(self.target))
        place, index = self.places[node.value.id], ast.unparse(node.slice)
        if self.flat:
            text = f"many[{(place + _beside(node.slice)[0]) * self.lanes} + i]"
        else:
            text = f"many[({place} + {index}) * {self.lanes} + lane]"
        found = ast.parse(text, mode="eval").body
        found.ctx = node.ctx
        return found

    def _note(self, body, count):
        """Add the entries of w and p that a loop uses to `dense`."""
        for node in (n for line in body for n in ast.walk(line) if isinstance(n, ast.Subscript) and n.value.id in self.dense):
            if not self._column(node):
                index = compile(ast.unparse(node.slice), "<index>", "eval")
                self.dense[node.value.id] |= {eval(index, {"i": i}) for i in range(count)}  # noqa: S307  (our own text)


def _count(call):
    """N of range(N) or range(N + zero)."""
    (end,) = call.args
    end = end.left if isinstance(end, ast.BinOp) else end
    return end.value


def _unrolled(line):
    """A loop over columns j as statements, one for each; another statement as it is."""
    if not isinstance(line, ast.For):
        return [line]
    if len(line.iter.args) != 1 or _count(line.iter) > _UNROLLED:
        raise EquationError(f"no lanes for: {ast.unparse(line).splitlines()[0]}")
    return [_At(line.target.id, j).visit(copy.deepcopy(s)) for j in range(_count(line.iter)) for s in line.body]


class _At(ast.NodeTransformer):
    """A loop variable replaced by a number."""

    def __init__(self, name, value):
        self.name, self.value = name, value

    def visit_Name(self, node):  # noqa: N802
        return ast.Constant(self.value) if node.id == self.name else node


def _takes(statement):
    """Whether a statement adds to p at a one-hot input."""
    return isinstance(statement, ast.AugAssign) and any(isinstance(n, ast.Name) and n.id == "x" for n in ast.walk(statement.target))


def _beside(index):
    """(c,) for an index c + i, (0,) for i; else None."""
    if isinstance(index, ast.Name) and index.id == "i":
        return (0,)
    if (isinstance(index, ast.BinOp) and isinstance(index.op, ast.Add) and isinstance(index.left, ast.Constant)
            and isinstance(index.right, ast.Name) and index.right.id == "i"):
        return (index.left.value,)
    return None


def _for(name, count, body):
    loop = ast.parse(f"for {name} in range({count}):\n    pass").body[0]
    loop.body = body
    return loop
