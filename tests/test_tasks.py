"""Tasks over processes: the same results in the same order as in one, and errors come out."""

import operator
from pathlib import Path

import pytest

from flowcheck.tasks import WORTH_A_PROCESS, in_order, nearness


def test_results_come_in_the_order_of_the_tasks_from_any_number_of_processes():
    tasks = [(k, 2 * k) for k in range(WORTH_A_PROCESS + 3)]
    serial = list(in_order(operator.sub, tasks, workers=1))
    assert serial == [-k for k in range(WORTH_A_PROCESS + 3)]
    assert list(in_order(operator.sub, tasks, workers=2)) == serial


def test_an_error_of_a_task_comes_out():
    done = in_order(operator.floordiv, [(6, 3), *[(1, 0)] * WORTH_A_PROCESS], workers=2)
    assert next(done) == 2
    with pytest.raises(ZeroDivisionError):
        next(done)


def test_how_near_a_bound_is_reached_comes_in_words():
    words = nearness((str(Path(__file__).parent.parent / "derivations" / "fahlman1991_cascade_correlation.py"),), "RCC bound")
    random, sought = (float(part.split()[0]) for part in words.split(", "))
    assert 0.9 < random <= 1 and 0.9 < sought <= 1 + 1e-12 and words.endswith("by search")
