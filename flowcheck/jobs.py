"""Many calls at once: long ones in processes of this machine or on a Dask cluster, each result handed over when its call is done, with
the SQLite file that keeps them (`results`, `batches`, `database`); short ones in two processes, in their order (`in_order`).

A long call whose worker dies is made again alone; if its worker dies again, that is its error. Interrupts do not wait for what has not
begun. No result depends on the number of processes.
"""

import contextlib
import os
import signal
import sqlite3
import threading
import time
from concurrent.futures import CancelledError, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib.util import find_spec
from multiprocessing import get_all_start_methods, get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from queue import SimpleQueue

from .threads import one_blas_thread

__all__ = ["batches", "database", "in_order", "results"]

WORTH_A_PROCESS = 40
"""Fewer short calls than this are done before a second process has imported SymPy and read the derivations: some 3 s, 0.1 s a call."""

_PATIENCE = "10s"  # until a scheduler counts as absent
_TWICE = "its worker died twice; it may need more memory than there is"


def database(path, tables, *, application, held):
    """The SQLite connection of a file with these tables, made with its folder where it is not there; `application` (4 bytes) marks the
    file as ours.

    Raises ValueError where the file is another program's or no database; `held` says in words what was expected.
    """
    number, path = int.from_bytes(application), Path(path)
    new = not path.exists() or not path.stat().st_size
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path)
        if not new and connection.execute("PRAGMA application_id").fetchone()[0] != number:
            raise sqlite3.DatabaseError("it is another program's")
        with connection:
            mark = f"PRAGMA application_id = {number};" if new else ""  # a file that has its tables stays as it is, byte by byte
            connection.executescript(f"BEGIN; {mark} {tables} COMMIT;")
    except (OSError, sqlite3.Error) as error:
        raise ValueError(f"{path}: not a file of {held} ({error}); name another with --store") from error
    return connection


def in_order(call, arguments, workers=2):
    """Yield call(*arguments) for each tuple of arguments, in order, from up to `workers` processes with one BLAS thread each.

    Few are made in this process. Raises what a call raises.
    """
    workers = min(workers, os.cpu_count() or 1)
    if workers < 2 or len(arguments) < WORTH_A_PROCESS:
        yield from (call(*given) for given in arguments)
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(one_blas_thread,))
    try:
        for future in list(_submitted(pool, call, arguments)):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _submitted(executor, call, arguments):
    """{future: arguments} of calls handed to an executor.

    Processes that are started for it know nothing of interrupts until they `_begin`: one that is still importing would print where it was.
    """
    mask = getattr(signal, "pthread_sigmask", None)
    before = mask and mask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return {executor.submit(call, *given): given for given in arguments}
    finally:
        if mask:
            mask(signal.SIG_SETMASK, before)


