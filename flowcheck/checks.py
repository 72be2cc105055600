"""What `flowcheck verify` runs: cells, derivations and the user's own code, each check with its place in a source file."""

import time
from pathlib import Path

from .report.outcome import Location, Outcome, target

__all__ = ["run_checks"]


def run_checks(targets, seed, progress, certified=False, power=False):
    """The Outcome of the targets; of every cell and the paper's derivations without any.

    A target is a path of derivations, cell:NAME, or module:object. Cells and claims are spread over processes, the user's objects
    run in this one; one of them that cannot be run is a failed check beside the others. Raises ValueError, one line, for a target that is
    none of these, or that is alone and cannot be run.
    """
    from .cells import catalogue, get
    from .jobs import in_order
    from .targets import derivations
    from .tasks import claims as loaded
    from .tasks import verify_one
    from .user_code import UserCodeError, is_object_name
    from .verify import Check

    names = [get(t.removeprefix("cell:")).name for t in targets if t.startswith("cell:")] if targets else [*catalogue()]
    others = [t for t in targets if not t.startswith("cell:")]
    objects = [t for t in others if is_object_name(t) and not Path(t).exists()]
    paths = tuple(t for t in others if t not in objects) if targets else (str(derivations()),)
    claims = loaded(*paths).values() if paths else []
    tasks = [*(("cell", name, seed) for name in names), *(("claim", paths, claim.id, certified) for claim in claims)]
    places = [*(_of_cell(name) for name in names), *(_of_claim(claim) for claim in claims)]
    checks, locations, seconds, messages, tables, errors = [], {}, {}, {}, {}, []

    def take(found, took, where=None, said="", power=None):
        name = target(found[0])
        checks.extend(found)
        locations.update(dict.fromkeys([c.id for c in found] if where else [], where))
        seconds[name] = seconds.get(name, 0.0) + took
        messages.update({name: said} if said else {})
        tables.update({name: str(power)} if power else {})
    for k, name in enumerate(objects):
        progress(name, k, len(objects) + len(tasks))
        try:
            take(*_object(name, seed, certified, power, lambda k, of, name=name: progress(f"{name}: mistake", k, of)))
        except UserCodeError as error:
            if len(objects) + len(tasks) == 1:
                raise
            errors.append(str(error))
            take([Check(f"{name}/run", "run", "fail", words=f"{name}: {str(error).removeprefix(f'{name}: ')}")], 0.0)
    for k, (found, took) in enumerate(in_order(verify_one, tasks)):
        progress(places[k].name, len(objects) + k + 1, len(objects) + len(tasks))
        take(found, took, places[k])
    return Outcome(tuple(checks), locations, seconds, messages, tables=tables, errors=tuple(errors))


def _object(name, seed, certified, power, progress):
    from .user_code import check_object

    start = time.perf_counter()
    found, where, said, table = check_object(name, seed=seed, certified=certified, power=power, progress=progress)
    return found, time.perf_counter() - start, where, said, table


def _of_cell(name):
    return _in_file(Path(__file__).parent / "cells" / f"{name}.py", "CELL =", name)


def _of_claim(claim):
    return _in_file(Path(claim.source), f'"{claim.id}"', f"equation {claim.id}")


def _in_file(path, words, name):
    """The first line of a file that has some words, or its first line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return Location(str(path), next((n for n, text in enumerate(lines, 1) if words in text), 1), name)
