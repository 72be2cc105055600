"""Nets of one kind that learn at the same time, a lane of vectors each. Every net learns what it learns alone, to the last bit.

All that every step reads or writes lies in one array, lanes innermost (`lane_form`). Weights of one-hot inputs, and derivatives by them,
stay with each net: a step needs one column of each. What is done where a sequence ends is done lane by lane by the functions printed for
one net.
"""

import ast
import inspect

import numpy as np

from ..equations import EquationError
from .lane_form import InLanes, function_of, states_kept
from .learning import learn_in_lanes
from .modules import load

__all__ = ["LANES", "Lanes"]

LANES = 8
"""Two vectors of four: one is computed while the other waits for its exponentials."""


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
        form = InLanes(places, lanes, net.one_hot, self.dense)
        functions = {f.name: f for f in ast.parse(net.printed).body if isinstance(f, ast.FunctionDef)}
        step = [*states_kept(storage), *(line for name in ("step", "gather", "coefficients", "advance") for line in functions[name].body)]
        step = [loop for line in step for loop in form.loops(line)]
        parts = [net.printed, f"LANES, ROW, WEIGHTS, CARRIED = {lanes}, {rows}, {places['w']}, {places['p']}",
                 function_of("step_in_lanes(many, zero)", step), *self._inputs(net, places, form, functions["advance"].body)]
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
        """Every net learns its Sequences; [found], each as `Online.run` gives it. Raises ValueError for other targets than at ends."""
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
