"""A case: several ways to the same numbers. All must agree first; then they are timed in turn, round after round, the least time counts."""

import time
from dataclasses import dataclass, field

import numpy as np

__all__ = ["Case", "Way", "run_case", "run_seconds"]

LONG_ENOUGH, MOST_RUNS = 0.2, 1000
"""Seconds that runs are repeated for, to be timed together."""


@dataclass(frozen=True)
class Way:
    """`run` returns the numbers to compare (None: nothing to compare); `factor` scales the time where only a part of the work is done.

    `limited`: the limit of the case holds for it, as it does not for one that gets the same numbers by far less work.
    """

    run: callable
    factor: float = 1.0
    limited: bool = True


@dataclass(frozen=True)
class Case:
    """name; ways {name: Way or function}, the first is flowcheck's; `limit`: a Way whose time the least work takes as fast as the machine
    can, e.g. as many products of matrices by BLAS. It is timed in turn with the others.

    `agree` is the largest difference allowed, in the numbers that the ways return (log10 norms as a rule). `wall` times by the clock on the
    wall instead of CPU seconds, for more than one thread.
    """

    name: str
    ways: dict
    limit: Way | None = None
    agree: float = 1e-9
    wall: bool = False
    setup: object = field(default=None, compare=False)
    rounds: int = 3


def run_case(case, rounds, progress):
    """[row] of a case, timed in so many rounds. Raises SystemExit where the ways disagree: nothing of the case is timed then."""
    ways = {name: way if isinstance(way, Way) else Way(way) for name, way in case.ways.items()}
    reference, peaks = None, {}
    for name, way in ways.items():
        progress(f"{case.name}: checking {name}")
        found, peaks[name] = _peak(way.run)
        if reference is None:
            reference = found
        elif found is not None:
            difference = float(np.abs(np.asarray(found) - reference).max())
            if not difference < case.agree:
                raise SystemExit(f"{case.name}: {name} differs from {next(iter(ways))} by {difference:.1e}; nothing was timed")
    limits, times, clock = [], {name: [] for name in ways}, time.perf_counter if case.wall else time.process_time
    for k in range(rounds):
        for name, way in ways.items():
            if k and times[name][0] > 20:
                continue  # one run of half a minute is as good as three
            progress(f"{case.name}: timing {name}, round {k + 1}")
            times[name].append(run_seconds(way.run, clock))
        if case.limit:
            limits.append(run_seconds(case.limit.run, clock) * case.limit.factor)
    floor = min(limits, default=None)
    seconds = {name: min(t) * ways[name].factor for name, t in times.items()}
    ours, *others = seconds
    best = min((seconds[name] for name in others if not name.startswith("flowcheck")), default=None)
    rows = [{
        "case": case.name, "way": name, "seconds": s, "extrapolated": ways[name].factor != 1.0, "clock": "wall" if case.wall else "cpu",
        "best_alternative_over_this": None, "best_alternative_over_limit": None, "ratio_to_flowcheck": s / seconds[ours],
        "share_of_limit": floor / s if floor and ways[name].limited else None, "peak_bytes": peaks[name],
    } for name, s in seconds.items()]
    if best:
        rows[0] |= {"best_alternative_over_this": best / seconds[ours], "best_alternative_over_limit": floor and best / floor}
    return rows


def run_seconds(run, clock):
    """Seconds of one run: the mean over LONG_ENOUGH. CPU seconds of the threads that a library keeps are booked late: of a single run of
    a millisecond they may be missing, and counted in the next."""
    start, runs = clock(), 0
    while True:
        run()
        runs, taken = runs + 1, clock() - start
        if taken > LONG_ENOUGH or runs == MOST_RUNS:
            return taken / runs


def _peak(run):
    """(result, bytes by which this process grew at most during the run, None where the system does not say)."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        before = _status("VmRSS")
        found = run()
        return found, max(_status("VmHWM") - before, 0)
    except OSError:
        return run(), None


def _status(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(key))
