"""A Dask cluster of two processes gives the rows of one process; a worker that lacks a module is named before anything is run."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

import flowcheck
from flowcheck import jobs
from flowcheck.cli import main
from flowcheck.experiments.reproduce import Trials, reproduce
from flowcheck.experiments.settings import Setting
from flowcheck.formats import write_npz
from flowcheck.network import fresh
from flowcheck.runs import Settings, Store, measure_many

SMALL = Setting("2c", q=50, p=50, units=2, blocks=2, alpha=1.0, reach=0.2, budget=300)  # the net that test_reproduce.py compiles, too
HIDE = "import sys; sys.hidden = sys.modules.get('numba'); sys.modules['numba'] = None"
SHOW = "import sys; sys.modules.pop('numba'); sys.hidden and sys.modules.update(numba=sys.hidden)"


@pytest.fixture(scope="module")
def address():
    distributed = pytest.importorskip("distributed", reason="a Dask cluster needs the extra distributed")
    options = dict(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1")
    with distributed.LocalCluster(**options) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def here():
    """A context in which calls run in this process."""
    with pytest.MonkeyPatch.context() as patch:
        yield lambda: patch.setattr(jobs, "_attempts", lambda *_: iter([(lambda: ThreadPoolExecutor(1), None)]))


def rows(path, columns, table):
    return sqlite3.connect(path).execute(f"SELECT {columns} FROM {table} ORDER BY key").fetchall()


def test_nets_are_measured_alike(address, here, tmp_path):
    nets = [str(tmp_path / f"step{seed}.npz") for seed in range(6)]
    for seed, path in enumerate(nets):
        write_npz(fresh(flowcheck.catalogue()["lstm" if seed % 2 else "gru"], 3 + seed, 2, seed), path)
    measure_many(nets, Settings(lags=12), Store(tmp_path / "cluster.sqlite"), scheduler=address)
    here()
    measure_many(nets, Settings(lags=12), Store(tmp_path / "alone.sqlite"))
    assert rows(tmp_path / "cluster.sqlite", "*", "nets") == rows(tmp_path / "alone.sqlite", "*", "nets")


def test_trials_come_out_alike(address, here, tmp_path):
    pytest.importorskip("numba", reason="the loops are compiled by Numba")
    columns = "key, setting, seed, error, success, sequences, st1, steps, weights, wrong, mean_error"
    reproduce([SMALL], range(4), Trials(tmp_path / "cluster.sqlite"), scheduler=address)
    here()
    reproduce([SMALL], range(4), Trials(tmp_path / "alone.sqlite"))
    found = rows(tmp_path / "cluster.sqlite", columns, "trials")
    assert found == rows(tmp_path / "alone.sqlite", columns, "trials") and len(found) == 4


def test_a_worker_without_numba_is_named_and_nothing_is_run(address, tmp_path, capsys):
    from distributed import Client

    store = tmp_path / "s.sqlite"
    with Client(address) as client:
        client.run(exec, HIDE, workers=[sorted(client.scheduler_info()["workers"])[1]])
        try:
            with pytest.raises(SystemExit) as stop:
                main(["reproduce", "2c", "--q", "4", "--p", "3", "--budget", "300", "--store", str(store), "--scheduler", address])
        finally:
            client.run(exec, SHOW, workers=[sorted(client.scheduler_info()["workers"])[1]])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"1 of 2 workers of {address} lack the module numba" in line
    assert not rows(store, "key", "trials")
