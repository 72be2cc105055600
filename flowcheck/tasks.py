"""The single checks of `verify` and the proofs of `derive`, spread over a few processes; results come in the order of the tasks.

Each task is small and says all that it needs in words (a cell's name, a file and a claim's number), so that every start method of
processes can run it. The numbers do not depend on how many processes there are.
"""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

__all__ = ["in_order", "nearness", "prove", "verify_one"]

WORKERS = 2
WORTH_A_PROCESS = 40
"""Fewer tasks than this are done before a second process has imported SymPy and read the derivations: some 3 s, 0.1 s a task."""


def in_order(function, tasks, workers=None):
    """Yield function(*task) for each task, in order; `workers` processes, as many as there are cores up to two by default."""
    workers = min(workers or WORKERS, os.cpu_count() or 1)
    if workers < 2 or len(tasks) < WORTH_A_PROCESS:
        yield from (function(*task) for task in tasks)
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_blas_thread)
    try:
        for future in [pool.submit(function, *task) for task in tasks]:
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _one_blas_thread():
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="blas")


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

    return check_claim(_claims(paths)[number], catalogue(), certified=certified)


def prove(paths, number):
    """Why the proof of one claim fails; nothing if it holds."""
    from .verify.paper import prove
    from .verify.result import Mismatch

    try:
        prove(_claims(paths)[number])
    except Mismatch as broken:
        return broken.check.words
    return ""


def nearness(paths, number):
    """In words, how near flows come to the bounds of one claim: the largest ratios on random nets and where they are sought."""
    found = [c.words for c in _verify_claim(paths, number, False) if c.rung == "paper-meets-code"]
    return "; ".join(words.removeprefix("largest ratio of flow to bound: ") for words in found)


def _claims(paths):
    """{number: claim} of files and folders, loaded again where one has changed."""
    files = [file for path in map(Path, paths) for file in (sorted(path.glob("*.py")) if path.is_dir() else [path])]
    return _loaded(paths, tuple((str(file.resolve()), file.stat().st_mtime_ns) for file in files))


@lru_cache(maxsize=1)
def _loaded(paths, _files):
    from .claims import load

    return {claim.id: claim for claim in load(*paths)}
