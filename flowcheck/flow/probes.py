"""Probes: a few error vectors sent back instead of the whole Jacobian, over any number of lags, in memory that grows like its root.

A row of errors costs a few products of a vector with the weights per step. `probe_flow` follows a trajectory that is there;
`streamed_probes` runs over inputs that need not fit into memory: it keeps the states at the start of every segment and runs a segment
forward again when its turn comes. Random vectors estimate the Frobenius norm with an interval.
"""

import math
import tempfile
from dataclasses import dataclass

import numpy as np

from ..kernels import ShapeError
from ..step import Step
from .norms import end_and_lags
from .rows import RowProduct, rows_before, weights_norm
from .scaled import ROUNDING

__all__ = ["Probes", "probe_flow", "streamed_probes"]

_CHUNK = 128
"""Lags whose rows are kept to be measured together."""

_WINDOW = 256
"""Steps whose slopes are multiplied together: all at once would be as large as the trajectory."""


@dataclass(frozen=True)
class Probes:
    """k error vectors on their way back.

    lags          (L,) ints, ascending
    log10_norm    (k, L) log10 |v_i d state(t)/d state(t-q)|, -inf where exactly zero
    log10_floor   (k, L) log10 of what rounding alone can leave there
    random        the vectors were drawn from N(0, 1) in every entry of the joint state
    gradient      "full" or "truncated"
    """

    lags: np.ndarray
    log10_norm: np.ndarray
    log10_floor: np.ndarray
    random: bool
    gradient: str

    def frobenius(self, confidence=0.95):
        """(estimate, low, high), each (L,): log10 of the Frobenius norm of the flow from random vectors, with its interval per lag.

            E |v P|^2 = |P|_F^2 = sum_i sigma_i^2   (Hutchinson),   |v P|^2 = sum_i sigma_i^2 chi^2_1

        The sum is widest where one singular value holds everything, as it does at long lags: the interval is the chi^2_k one of that
        case. Raises ValueError for vectors that were given.
        """
        from scipy.special import gammaincinv

        if not self.random:
            raise ValueError("the Frobenius norm is estimated from random vectors; these were given")
        k, tail = len(self.log10_norm), (1 - confidence) / 2
        with np.errstate(divide="ignore"):
            estimate = (np.logaddexp.reduce(2 * np.log(10) * self.log10_norm, axis=0) - np.log(k)) / (2 * np.log(10))
        low, high = (0.5 * np.log10(k / (2 * gammaincinv(k / 2, p))) for p in (1 - tail, tail))
        return estimate, estimate + low, estimate + high


def probe_flow(trajectory, lags, errors=None, *, count=4, seed=0, b=0, end=None, cut=()):
    """Probes along a trajectory: norms of v d state(t)/d state(t-q), q = 1 ... lags, of k vectors v at the states of step t = `end`.

    `errors` is {vector: (k, units)} of any vectors of the step, or (k, units) at the output; without it `count` random vectors at the
    states. Full unless `cut`. Raises ValueError for a count below 1, and for errors that do not fit.
    """
    end, lags = end_and_lags(trajectory, end, lags)
    if errors is None and count < 1:
        raise ValueError(f"{count} random vectors: at least 1 is needed")
    step, product = Step(trajectory, cut), None
    sender = _Sender(step.along(trajectory.window(end, end + 1)), errors, count, seed, lags, 0, b)
    if trajectory.products is not None:
        sender.through(RowProduct(step, b), end - sender.done, lags - sender.done)
    while sender.done < lags:
        stop = end + 1 - sender.done
        first = max(stop - _WINDOW, end + 1 - lags)
        window = trajectory.window(first, stop)
        product = RowProduct(step.along(window), b) if product is None else product.along(window)
        sender.through(product, stop - 1 - first, stop - first)
    return sender.probes(trajectory.kernel.cell.cut(cut))


