"""Nets that learn in lanes learn what each learns alone, to the last bit; trials that learn together have the outcomes of trials alone."""

import copy
import re
from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest

from flowcheck import EquationError, jobs
from flowcheck.compiled import lanes as compiled_lanes
from flowcheck.compiled.lanes import Lanes
from flowcheck.compiled.online import Online
from flowcheck.experiments import reproduce as reproducing
from flowcheck.experiments import together, trials
from flowcheck.experiments.reproduce import Trials, reproduce
from flowcheck.experiments.settings import Setting
from flowcheck.experiments.tables import rows
from flowcheck.experiments.trials import Trial, run_trial

SETTINGS = {
    "one-hot": Setting("2c", q=4, p=3, units=2, blocks=2, alpha=0.5, reach=0.2, budget=8),
    "dense, biases": replace(rows("4")[0].setting, T=20, budget=8),
    "blocks of two": Setting("2c", q=4, p=3, units=4, blocks=2, alpha=0.5, reach=0.2, budget=8, recurrent=False),
    "no output gate": Setting("2b", p=4, alpha=1.0, reach=0.2, budget=8, at_end=True),
}
SMALL = SETTINGS["one-hot"]


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    """Nothing is compiled: the same loops, without the compiler's seconds."""
    monkeypatch.setattr(trials, "Online", partial(Online, interpreted=True))
    monkeypatch.setattr(together, "Lanes", partial(Lanes, lanes=4, interpreted=True))
    monkeypatch.setattr(together, "LANES", 4)
    monkeypatch.setattr(together, "PATIENCE", -1.0)
    monkeypatch.setattr(trials, "EVERY", 4)


@cache
def trial(setting, seed):
    """Printed once."""
    return Trial(setting, seed)


def fresh(net):
    """The same net with weights of its own."""
    found = copy.copy(net)
    found.w, found.w_back = net.w.copy(), net.w_back.copy()
    return found


def assert_alike(setting, lanes=3):
    """Nets in lanes, fewer than there are lanes and with sequences of different number and length, against nets alone."""
    built = [trial(setting, seed) for seed in range(lanes - 1)]
    nets, twins = ([fresh(b.net) for b in built] for _ in range(2))
    loops = Lanes(nets[0], lanes, interpreted=True)
    for _ in range(2):
        sequences = [b.draw(1 + k) for k, b in enumerate(built)]
        found = loops.run(nets, sequences)
        for twin, some, errors in zip(twins, sequences, found, strict=True):
            np.testing.assert_array_equal(twin.run(some), errors)
    for one, twin, b in zip(nets, twins, built, strict=True):
        np.testing.assert_array_equal(one.w, twin.w)
        np.testing.assert_array_equal(one.w_back, twin.w_back)
        assert (one.w != b.net.w).any()


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_nets_in_lanes_learn_what_they_learn_alone(setting):
    assert together.together(setting)
    assert_alike(setting)


@pytest.mark.parametrize(("right", "wrong"), [
    (r" p\[lane\] = 0.0", " p[lane] += 0.0"), (r"\[v \* LANES \+ lane\] = 0.0", "[v * LANES + lane] += 0.0"),
    (r"take\(x\[at\[lane\] \+ q\]", "take(x[at[lane]]"), (r"number\[lane\] \+= 1\n", "number[lane] += 1\n            at[lane] += 1\n"),
], ids=["derivatives kept", "states kept", "input of another step", "a step left out"])
def test_a_planted_mistake_shows(right, wrong, monkeypatch):
    load = compiled_lanes.load

    def planted(title, source, *rest):
        changed = re.sub(right, wrong, source)
        assert changed != source
        return load(title, changed, *rest)

    monkeypatch.setattr(compiled_lanes, "load", planted)
    with pytest.raises(AssertionError):
        assert_alike(SMALL)


