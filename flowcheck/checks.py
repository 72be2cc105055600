"""What `flowcheck verify` runs: cells, derivations and the user's own code, each check with its place in a source file."""

import time
from functools import partial
from pathlib import Path

from .report.outcome import Location, Outcome, target

__all__ = ["run_checks"]


def run_checks(targets, seed, progress):
    """The Outcome of the targets; of every cell and the paper's derivations without any.

    A target is a path of derivations, cell:NAME, or module:object. Raises ValueError, one line, for a target that is none of these.
    """
    from .cells import catalogue, get
    from .claims import load
    from .targets import derivations
    from .user_code import is_object_name

    cells = [get(t.removeprefix("cell:")) for t in targets if t.startswith("cell:")]
    others = [t for t in targets if not t.startswith("cell:")]
    objects = [t for t in others if is_object_name(t) and not Path(t).exists()]
    paths = [t for t in others if t not in objects]
    claims = load(*paths) if paths else []
    if not targets:
        cells, claims = [*catalogue().values()], load(derivations())
    jobs = [*((name, partial(_object, name, seed)) for name in objects), *((f"cell {c.name}", partial(_cell, c, seed)) for c in cells),
            *((f"equation {c.id}", partial(_claim, c)) for c in claims)]
    checks, locations, seconds, messages = [], {}, {}, {}
    for number, (words, job) in enumerate(jobs):
        progress(words, number, len(jobs))
        start = time.perf_counter()
        found, where, said = job()
        took = time.perf_counter() - start
        checks += found
        locations |= dict.fromkeys([c.id for c in found] if where else [], where)
        name = target(found[0])
        seconds[name] = seconds.get(name, 0.0) + took
        messages |= {name: said} if said else {}
    return Outcome(tuple(checks), locations, seconds, messages)


def _object(name, seed):
    from .user_code import check_object

    return check_object(name, seed=seed)


def _cell(cell, seed):
    from .verify import check_cell

    return check_cell(cell, seed=seed), _in_file(Path(__file__).parent / "cells" / f"{cell.name}.py", "CELL =", cell.name), ""


def _claim(claim):
    from .cells import catalogue
    from .verify.paper import check_claim

    return check_claim(claim, catalogue()), _in_file(Path(claim.source), f'"{claim.id}"', f"equation {claim.id}"), ""


def _in_file(path, words, name):
    """The first line of a file that has some words, or its first line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return Location(str(path), next((n for n, text in enumerate(lines, 1) if words in text), 1), name)