def streamed_probes(kernel, params, inputs, errors=None, *, count=4, seed=0, state0=None, cut=(), memory=None, progress=lambda words: None):
    """Probes from the last step of one long sequence back to its first, without a trajectory: q = 1 ... steps - 1.

    `inputs` is (steps, features): an array, a memory-mapped one, or an iterable of such pieces, which is kept in a temporary file.
    States are kept every `segment` steps and each segment runs forward twice: memory O(sqrt(steps)), or the fewest segments that fit
    `memory` bytes. The output takes 16 bytes a step and vector. Raises ValueError where not even the checkpoints fit.
    """
    inputs = _stored(inputs)
    if inputs.ndim != 2 or len(inputs) < 2:
        raise ShapeError(f"{kernel.cell.name}: inputs to stream have shape {inputs.shape}, expected (steps, features) with 2 steps or more")
    steps, lengths = len(inputs), kernel.lengths(params)
    segment = _segment(kernel, lengths, steps, memory)
    starts, state = range(0, steps, segment), dict(state0 or {})

    def run(k):
        x = np.asarray(inputs[starts[k]:starts[k] + segment], float)[:, None]
        return kernel.forward(params, x, checkpoints[k])

    checkpoints = []
    for k in range(len(starts)):
        checkpoints.append(state)
        progress(f"forward, segment {k + 1} of {len(starts)}")
        if k + 1 < len(starts):
            last = run(k)
            state = {old: last[new][-1].copy() for old, new in kernel.states.items()}
    sender = None
    for k in reversed(range(len(starts))):
        progress(f"backward, segment {k + 1} of {len(starts)}")
        trajectory = run(k)
        step = Step(trajectory, cut)
        last = trajectory.steps - 1
        if sender is None:
            sender = _Sender(step, errors, count, seed, steps - 1, last, 0)
            last -= sender.done
        sender.through(RowProduct(step, 0), last, last + bool(k))  # the very first step's initial state is no state(t-q)
        checkpoints.pop()
    return sender.probes(step.cut)


def _stored(inputs):
    """Inputs that can be sliced: pieces go to a temporary file, mapped into memory."""
    if hasattr(inputs, "shape"):
        return inputs
    file, columns = tempfile.TemporaryFile(), None
    for piece in inputs:
        piece = np.ascontiguousarray(piece, float)
        if piece.ndim != 2 or piece.shape[1] != (piece.shape[1] if columns is None else columns):
            raise ShapeError(f"a piece of inputs has shape {piece.shape}, expected (steps, {columns or 'features'})")
        columns = piece.shape[1]
        file.write(piece.tobytes())
    if columns is None:
        raise ShapeError("there are no pieces of inputs")
    file.flush()
    return np.memmap(file, float, "r").reshape(-1, columns)


def _segment(kernel, lengths, steps, memory):
    """Steps per segment: the root of all, or as many as fit the memory."""
    sizes, cell = {name: 8 * lengths[size] for name, size in kernel.cell.sizes.items()}, kernel.cell
    per_state = sum(sizes[old] for old in kernel.states)
    vectors, slopes = (4 * sum(sizes[e.out.name] for e in cell.equations), per_state * (len(cell.nets) + 2))
    per_step = vectors + slopes
    balanced = math.ceil(math.sqrt(steps * max(per_state / per_step, 1 / _CHUNK)))
    if memory is None:
        return min(steps, max(balanced, _CHUNK))
    for segments in range(1, steps + 1):
        segment = math.ceil(steps / segments)
        if segment * per_step + segments * per_state <= memory:
            return segment
        if segments * per_state > memory:
            break
    raise ValueError(f"{cell.name}: {steps} steps do not fit {memory} bytes; at least "
                     f"{2 * math.isqrt(steps * per_step * per_state):.3g} bytes are needed")


def _checked(step, errors):
    """{vector: (k, units)} of errors as the user gave them."""
    cell = step.kernel.cell
    sizes = {e.out.name: step.length(e.out.name) for e in cell.equations}
    errors = {name: np.atleast_2d(np.asarray(e, float))
              for name, e in (errors if isinstance(errors, dict) else {cell.output.name: errors}).items()}
    unknown = [name for name in errors if name not in sizes]
    if unknown or not errors:
        raise ValueError(f"{cell.name}: errors are sent from states or other vectors of a step ({', '.join(sizes)}); "
                         f"{unknown[0] if unknown else 'nothing'!r} is none")
    count = len(next(iter(errors.values())))
    for name, e in errors.items():
        if e.shape != (count, sizes[name]):
            raise ShapeError(f"{cell.name}: errors at {name} have shape {e.shape}, expected ({count}, {sizes[name]})")
    return errors


