"""Nets of one kind that learn at the same time, one in each lane: the printed step of a net with its lanes innermost, in vectors.

    now[8 + i] = sigma(now[i])   becomes   many[(8 + i) * LANES + lane] = sigma(many[i * LANES + lane])   for every lane

All that every step reads or writes lies in the one array `many`, so that no loop has to find out first whether arrays overlap. Weights of
one-hot inputs, and derivatives by them, stay with each net: a step needs one column of each. What is done where a sequence ends is done
lane by lane by the functions printed for one net. Every net learns what it learns alone, to the last bit.
"""

import ast
import copy
import inspect

import numpy as np

from ..equations import EquationError
from .learning import learn_in_lanes
from .modules import load

__all__ = ["LANES", "Lanes"]

LANES = 8
"""Two vectors of four: one is computed while the other waits for its exponentials."""
_UNROLLED = 64


class Lanes:
    """Compiled loops for nets like `net`, an Online net by the rule of 1997 that changes its weights at the ends of sequences.

    Raises EquationError for a net whose step is not made of loops over entries alone.
    """

    def __init__(self, net, lanes=LANES, interpreted=False):
        if net.method != "1997" or net.every_step:
            raise EquationError(f"lanes are for the rule of 1997 with changes at the ends of sequences, not for {net.method}")
        self.lanes, storage, carried = lanes, net.storage, net.carried
        rows, columns = storage.size, 0 if net.one_hot else storage.lengths["inputs"] * len(net.cell.inputs)
        gathered, coefficients = (b.shape[1] for b in net.buffers[1:3])
        places, self.size = {}, 0
        for name, length in {"now": rows, "before": rows, "s": gathered, "k": coefficients, "x": columns, "w": storage.weights,
                             "p": carried.carried_size}.items():
            places[name], self.size = self.size, self.size + length
        self.dense = {"w": set(), "p": set()}
        form = _InLanes(places, lanes, net.one_hot, self.dense)
        functions = {f.name: f for f in ast.parse(net.printed).body if isinstance(f, ast.FunctionDef)}
        step = [*_states(storage), *(line for name in ("step", "gather", "coefficients", "advance") for line in functions[name].body)]
        step = [loop for line in step for loop in form.loops(line)]
        parts = [net.printed, f"LANES, ROW, WEIGHTS, CARRIED = {lanes}, {rows}, {places['w']}, {places['p']}",
                 _function("step_in_lanes(many, zero)", step), *self._inputs(net, places, form, functions["advance"].body)]
        title = f"{net.title} in {lanes} lanes"
        self.learn = load(title, "\n\n\n".join([*parts, inspect.getsource(learn_in_lanes).rstrip()]), ["learn_in_lanes"],
                          interpreted)["learn_in_lanes"]
        self.buffers = [_aligned(lanes, size) for size in (storage.weights, storage.weights, self.size, carried.carried_size)]
        self.buffers[2] = self.buffers[2].ravel()

    def _inputs(self, net, places, form, advance):
        """give(x, w, many, lane): the input of one lane, or what a one-hot one sends to the nets; take(x, p, many, lane): the
        derivatives by the weights of a one-hot one."""
        if not net.one_hot:
            given = [f"    for i in range(x.shape[0]):\n        many[({places['x']} + i) * {self.lanes} + lane] = x[i]"]
            taken = ["    pass"]
        else:
            given = [f"    x = np.uint32(x)  # no place is counted from the end\n    for i in range({run.rows}):\n"
                     f"        many[({places['now'] + run.to} + i) * {self.lanes} + lane] = w[{run.place} + x * {run.rows} + i]"
                     for run in net.storage.runs if run.source in net.storage.input_place]
            taken = [ast.unparse(form.column(line)) for line in advance if isinstance(line, ast.For)]
            taken = ["    x = np.uint32(x)", *("\n".join(f"    {row}" for row in text.splitlines()) for text in taken)]
        return "\n".join(["def give(x, w, many, lane):", *given]), "\n".join(["def take(x, p, many, lane):", *taken])

    def run(self, nets, sequences):
        """Every net learns its Sequences; [found], each as `Online.run` gives it. Raises ValueError for targets elsewhere than at their ends."""
        for s in sequences:
            if s.has_target.sum() != len(s) or not s.has_target[s.starts[1:] - 1].all():
                raise ValueError("in lanes, sequences have a target at their last step only; let each net learn alone")
        first = np.cumsum([0, *(len(s) for s in sequences)])
        steps = np.cumsum([0, *(len(s.x) for s in sequences)])
        starts = np.concatenate([[0], *(s.starts[1:] + before for s, before in zip(sequences, steps, strict=False))])
        x, target = (np.concatenate([getattr(s, name) for s in sequences]) for name in ("x", "target"))
        net = nets[0]
        w, w_back, many, p = self.buffers
        for lane, one in enumerate(nets):
            w[lane], w_back[lane] = one.w, one.w_back
        rows, s, _, a, _, g = net.buffers
        found = np.zeros((first[-1], 4))
        dense_w, dense_p = (np.array(sorted(self.dense[name])) for name in ("w", "p"))
        self.learn(starts, x, target, first, w, w_back, net.free, net.free_w, net.free_back, net.alpha, dense_w, dense_p,
                   many, rows, s, a, p, g, found, 0)
        for lane, one in enumerate(nets):
            one.w[:], one.w_back[:] = w[lane], w_back[lane]
        found[np.isnan(found[:, 1])] = np.inf
        return [found[first[lane]:first[lane + 1]] for lane in range(len(nets))]


def _aligned(*shape):
    """Zeros that begin at a whole vector of eight numbers."""
    size = int(np.prod(shape))
    room = np.zeros(size + 8)
    start = -(room.ctypes.data // 8) % 8
    return room[start:start + size].reshape(shape)


def _function(signature, statements):
    lines = [row for statement in statements for row in ast.unparse(ast.fix_missing_locations(statement)).splitlines()]
    return "\n".join([f"def {signature}:", *(f"    {line}" for line in lines)])


def _states(storage):
    """Statements that keep the states of the step before."""
    places = [(storage.place[new], storage.length(new)) for new in storage.kernel.states.values()]
    return ast.parse("\n".join(f"for i in range({length}):\n    before[{to} + i] = now[{to} + i]" for to, length in places)).body


class _InLanes(ast.NodeTransformer):
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
        form = _InLanes({"k": self.places["k"]}, self.lanes, False, {})
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
