"""Many calls at once: none is lost to a worker that dies, none costs another its result."""

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
