"""One trial: a net trained on one task until its stopping rule or its budget, then tested."""

import time
from dataclasses import replace

import numpy as np

from ..cells import get
from ..compiled.online import Online
from ..network import Layer, Network, Readout
from .adding import adding, multiplication
from .cascade import Cascade
from .chunker import Chunker
from .criteria import LARGEST, Recent, Streak, Strings, Tested, answers
from .long_lag import local_code, random_middle, very_long
from .nets import fully_recurrent_outputs, initial, with_outputs, without_output_gate
from .reber import as_sequences, two_sets
from .temporal_order import temporal_order
from .two_sequence import two_sequence

__all__ = ["Trial", "run_trial"]

EVERY = 100
"""Sequences between two looks at the stopping rule."""
TESTS = 2560
TOLERANCE = {"2a": 0.25, "2b": 0.25, "2c": 0.2, "3a": 0.2, "3b": 0.2, "3c": 0.1, "4": 0.04, "5": 0.04, "6a": 0.3, "6b": 0.3}
TESTED = ("3a", "3b", "3c", "4", "5", "6a", "6b")


def run_trial(setting, seed):
    """{"success", "sequences", "st1", "steps", "weights", "wrong", "mean_error", "cpu_seconds", "seconds"} of one trial.

    `sequences` were needed for success, or shown in vain; `wrong` and `mean_error` are those of 2560 new sequences. All but the last two,
    processor and wall time, follow from setting and seed. Raises ValueError for a setting that cannot be run.
    """
    return Trial(setting, seed).run()


