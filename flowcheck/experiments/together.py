"""Trials of one setting that learn at the same time, a lane of the compiled loops each. Every outcome is that of the trial alone."""

import time

from ..compiled.lanes import LANES, Lanes
from ..equations import EquationError
from .trials import Trial

__all__ = ["FEWEST", "run_together", "together"]

FEWEST = 4
"""Fewer trials than this are as fast one after the other."""
PATIENCE = 30.0
"""Seconds of learning before lanes are compiled, which takes ten to twenty: trials that are soon done do without."""


def together(setting):
    """Whether trials of a setting can learn in lanes: by the rule of 1997, with targets and changes at the ends of sequences only."""
    at_end = setting.experiment not in ("1", "2a", "2b") or setting.at_end
    return setting.method == "1997" and at_end and not setting.every_step and not setting.added_later


def run_together(setting, seeds):
    """Yield (seed, outcome) of the trials of these seeds, in the order in which they are done; outcomes as `run_trial` gives them.

    As many trials as there are lanes are under way at once; `cpu_seconds` and `seconds` are the share of each.
    """
    waiting, running, lanes, spent = list(seeds), [], None, 0.0
    while waiting or running:
        clock = time.process_time(), time.perf_counter()
        while waiting and len(running) < LANES:
            running.append(_Running(setting, waiting.pop(0)))
        if lanes is None and spent > PATIENCE:
            lanes = _lanes(running[0].trial.net)
        if lanes and len(running) >= FEWEST:
            found = lanes.run([r.trial.net for r in running], [r.sequences for r in running])
        else:
            found = [r.trial.learn(r.sequences) for r in running]
        for one, errors in zip(running, found, strict=True):
            one.go_on(errors)
        shares = [(now - then) / len(running) for now, then in zip((time.process_time(), time.perf_counter()), clock, strict=True)]
        spent += shares[0] * len(running)
        for one in running:
            one.cpu_seconds, one.seconds = one.cpu_seconds + shares[0], one.seconds + shares[1]
        for one in (r for r in running if r.outcome is not None):
            yield one.seed, one.outcome | {"cpu_seconds": round(one.cpu_seconds, 3), "seconds": round(one.seconds, 3)}
        running = [r for r in running if r.outcome is None]


def _lanes(net):
    """Compiled lanes for a net, or False where its kind cannot learn in lanes."""
    try:
        return Lanes(net)
    except EquationError:
        return False


class _Running:
    """A trial on its way: the sequences that it is to learn next, or its outcome."""

    def __init__(self, setting, seed):
        self.seed, self.trial, self.outcome = seed, Trial(setting, seed), None
        self.training, self.cpu_seconds, self.seconds = self.trial.training(), 0.0, 0.0
        self.go_on(None)

    def go_on(self, found):
        """Tell the trial what its net's errors were."""
        try:
            self.sequences = self.training.send(found)
        except StopIteration as stop:
            self.outcome = stop.value
