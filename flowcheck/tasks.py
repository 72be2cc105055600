"""The single checks of `verify` and the proofs of `derive`, for `jobs.in_order`.

Each says all that it needs in words (a cell's name, a file and a claim's number), so that any process can run it.
"""

import sys
import time
from contextlib import contextmanager, redirect_stdout
from functools import lru_cache
from pathlib import Path

from .places import place_of, what_it_says

__all__ = ["claims", "nearness", "prove", "verify_one"]


def verify_one(kind, *what):
    """([Check], seconds) of a cell ("cell", name, seed) or of a claim ("claim", paths, number, certified)."""
    start = time.perf_counter()
    checks = {"cell": _verify_cell, "claim": _verify_claim}[kind](*what)
    return checks, time.perf_counter() - start


def _verify_cell(name, seed):
    from .cells import get
    from .verify import check_cell

    return check_cell(get(name), seed=seed)


def _verify_claim(paths, number, certified):
    from .cells import catalogue
    from .verify.paper import check_claim

    claim = claims(*paths)[number]
    with _own_code(claim):
        return check_claim(claim, catalogue(), certified=certified)


@contextmanager
def _own_code(claim):
    """Run what a derivation file computes: what it prints goes to stderr; an error of its own becomes one line with its file and line."""
    try:
        with redirect_stdout(sys.stderr):
            yield
    except (KeyboardInterrupt, MemoryError, ValueError):
        raise
    except BaseException as error:
        from .claims import ClaimError

        place = place_of(error)
        if place is None:
            raise
        raise ClaimError(f"{place}: claim {claim.id}: {what_it_says(error)}") from error


def prove(paths, number):
    """Why the proof of one claim fails; nothing if it holds."""
    from .verify.paper import prove
    from .verify.result import Mismatch

    claim = claims(*paths)[number]
    with _own_code(claim):
        try:
            prove(claim)
        except Mismatch as broken:
            return broken.check.words
    return ""


def nearness(paths, number):
    """In words, how near flows come to the bounds of one claim: the largest ratios on random nets and where they are sought."""
    found = [c.words for c in _verify_claim(paths, number, False) if c.rung == "paper-meets-code"]
    return "; ".join(words.removeprefix("largest ratio of flow to bound: ") for words in found)


def claims(*paths):
    """{id: claim} of derivation files and folders, in order; they are run again only where a file beside them has changed.

    A claim that was proved in this process counts as proved from then on. Raises ClaimError as `claims.load` does.
    """
    files = [file for path in map(Path, paths) for file in sorted((path if path.is_dir() else path.parent).glob("*.py"))]
    return _loaded(paths, tuple((str(file.resolve()), file.stat().st_mtime_ns) for file in files))


@lru_cache(maxsize=4)
def _loaded(paths, _files):
    from .claims import load

    return {claim.id: claim for claim in load(*paths)}