def _begin(*setup):
    """What a worker process does first: an interrupt ends it from now on, without a word, and so does the end of its parent."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    for call in setup:
        call()


def _end_with_parent():
    """A parent that was killed tells nobody, and its workers would wait for calls for ever."""
    wait([parent_process().sentinel])
    os._exit(1)


def _stop(executor):
    """Begin nothing more, and wait for what has begun."""
    try:
        executor.shutdown(cancel_futures=True)
    except TypeError:  # a Dask client's executor, which has no such word: without waiting it cancels
        executor.shutdown(wait=False)


def results(call, arguments, scheduler="local", workers=None, needs=(), preload=()):
    """Yield (arguments, result or None, error or "") of call(*arguments) for every tuple of arguments, in the order in which they are done.

    scheduler   "local": processes of this machine, `workers` of them (its cores unless given); else the address of a Dask scheduler
    needs       modules that calls import, e.g. "numba"
    preload     modules that local processes have from the start: imported once for all of them, where processes can fork

    Raises ValueError where no scheduler answers, and before the first call where a worker of the cluster lacks a module. An error costs
    its call its result, not the others theirs.
    """
    with contextlib.closing(batches(call, arguments, scheduler, workers, needs, preload, within=0)) as found:
        for batch in found:
            yield from batch


def batches(call, arguments, scheduler="local", workers=None, needs=(), preload=(), within=0.05):
    """The same in lists, at most one list in `within` seconds: short calls may be done faster than one after the other is written down.

    No result waits longer than that for others.
    """
    waiting = list(arguments)
    with contextlib.ExitStack() as stack:
        attempts = _attempts(scheduler, workers, needs, preload, stack)
        while waiting and (attempt := next(attempts, None)):
            lost = []
            yield from _round(*attempt, call, waiting, lost, within)
            waiting = lost
    if waiting:
        yield [(given, None, _TWICE) for given in waiting]


def _attempts(scheduler, workers, needs, preload, stack):
    """Ways to make calls, the next for what the last left behind: each is (executor factory, calls at once)."""
    if scheduler != "local":
        try:
            from distributed import Client
        except ImportError:
            raise ValueError("a Dask scheduler needs the extra `distributed`: pip install 'distributed>=2024.4'") from None
        try:
            client = stack.enter_context(Client(scheduler, timeout=_PATIENCE))
        except (OSError, ValueError) as error:
            raise ValueError(f"no Dask scheduler answers at {scheduler} ({error}); start one, or use --scheduler local") from None
        for name in needs:
            _refuse_where_missing(client, scheduler, name)
        yield lambda: client.get_executor(), None
        return
    if preload and "forkserver" in get_all_start_methods():
        context = get_context("forkserver")
        context.set_forkserver_preload([*preload])
    else:
        context = get_context("spawn")
    yield lambda: ProcessPoolExecutor(workers, mp_context=context, initializer=_begin), None
    yield lambda: ProcessPoolExecutor(1, mp_context=context, initializer=_begin), 1


def _refuse_where_missing(client, scheduler, name):
    """Workers are asked by the standard library alone, so that one that lacks flowcheck can answer, too."""
    there = client.run(find_spec, name)
    lacking = [worker for worker, spec in there.items() if spec is None]
    if lacking:
        raise ValueError(f"{len(lacking)} of {len(there)} workers of {scheduler} lack the module {name}, the first at {lacking[0]}; "
                         "install it there, or use --scheduler local")


def _round(make, at_once, call, waiting, lost, within):
    """Yield batches of outcomes of what waits, `at_once` calls to an executor (all: None); adds to `lost` those whose worker died."""
    groups = [waiting] if at_once is None else [waiting[k:k + at_once] for k in range(0, len(waiting), at_once)]
    for group in groups:
        with make() as executor:
            try:
                futures = _submitted(executor, call, group)
                for done in _done_together(futures, within):
                    batch = []
                    for future in done:
                        try:
                            batch.append((futures[future], *_outcome(future)))
                        except BrokenProcessPool:
                            lost.append(futures[future])
                    yield batch
            except BaseException:
                _stop(executor)
                raise


def _done_together(futures, within):
    """Yield lists of futures that are done, the next not before `within` seconds after the last."""
    done, left, last = SimpleQueue(), len(futures), time.monotonic()
    for future in futures:
        future.add_done_callback(done.put)
    while left:
        batch = [done.get()]
        time.sleep(max(0, last + within - time.monotonic()))
        while not done.empty():
            batch.append(done.get())
        left, last = left - len(batch), time.monotonic()
        yield batch


def _outcome(future):
    """(result or None, error or ""). Raises BrokenProcessPool where the worker died."""
    try:
        return future.result(), ""
    except BrokenProcessPool:
        raise
    except CancelledError:
        reason = "the cluster went away before this was done; the same command does what is left"
    except (OSError, ValueError) as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001  (what a worker of a cluster died of, or a mistake of our own)
        reason = f"{type(error).__name__}: {error}"
    return None, " ".join(reason.split())
