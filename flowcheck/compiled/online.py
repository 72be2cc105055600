"""Training sequence by sequence in compiled loops: the truncated rule of 1997 and full or truncated gradients, with weight updates.

The whole net is one cell whose last vectors are its outputs, e.g. y_k = sigma(W_k y + b_k). Errors e_k = f'(net_k) (y_k - target_k) enter
at the steps that have a target; weights change after each of them or at the end of the sequence:

    w <- w - alpha dE/dw,   E = 1/2 sum_k (y_k - target_k)^2          (16) to (28)

Slopes are taken from the values (f' = f (1 - f)); gradients agree with `gradients` to rounding.
"""

import inspect

import numpy as np

from ..equations import EquationError
from ..kernels import compile_cell
from .carried import Carried
from .learning import change, judge, learn, learn_backward, learn_forward
from .lines import item, loop_over
from .modules import load
from .named import with_named_values
from .printer import Printer
from .storage import Storage
from .truncated import print_online

__all__ = ["Online"]

METHODS = ("1997", "bptt", "rtrl", "elman")


class Online:
    """A net in training: weights, the compiled rule, and which weights may change.

    method      "1997"; "bptt", whole sequences or windows of `window` steps, between which no error passes; "rtrl"; or "elman",
                where errors stay within their step
    params      {parameter: [to, from]} at the start
    frozen      {parameter: mask, true where a weight stays as it is}, e.g. units without a bias
    enter       the vector that receives y_k - target_k: the outputs, or their nets, where the slope f' is left out (the gradient of the
                cross-entropy of logistic outputs)
    every_step  change weights after every step with a target instead of at the end of each sequence (not for "bptt")

    Raises EquationError for a method or net that does not fit.
    """

    def __init__(self, cell, params, *, method="1997", one_hot=False, alpha=0.1, every_step=False, window=None, frozen=None,
                 enter=None, interpreted=False):
        if method not in METHODS:
            raise EquationError(f"no training method {method!r}; methods are {', '.join(METHODS)}")
        if every_step and method in ("bptt", "elman"):
            raise EquationError(f"{method} changes weights at the end of a sequence; give every_step=False, or windows as sequences")
        self.cell, self.method, self.alpha, self.every_step, self.one_hot = cell, method, alpha, every_step, one_hot
        self.kernel = compile_cell(with_named_values(cell))
        later = {e.out.name for e in self.kernel.cell.equations} - _needed(self.kernel.cell)
        self.storage = Storage(self.kernel, self.kernel.lengths(params), later)
        self.window = window or 2**62
        output, enter = cell.output.name, enter or cell.output.name
        recurrent = {e for e in self.kernel.cell.recurrent_edges if e.net not in later}
        cut = recurrent if method == "1997" else frozenset()
        printer = Printer(self.storage, cut, one_hot, by_value=True, small=self.storage.net_rows <= 64)
        places = self.storage.place[enter], self.storage.place[output], self.storage.length(output)
        parts = [f"ENTER, OUTPUT, OUTPUTS = {', '.join(map(str, places))}",
                 _touched(one_hot), printer.step(vectors=set(self.storage.place) - later), printer.step("readout", later)]
        if method == "1997":
            self.carried, rule = Carried(printer, (enter,)), learn
            parts += [printer.direct(self.carried.passed), print_online(self.carried)]
        else:
            self.carried, rule = None, learn_forward if method == "rtrl" else learn_backward
            parts += [printer.back(), _weights(printer)]
        self.title = f"{cell.name} {method}, {self.storage.lengths['units']} units, {self.storage.lengths['inputs']} inputs"
        self.printed = "\n\n\n".join([*parts, *(inspect.getsource(f).rstrip() for f in (judge, change))])
        source = "\n\n\n".join([self.printed, inspect.getsource(rule).rstrip()])
        self.rule = load(self.title, source, [rule.__name__], interpreted)[rule.__name__]
        self.w, self.w_back = self.storage.pack(params)
        self.freeze(frozen or {})
        self._allocate()

    def freeze(self, frozen):
        """Which weights stay as they are from now on, {parameter: mask}; all others change."""
        masks = {k: np.zeros(v.shape, bool) for k, v in self.params.items()}
        for name, mask in frozen.items():
            masks[name] = np.broadcast_to(mask, masks[name].shape)
        free_w, free_back = (~(m > 0.5) for m in self.storage.pack({k: m.astype(float) for k, m in masks.items()}))
        for net in self.storage.weighted:
            if "1" not in self.kernel.weights[net.out.name]:
                start = self.storage.bias + self.storage.place[net.out.name]
                free_w[start:start + self.storage.length(net.out.name)] = False
                free_back[start:start + self.storage.length(net.out.name)] = False
        forward, backward = self.storage.pack(self._numbered(np.arange(self.storage.weights, dtype=float)))
        # the number of each weight in `backward` is its place there; `forward` holds the same numbers in its own order
        place = np.empty(self.storage.weights, np.int64)
        place[forward.astype(np.int64)] = np.arange(self.storage.weights)
        code = self._codes()
        self.free_back = np.flatnonzero(free_back)
        self.free_back = self.free_back[np.argsort(code[self.free_back], kind="stable")]
        self.spans = np.searchsorted(code[self.free_back], np.arange(self.storage.lengths["inputs"] + 1 if self.one_hot else 1))
        self.free_w = place[self.free_back]
        if self.carried is not None:
            numbers = self.carried.pack(self._numbered(np.arange(self.storage.weights, dtype=float))).astype(np.int64)
            where = np.empty(self.storage.weights, np.int64)
            where[numbers] = np.arange(len(numbers))
            self.free = where[self.free_back]

    def _reaching(self):
        """For every weight, laid out as backward: whether a state depends on it."""
        needed = _needed(self.kernel.cell)
        masks = {name: np.full(value.shape, float(self.kernel.parameters[name].net in needed)) for name, value in self.params.items()}
        return self.storage.pack(masks)[1] > 0.5

    def _codes(self):
        """For every weight, laid out as backward: the one one-hot input at which a step's gradient may be other than zero; -1 for any."""
        code = np.full(self.storage.weights, -1)
        carried = {block.net for block in self.carried.blocks} if self.carried is not None else _needed(self.kernel.cell)
        for run in self.storage.runs if self.one_hot else ():
            if run.source in self.storage.input_place:
                block = code[run.place:run.place + run.size].reshape(run.rows, run.columns)
                for net in set(run.nets) - carried:
                    start = self.storage.place[net] - run.to
                    block[start:start + self.storage.length(net)] = np.arange(run.columns)
        return code

    def _numbered(self, numbers):
        """{parameter: numbers} so that packing them backward gives them in order."""
        return self.storage.unpack(numbers)

    def _allocate(self):
        size = self.storage.size
        if self.carried is not None:
            gathered = sum(length for parts in self.carried.gathered_parts() for _, length in parts)
            self.buffers = (np.zeros((2, size)), np.zeros((1, gathered)), np.zeros((1, self.carried.size)), np.zeros((1, size)),
                            np.zeros(self.carried.carried_size), np.zeros(self.carried.gradient_size))
        self.reach = np.flatnonzero(self._reaching())
        self.a_x = np.zeros(0 if self.one_hot else self.storage.lengths["inputs"] * len(self.cell.inputs))

    @property
    def params(self):
        """The weights as they are now, {parameter: [to, from]}."""
        return self.storage.unpack(self.w_back)

    @params.setter
    def params(self, params):
        self.w, self.w_back = self.storage.pack(params)

    def run(self, sequences, learn=True):
        """Run over Sequences, learning or only answering. Returns (sequences, 4): largest |error|, summed |error|, summed error^2 over all
        steps with a target, and largest |error| at the last step; all are infinite where an error is no number."""
        found, alpha = np.zeros((len(sequences.starts) - 1, 4)), self.alpha if learn else 0.0
        common = (sequences.starts, sequences.x, sequences.target, sequences.has_target, self.w, self.w_back)
        size, last = self.storage.size, int(np.diff(sequences.starts).max())
        if self.method == "1997":
            self.rule(*common, self.free, self.free_w, self.free_back, self.spans, alpha, self.every_step, *self.buffers, found, 0)
        elif self.method == "rtrl":
            places = np.concatenate([np.arange(self.storage.length(n)) + self.storage.place[n] for n in self.kernel.states.values()])
            p = np.zeros((2, len(places), len(self.reach)))
            self.rule(*common, self.free_w, self.free_back, self.spans, alpha, self.every_step, places, self.reach, np.zeros((2, size)),
                      np.zeros(size), np.zeros(size), self.a_x, p[0], p[1], np.zeros(self.storage.weights), np.zeros(self.storage.weights),
                      found, 0)
        else:
            window = 1 if self.method == "elman" else self.window
            self.rule(*common, self.free_w, self.free_back, alpha, window, np.zeros((last + 1, size)), np.zeros((last + 1, size)), self.a_x,
                      np.zeros(self.storage.weights), found, 0)
        found[np.isnan(found[:, 1])] = np.inf
        return found

    def outputs(self, sequences):
        """Outputs at every step of Sequences, (steps, outputs); nothing is learned."""
        starts, lengths = sequences.starts[:-1], np.diff(sequences.starts)
        x = np.eye(self.storage.lengths["inputs"])[sequences.x] if self.one_hot else sequences.x
        padded = np.zeros((lengths.max(), len(lengths), x.shape[1]))
        t = np.arange(len(x)) - np.repeat(starts, lengths)
        n = np.repeat(np.arange(len(lengths)), lengths)
        padded[t, n] = x
        return self.kernel.forward(self.params, padded)[self.cell.output.name][t, n]


