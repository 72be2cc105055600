"""Many calls at once: none is lost to a worker that dies, none costs another its result."""

import operator
from concurrent.futures import Future, ThreadPoolExecutor

import dying
import pytest

from flowcheck import jobs


def test_the_call_of_a_killed_worker_is_made_again(tmp_path):
    found = list(jobs.results(dying.once, [(str(tmp_path / "killed"), k) for k in range(6)], workers=2))
    assert (tmp_path / "killed").exists()
    assert sorted((given[1], result, error) for given, result, error in found) == [(k, 10 * k, "") for k in range(6)]


def test_a_call_that_always_kills_its_worker_and_one_that_fails_cost_only_themselves():
    found = {given[0]: (result, error) for given, result, error in jobs.results(dying.at_three, [(k,) for k in range(6)], workers=2)}
    assert found.pop(3) == (None, "its worker died twice; it may need more memory than there is")
    assert found.pop(4) == (None, "no four")
    assert found == {k: (10 * k, "") for k in (0, 1, 2, 5)}


def test_a_scheduler_that_does_not_answer_is_one_line(monkeypatch):
    pytest.importorskip("distributed", reason="a Dask cluster needs the extra distributed")
    monkeypatch.setattr(jobs, "_PATIENCE", "100ms")
    with pytest.raises(ValueError, match="no Dask scheduler answers at 127.0.0.1:1") as refused:
        list(jobs.results(dying.at_three, [(0,)], scheduler="127.0.0.1:1"))
    assert "\n" not in str(refused.value)


def test_results_come_in_the_order_of_the_calls_from_any_number_of_processes():
    calls = [(k, 2 * k) for k in range(jobs.WORTH_A_PROCESS + 3)]
    serial = list(jobs.in_order(operator.sub, calls, workers=1))
    assert serial == [-k for k in range(jobs.WORTH_A_PROCESS + 3)]
    assert list(jobs.in_order(operator.sub, calls, workers=2)) == serial


def test_workers_use_one_blas_thread_of_libraries_that_they_load_later(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    found = list(jobs.in_order(dying.blas_threads, [()] * jobs.WORTH_A_PROCESS, workers=2))
    assert found == [{1}] * jobs.WORTH_A_PROCESS


def test_an_error_of_a_call_comes_out():
    done = jobs.in_order(operator.floordiv, [(6, 3), *[(1, 0)] * jobs.WORTH_A_PROCESS], workers=2)
    assert next(done) == 2
    with pytest.raises(ZeroDivisionError):
        next(done)


def test_calls_that_are_done_at_once_come_together(monkeypatch):
    monkeypatch.setattr(jobs, "_attempts", lambda *_: iter([(lambda: ThreadPoolExecutor(1), None)]))
    calls = [(k, 1) for k in range(50)]
    found = list(jobs.batches(operator.sub, calls, within=0.2))
    assert len(found) < 5
    assert [outcome for batch in found for outcome in batch] == [(given, given[0] - 1, "") for given in calls]


def test_calls_that_a_lost_cluster_leaves_undone_say_so():
    """A Dask client cancels its futures when its scheduler is gone; its error is one of concurrent.futures."""
    future = Future()
    future.cancel()
    assert jobs._outcome(future) == (None, "the cluster went away before this was done; the same command does what is left")