class _Sender:
    """Rows of errors with an exponent each; where they were given, one random row more that shows how rounding errors travel."""

    def __init__(self, step, errors, count, seed, lags, end, b):
        sizes = {new: step.length(new) for new in step.kernel.states.values()}
        rng, self.random, self.done = np.random.default_rng(seed), errors is None, 0
        given = {} if self.random else _checked(step, errors)
        count = len(next(iter(given.values()))) if given else count
        self.exponents, self.floors = np.zeros(count + bool(given), int), np.zeros(count)
        self.found = np.empty((2, count, lags))
        if self.random:
            self.rows = rng.normal(size=(count, sum(sizes.values())))
        else:
            inside = given.keys() - sizes  # vectors that are no states: their errors reach the states one step earlier, at lag 1
            rows = rows_before(step, end, b, given) if inside else np.concatenate(
                [given.get(new, np.zeros((count, n))) for new, n in sizes.items()], axis=1)
            self.rows = np.vstack([rows, rng.normal(size=(1, rows.shape[1]))])
            if inside:
                self.floors = ROUNDING * weights_norm(step) * np.sqrt(sum(np.sum(e * e, axis=1) for e in given.values()))
                with np.errstate(divide="ignore"):
                    self.found[:, :, 0] = np.log10([np.linalg.norm(rows, axis=1), self.floors])
                self.done = 1
        self.norms = np.linalg.norm(self.rows, axis=1)

    def through(self, product, end, lags):
        """Send the rows back through `lags` steps, the first of them step `end`."""
        left = lags
        chunk = _CHUNK
        while left:
            k = min(chunk, left)
            out = product.back(self.rows, end - (lags - left), k)
            norms = np.sqrt(np.einsum("qij,qij->qi", out, out))
            small = np.abs(np.log2(norms[norms > 0])) > 400
            if k > 1 and (small.any() or not np.isfinite(norms).all() or (norms[-1] == 0).any() and (self.norms > 0).all()):
                chunk = max(1, k // 8)
                continue
            self._measure(norms, product.bounds[end - (lags - left) - k + 1:end - (lags - left) + 1][::-1])
            self.rows, left, chunk = out[-1].copy(), left - k, _CHUNK if k == chunk else chunk
            shift = np.where(self.norms > 0, np.frexp(self.norms)[1], 0)
            self.rows, self.norms = np.ldexp(self.rows, -shift[:, None]), np.ldexp(self.norms, -shift)
            self.floors, self.exponents = np.ldexp(self.floors, -shift[:len(self.floors)]), self.exponents + shift

    def _measure(self, norms, bounds):
        """Norms and floors of a chunk: floor(q) = floor(q-1) growth(q) + rounding(q), growth being that of a random row."""
        own, lags = norms[:, :len(self.floors)], slice(self.done, self.done + len(norms))
        generic = np.maximum(np.vstack([self.norms, norms])[:, -1:] if not self.random else np.vstack([self.norms, norms]), 1e-250)
        rounding = ROUNDING * bounds[:, None] * np.vstack([self.norms[:len(self.floors)], own[:-1]])
        floors = generic[1:] * (self.floors / generic[0] + np.cumsum(rounding / generic[1:], axis=0))
        with np.errstate(divide="ignore"):
            logs = np.log10([own.T, floors.T]) + self.exponents[:len(self.floors), None] * np.log10(2.0)
        self.found[:, :, lags] = logs
        self.norms, self.floors, self.done = norms[-1], floors[-1], lags.stop

    def probes(self, cut):
        norm, floor = self.found[:, :, :self.done]
        return Probes(np.arange(1, self.done + 1), norm, floor, self.random, "truncated" if cut else "full")