def test_what_has_no_lanes_is_refused_or_learns_alone(monkeypatch):
    assert not together.together(replace(SMALL, every_step=True)) and not together.together(replace(SMALL, method="bptt"))
    assert not together.together(rows("1")[-1].setting) and not together.together(rows("2a")[-1].setting)
    with pytest.raises(EquationError, match="changes at the ends of sequences"):
        Lanes(Trial(replace(SMALL, every_step=True), 0).net, interpreted=True)
    net = fresh(trial(SMALL, 0).net)
    with pytest.raises(ValueError, match="a target at their last step only"):
        Lanes(net, interpreted=True).run([net], [replace(s := trial(SMALL, 0).draw(2), has_target=np.ones(len(s.x), bool))])
    large = Setting("2b", p=70, alpha=1.0, reach=0.2, budget=1, at_end=True)
    with pytest.raises(EquationError, match="no lanes for"):
        Lanes(Trial(large, 0).net, interpreted=True)
    assert [seed for seed, _ in together.run_together(large, [7])] == [7]


def untimed(outcome):
    return {**outcome, "cpu_seconds": None, "seconds": None}


def test_trials_together_have_the_outcomes_of_trials_alone(monkeypatch):
    """More of them than lanes; one is solved early, and a lane goes on with the next seed."""
    sizes, right = [], Lanes.run
    monkeypatch.setattr(Lanes, "run", lambda self, nets, sequences: sizes.append(len(nets)) or right(self, nets, sequences))
    monkeypatch.setattr(trials.Streak, "solved", lambda self, found, net: int(1e6 * found.max()) % 2 or None)
    found = dict(together.run_together(SMALL, range(5)))
    assert sorted(found) == list(range(5)) and max(sizes) == 4 and 0 < len(sizes) < 4
    assert len({outcome["success"] for outcome in found.values()}) == 2
    for seed, outcome in found.items():
        assert untimed(outcome) == untimed(run_trial(SMALL, seed)) and outcome["cpu_seconds"] > 0 and outcome["seconds"] > 0


@pytest.fixture
def here(monkeypatch):
    from concurrent.futures import ThreadPoolExecutor

    pytest.importorskip("numba", reason="trials are not started without it")
    monkeypatch.setattr(jobs, "_attempts", lambda *_: iter([(lambda: ThreadPoolExecutor(1), None)]))


def test_an_interrupt_loses_no_finished_trial_of_those_that_learn_together(here, tmp_path, monkeypatch):
    store, told = Trials(tmp_path / "s.sqlite"), []

    def interrupted(setting, seeds):
        told.append(seeds)
        for seed in seeds:
            if seed == 2 and len(told) == 1:
                raise KeyboardInterrupt
            yield seed, {"success": True, "sequences": 100 + seed}

    monkeypatch.setattr(reproducing, "run_together", interrupted)
    monkeypatch.setattr(reproducing, "FEWEST", 2)
    with pytest.raises(KeyboardInterrupt):
        reproduce([SMALL], range(4), store, workers=1)
    assert [bool(store.outcome(SMALL, seed)) for seed in range(4)] == [True, True, False, False]
    found = reproduce([SMALL], range(4), store, workers=1)[SMALL]
    assert told == [[0, 1, 2, 3], [2, 3]] and [t["sequences"] for t in found] == [100, 101, 102, 103]


def test_an_error_is_that_of_every_trial_that_it_left_undone(here, tmp_path, monkeypatch):
    def broken(setting, seeds):
        yield seeds[0], {"success": True}
        raise MemoryError("no room")

    monkeypatch.setattr(reproducing, "run_together", broken)
    found = reproduce([SMALL], range(4), Trials(tmp_path / "s.sqlite"), workers=1)[SMALL]
    assert [t["error"] for t in found] == ["", *["MemoryError: no room"] * 3]


@pytest.mark.parametrize(("count", "workers", "parts"), [(10, 2, [5, 5]), (9, 2, [5, 4]), (7, 2, [1] * 7), (4, 1, [4])])
def test_trials_learn_together_where_every_worker_has_enough(count, workers, parts):
    settings = [SMALL, replace(SMALL, every_step=True)]
    found = reproducing._parts([(s, seed) for s in settings for seed in range(count)], run_trial, "local", workers)
    assert [len(seeds) for s, seeds in found if s == SMALL] == parts and [len(seeds) for s, seeds in found if s != SMALL] == [1] * count
    assert sorted(seed for s, seeds in found if s == SMALL for seed in seeds) == list(range(count))