def _needed(cell):
    """Vectors that some new state depends on, within the step; the others are read-out."""
    needed = {s.name for s in cell.state.values()}
    for equation in reversed(cell.equations):
        if equation.out.name in needed:
            needed |= {s.name for s in equation.reads}
    return needed


def _touched(one_hot):
    """touched(spans, x): which weights, beside the first spans[0], a step with input x may change."""
    return f"def touched(spans, x):\n    return {'spans[x], spans[x + 1]' if one_hot else '0, 0'}"


def _weights(printer):
    """weights(now, before, x, a, g, zero): g += adjoint of each net times its sources, laid out as the backward weights."""
    storage, lines = printer.storage, ["def weights(now, before, x, a, g, zero):"]
    for run in storage.runs:
        array, place = storage.array(run.source)
        if run.diagonal:
            lines += loop_over("i", run.rows, [f"{item('g', run.place, 'i')} += {item('a', run.to, 'i')} * {item(array, place, 'i')}"])
        elif array == "x" and printer.one_hot:
            lines += loop_over("i", run.rows, [f"g[{run.place} + i * {run.columns} + x] += {item('a', run.to, 'i')}"])
        else:
            lines += loop_over("i", run.rows, [f"e = {item('a', run.to, 'i')}", f"for j in range({run.columns}):",
                                           f"    g[{run.place} + i * {run.columns} + j] += e * {item(array, place, 'j')}"])
    return "\n".join(lines + loop_over("i", storage.net_rows, [f"{item('g', storage.bias, 'i')} += {item('a', 0, 'i')}"]))