class Trial:
    """A setting with a seed: its task, its net, its stopping rule; `run` it."""

    def __init__(self, setting, seed):
        self.setting, self.rng = setting, np.random.default_rng(seed)
        self.draw, self.draw_clean, self.inputs, self.outputs, self.stop = self._task()
        self.net, self.hidden = self._net()

    def run(self, look=lambda done: None):
        """The outcome, as `run_trial` gives it. `self.net` is the trained net; `look` is told now and then how many sequences it saw."""
        begin, started = time.process_time(), time.perf_counter()
        training, found = self.training(look), None
        try:
            while True:
                found = self.learn(training.send(found))
        except StopIteration as stop:
            outcome = stop.value
        return outcome | {"cpu_seconds": round(time.process_time() - begin, 3), "seconds": round(time.perf_counter() - started, 3)}

    def learn(self, sequences):
        """What the net's errors are while it learns some sequences, as `Online.run` gives them."""
        return self.net.run(sequences, learn=self.setting.method != "guessing")

    def training(self, look=lambda done: None):
        """A generator of the sequences to learn, which is sent what `learn` made of them; its value is the outcome, but for the times."""
        done, steps, solved, weights = self._grow() if self.setting.method == "rcc" else (yield from self._train(look))
        wrong, mean_error = None, None
        if self.setting.experiment in TESTED and solved is not None:
            wrong, mean_error = answers(self.net, self.draw_clean(TESTS), TOLERANCE[self.setting.experiment])
        return {"success": solved is not None, "sequences": done if solved is None else int(solved),
                "st1": getattr(self.stop, "first", None), "steps": steps, "weights": weights, "wrong": wrong,
                "mean_error": mean_error}

    def _train(self, look):
        """(sequences shown, steps, sequences until success or None, weights), sequence by sequence."""
        s, done, steps, solved = self.setting, 0, 0, None
        outputs_alone = _Falling() if s.added_later else None
        while done < s.budget and solved is None:
            sequences = self.draw(min(EVERY, s.budget - done))
            found = yield sequences
            done, steps = done + len(sequences), steps + len(sequences.x)
            if outputs_alone and not outputs_alone.falls(found):
                outputs_alone = self._add_hidden()
            solved = self.stop.solved(found, self.net)
            look(done)
            if s.method == "guessing" and solved is None and not found[:, LARGEST].max() < TOLERANCE[s.experiment]:
                self.net.params, self.stop.streak = self._initial()[0], 0
        return done, steps, solved, len(self.net.free_w)

    def _grow(self):
        """The same for a net that all training sequences are shown to in every epoch, until it has all its units."""
        done, steps, solved, known = 0, 0, None, self.stop.sets[0][0]
        for changed in self.net.grow(self.setting.units):
            done, steps = done + len(known), steps + len(known.x)
            solved = self.stop.solved(np.empty(len(known)), self.net) if changed else None
            if solved is not None or done >= self.setting.budget:
                break
        return done, steps, solved and done, self.net.weights

    def network(self):
        """The net as it is now: a layer of cells and its read-out. For the method of 1997 with outputs that see the cells only."""
        params = self.net.params
        readout = Readout("outputs", params.pop("W_k_y"), params.pop("b_k"))
        return Network("", (Layer("cells", get("lstm1997"), params, gate_order="gates by name"),), readout=readout)

    def _task(self):
        """(draw, draw without noise on the targets, inputs, outputs, stopping rule)."""
        s, rng = self.setting, self.rng
        e, tolerance = s.experiment, TOLERANCE.get(s.experiment)
        if e == "1":
            sets = two_sets(rng, drawn=s.drawn)
            known = as_sequences(sets[0])
            draw = lambda count: known.take(rng.integers(0, len(known), count))  # noqa: E731
            return draw, draw, 7, 7, Strings(*sets)
        if e.startswith("3"):
            noise = {"noisy_signal": e == "3b", "noisy_targets": e == "3c"}
            draw = lambda count: two_sequence(rng, count, s.T, s.N, **noise)  # noqa: E731
            clean = lambda count: _with_targets(*draw(count))  # noqa: E731
            stop = Tested(clean, tolerance, {"3a": 0.01, "3b": 0.04, "3c": 0.015}[e], wrong=5 if e == "3b" else 0)
            return lambda count: draw(count)[0], clean, 1, 1, stop
        source, sizes, outputs = {
            "2a": (local_code, (s.p,), s.p + 1), "2b": (random_middle, (s.p, s.at_end), s.p + 1), "2c": (very_long, (s.q, s.p), 2),
            "4": (adding, (s.T,), 1), "5": (multiplication, (s.T,), 1), "6a": (temporal_order, (e,), 4), "6b": (temporal_order, (e,), 8)}[e]
        draw = lambda count: source(rng, count, *sizes)  # noqa: E731
        inputs = {"2a": s.p + 1, "2b": s.p + 1, "2c": s.p + 4, "4": 2, "5": 2}.get(e, 8)
        stop = {
            "2a": lambda: Streak(tolerance, column=LARGEST), "2b": lambda: Streak(tolerance), "2c": lambda: Streak(tolerance),
            "4": lambda: Recent(tolerance, 0.01, 1, window=s.window), "5": lambda: Recent(tolerance, np.inf, 1, wrong=s.n_seq - 1),
        }.get(e, lambda: Recent(tolerance, 0.1, outputs, window=s.window))()
        return draw, draw, inputs, outputs, stop

    def _net(self):
        """(Online net, {parameter: mask} of hidden weights that wait until they are added)."""
        s = self.setting
        if s.method == "rcc":
            if s.experiment != "1":
                raise ValueError(f"recurrent cascade correlation is built for experiment 1, not for {s.experiment}")
            return Cascade(self.stop.sets[0][0], self.inputs, self.rng), None
        if s.method == "chunker":
            if s.experiment not in ("2a", "2b"):
                raise ValueError(f"the neural sequence chunker is built for experiments 2a and 2b, not for {s.experiment}")
            return Chunker(self.inputs, s.alpha, s.reach, self.rng), None
        params, frozen = self._initial()
        method = "1997" if s.method == "guessing" else s.method
        net = Online(self._cell(), params, method=method, one_hot=s.experiment[0] in "126", alpha=s.alpha, every_step=s.every_step,
                     enter=s.enter, frozen=frozen)
        if s.added_later:
            waiting = {name for name in params if name != "W_k_x"}
            net.params = params | {name: np.zeros_like(params[name]) for name in waiting}
            net.freeze(frozen | dict.fromkeys(waiting, True))
            return net, (params, frozen, waiting)
        return net, None

    def _cell(self):
        s = self.setting
        if s.method in ("1997", "guessing"):
            return without_output_gate() if s.experiment in ("2a", "2b") else with_outputs(get("lstm1997"), linear=s.output == "linear")
        if s.experiment == "1" and s.method == "rtrl":
            return fully_recurrent_outputs()
        return with_outputs(get("conventional"), inputs=s.experiment in ("2a", "2b"))

    def _initial(self):
        s = self.setting
        fixed = {name: values for name, values in (("b_in", s.input_gates), ("b_out", s.output_gates)) if values}
        return initial(self._cell(), {"units": s.units, "inputs": self.inputs, "outputs": self.outputs}, self.rng, s.reach, blocks=s.blocks,
                       biases=s.biases, fixed=fixed, recurrent=s.recurrent)

    def _add_hidden(self):
        params, frozen, waiting = self.hidden
        self.net.params = self.net.params | {name: params[name] for name in waiting}
        self.net.freeze(frozen)


def _with_targets(sequences, final):
    """Sequences with other targets at their ends."""
    target = sequences.target.copy()
    target[sequences.starts[1:] - 1, 0] = final
    return replace(sequences, target=target)


class _Falling:
    """Whether the mean error of a hundred sequences is still below that of the hundred before."""

    def __init__(self):
        self.before = np.inf

    def falls(self, found):
        now = found[:, 2].mean()
        falls, self.before = now < self.before * (1 - 0.01), now
        return falls
