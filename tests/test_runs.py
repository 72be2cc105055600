"""Many nets into one SQLite file: the same rows however they are computed, and none lost."""

import contextlib
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import flowcheck
from flowcheck import jobs, runs
from flowcheck.cli import main
from flowcheck.detectors import context
from flowcheck.formats import write_npz
from flowcheck.network import fresh
from flowcheck.report import documents
from flowcheck.report.text import _told_apart, runs_text
from flowcheck.runs import Settings, Store, measure_many

SETTINGS = Settings(lags=12)


@pytest.fixture
def nets(tmp_path):
    """Six small LSTMs and GRUs in files."""
    cells, paths = flowcheck.catalogue(), []
    for seed in range(6):
        network = fresh(cells["lstm" if seed % 2 else "gru"], 3 + seed, 2, seed)
        paths.append(str(tmp_path / f"step{seed}.npz"))
        write_npz(network, paths[-1])
    return paths


@pytest.fixture
def in_process(monkeypatch):
    """Calls run in this process: what a test says of rows does not depend on where they are computed."""
    monkeypatch.setattr(jobs, "_attempts", lambda *_: iter([(lambda: ThreadPoolExecutor(1), None)]))


def rows_of(path):
    return sqlite3.connect(path).execute("SELECT * FROM nets ORDER BY key").fetchall()


@pytest.fixture
def alone(nets, tmp_path):
    """The store of the nets, measured one after the other in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "_attempts", lambda *_: iter([(lambda: ThreadPoolExecutor(1), None)]))
        measure_many(nets, SETTINGS, Store(tmp_path / "alone.sqlite"), workers=1)
    return tmp_path / "alone.sqlite"


def test_one_process_and_two_workers_give_the_same_rows(nets, alone, tmp_path, sharing_imports):
    one, two = alone, tmp_path / "2.sqlite"
    measure_many(reversed(nets), SETTINGS, Store(two), workers=2)
    assert rows_of(one) == rows_of(two)
    assert len(rows_of(one)) == len(nets)
    documents_ = [json.loads(row[4]) for row in rows_of(one)]
    assert len({tuple(f["log10_norm"]) for d in documents_ for f in d["flows"]}) > len(nets)


def test_a_row_is_what_measuring_the_net_alone_gives(nets, tmp_path, in_process):
    store = Store(tmp_path / "s.sqlite")
    (net, error, document), = measure_many(nets[:1], SETTINGS, store, workers=1)
    assert (net, error) == (nets[0], "")
    assert document == runs.measured(nets[0], SETTINGS)


def test_an_interrupted_run_goes_on_where_it_stopped(nets, tmp_path, in_process, monkeypatch):
    path, whole = tmp_path / "s.sqlite", tmp_path / "whole.sqlite"
    measure_many(nets, SETTINGS, Store(whole), workers=1)

    def interrupt(words, done, total):
        if done == 3:
            raise KeyboardInterrupt

    measured = runs.measured
    monkeypatch.setattr(runs, "measured", lambda *given: time.sleep(0.06) or measured(*given))  # else all are done at once
    with pytest.raises(KeyboardInterrupt):
        measure_many(nets, SETTINGS, Store(path), workers=1, progress=interrupt)
    before = rows_of(path)
    assert 3 <= len(before) < 6
    again = []
    measure_many(nets, SETTINGS, Store(path), workers=1, progress=lambda words, done, total: again.append(words))
    assert len(again) == 6 - len(before)
    assert rows_of(path) == rows_of(whole)
    monkeypatch.setattr(jobs, "_round", None)  # nothing is left to run
    measure_many(nets, SETTINGS, Store(path))


def test_rows_are_on_the_disk_when_their_nets_are_said_to_be_done(nets, tmp_path, in_process):
    path, found = tmp_path / "s.sqlite", []
    measure_many(nets, SETTINGS, Store(path), workers=1, progress=lambda words, done, total: found.append((done, len(rows_of(path)))))
    assert [done for done, _ in found] == [1, 2, 3, 4, 5, 6]
    assert all(there >= done for done, there in found)


def test_no_row_waits_for_the_next_net(nets, tmp_path, in_process, monkeypatch):
    path, seen = tmp_path / "s.sqlite", []
    first, measured = nets[0], runs.measured

    def slow(net, settings):
        """The second net is not done before the row of the first can be read, and the file written by others."""
        deadline = time.monotonic() + 20
        while net != first and not (seen or time.monotonic() > deadline):
            seen.extend(rows_of(path))
            time.sleep(0.01)
        with contextlib.closing(sqlite3.connect(path, timeout=0)) as other, other:
            other.execute("BEGIN IMMEDIATE")
        return measured(net, settings)

    monkeypatch.setattr(runs, "measured", slow)
    rows = measure_many(nets[:2], SETTINGS, Store(path), workers=1)
    assert [row[1] for row in seen] == [first]
    assert not rows.errors()


def test_rows_are_read_one_at_a_time_under_the_names_given(nets, tmp_path, in_process):
    copy, bad = tmp_path / "copy.npz", tmp_path / "bad.npz"
    copy.write_bytes(Path(nets[0]).read_bytes())
    bad.write_bytes(b"no net")
    store = Store(tmp_path / "s.sqlite")
    measure_many(nets[:1], SETTINGS, store, workers=1)
    rows = measure_many([*nets[:2], str(copy), str(bad)], SETTINGS, store, workers=1)
    assert [net for net, *_ in rows] == [*nets[:2], str(copy), str(bad)]
    assert rows[2][2]["flows"] == rows[0][2]["flows"] != rows[1][2]["flows"], "a row of its own, of its own name"
    assert [row[2] and row[2]["net"]["source"] for row in rows] == [*nets[:2], str(copy), None]
    assert [*rows.errors()] == [str(bad)]
    shown = {net: (flows, findings) for net, flows, findings, *_ in rows.summaries()}
    assert [*shown] == [*nets[:2], str(copy)]
    for net, _, document in rows[:3]:
        (flow,), findings = shown[net]
        expected = document["flows"][0]
        assert findings is None
        assert flow.pop("last_lag") == expected["lags"][-1] == 12
        assert flow == {name: expected.get(name) for name in flow}


@pytest.mark.parametrize("change", [{"lags": 13}, {"seed": 1}], ids=["lags", "seed"])
def test_other_settings_and_changed_files_are_measured_again(nets, tmp_path, in_process, change):
    path = tmp_path / "s.sqlite"
    measure_many(nets[:2], SETTINGS, Store(path), workers=1)
    measure_many(nets[:2], Settings(**({"lags": 12} | change)), Store(path), workers=1)
    assert len(rows_of(path)) == 4
    write_npz(fresh(flowcheck.catalogue()["gru"], 3, 2, 99), nets[0])
    measure_many(nets[:2], SETTINGS, Store(path), workers=1)
    assert len(rows_of(path)) == 5


def test_the_command_writes_store_table_and_json(nets, tmp_path, in_process, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    bad = tmp_path / "bad.npz"
    bad.write_bytes(Path(nets[0]).read_bytes()[:100])
    with pytest.raises(SystemExit) as stop:
        main(["measure", *nets, str(bad), "--lags", "12", "--workers", "1"])
    printed = capsys.readouterr().out
    assert stop.value.code == 2
    assert printed.count("bad.npz: ") == 1
    assert "6 of 7 nets measured" in printed
    assert max(map(len, printed.splitlines())) <= 80
    with pytest.raises(SystemExit) as stop:
        main(["measure", *nets, "--lags", "12", "--format", "json"])
    assert stop.value.code == 0
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, documents.schema("flowcheck.runs/1"))
    database = sqlite3.connect("flowcheck.sqlite")
    rates = dict(database.execute("SELECT net, rate_per_step FROM flows WHERE quantity = 'state-to-state' AND gradient = 'full'"))
    assert rates == {n["net"]: n["document"]["flows"][0]["rate_per_step"] for n in document["nets"]}


def test_the_table_says_what_was_measured_on_and_what_was_assumed(nets, tmp_path, in_process, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng, plain = np.random.default_rng(0), []
    for k in range(12):
        name = "enc" if k < 3 else f"rnn{k}"
        plain.append(f"plain{k}.npz")
        np.savez(plain[-1], **{f"{name}.weight_ih_l0": rng.normal(size=(4, 2)), f"{name}.weight_hh_l0": rng.normal(size=(4, 4))})

    def shown(*arguments):
        with pytest.raises(SystemExit):
            main(["measure", *arguments, "--workers", "1"])
        printed = capsys.readouterr()
        assert max(map(len, printed.out.splitlines())) <= 80
        return " ".join(printed.out.split()), printed.err

    words, said = shown(*plain[:3], nets[0], "--lags", "12")
    assert "state-to-state flow on unit-variance noise, seed 0; rates" in words
    assert said == "no inputs given: measuring on unit-variance noise\n"
    assert words.count("plain0.npz and 2 more: enc: nonlinearity tanh assumed") == words.count("tanh assumed") == 1
    np.save("x.npy", rng.normal(size=(2, 40, 2)))
    words, said = shown(*plain, "--inputs", "x.npy", "--lags", "12")
    assert "state-to-state flow on x.npy: 2 sequences of 40 steps; rates" in words and said == ""
    assert "plain3.npz: rnn3: nonlinearity tanh assumed" in words and "12 more notes are in the store" in words
    monkeypatch.setattr(context, "MOST_OPERATIONS", 0)
    words, _ = shown(nets[0], "--inputs", "x.npy", "--lags", "12")
    assert "step0.npz: gru: estimated from 32 random vectors" in words


def test_an_interrupt_says_where_what_is_done_is(nets, tmp_path, in_process, monkeypatch, capsys):
    write = Store.write

    def interrupt(self, rows):
        write(self, rows)
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "write", interrupt)
    with pytest.raises(SystemExit) as stop:
        main(["measure", *nets, "--lags", "12", "--store", str(tmp_path / "s.sqlite")])
    printed = capsys.readouterr()
    assert stop.value.code == 130
    assert printed.out == ""
    assert printed.err.split() == f"interrupted: what is done is in {tmp_path}/s.sqlite; the same command goes on from there".split()
    assert rows_of(tmp_path / "s.sqlite")


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs a group of processes")
def test_an_interrupt_while_workers_start_is_one_line_and_soon_over(nets, tmp_path):
    command = [sys.executable, "-m", "flowcheck", "measure", *nets, "--lags", "12", "--workers", "2", "--store", str(tmp_path / "s.sqlite")]
    for after in (0.1, 0.4, 0.7):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True) as run:
            deadline = time.monotonic() + 20
            while not (tmp_path / "s.sqlite").exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(after)
            os.killpg(run.pid, signal.SIGINT)
            _, errors = run.communicate(timeout=60)
        assert run.returncode in (0, 130)
        assert errors.splitlines()[1:] in ([], [""])
        assert errors.startswith("interrupted: ") or run.returncode == 0
        (tmp_path / "s.sqlite").unlink()


def test_with_inputs_the_nets_are_diagnosed_too(tmp_path, in_process):
    net, inputs = tmp_path / "drifts.npz", tmp_path / "x.npz"
    network = fresh(flowcheck.catalogue()["lstm"], 4, 2, 0)
    write_npz(network, net)
    np.savez(inputs, **{f"{network.layers[0].name}.x": np.random.default_rng(0).normal(size=(2, 40, 2))})
    store = Store(tmp_path / "s.sqlite")
    (_, error, document), = measure_many([str(net)], Settings(inputs=str(inputs), lags=30), store, workers=1)
    assert not error
    assert document["schema"] == "flowcheck.diagnosis/1"
    in_view = store.database.execute("SELECT rule, severity FROM findings").fetchall()
    assert in_view == [(f["rule"], f["severity"]) for f in document["findings"]]


@pytest.mark.parametrize("content, words", [
    (b"plain words, no database", "not a file of measured nets"),
    (None, "another program's"),
])
def test_a_file_of_another_program_is_left_as_it_is(content, words, tmp_path):
    path = tmp_path / "other.sqlite"
    if content is None:
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE notes (text)")
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=words):
        Store(path)
    assert path.read_bytes() == before


def test_the_folder_of_a_store_is_made_where_it_can_be(tmp_path):
    Store(tmp_path / "new" / "folder" / "s.sqlite")
    assert rows_of(tmp_path / "new" / "folder" / "s.sqlite") == []
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ValueError, match="not a file of measured nets .*; name another with --store"):
        Store(tmp_path / "file" / "s.sqlite")


def test_no_scheduler_is_one_line(nets, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "_PATIENCE", "1s")
    pytest.importorskip("distributed", reason="a Dask cluster needs the extra distributed")
    with pytest.raises(ValueError, match="no Dask scheduler answers at tcp://127.0.0.1:9"):
        measure_many(nets[:1], SETTINGS, Store(tmp_path / "s.sqlite"), scheduler="tcp://127.0.0.1:9")


def test_files_of_equal_bytes_are_refused_each_by_its_own_name(nets, tmp_path, in_process):
    empty = [tmp_path / "epoch1.npz", tmp_path / "epoch2.npz"]
    for path in empty:
        path.write_bytes(b"")
    rows = measure_many([*map(str, empty)], SETTINGS, Store(tmp_path / "s.sqlite"), workers=1)
    assert all(path.name in error for path, error in zip(empty, rows.errors().values(), strict=True))


def test_a_net_that_changes_meanwhile_is_kept_as_what_was_measured(nets, tmp_path, in_process, monkeypatch):
    """A training run overwrites its last checkpoint between the look at its bytes and the measurement."""
    last, before, after = tmp_path / "last.npz", Path(nets[0]).read_bytes(), Path(nets[1]).read_bytes()
    last.write_bytes(before)
    as_text = runs._as_text

    def late(net, settings):
        last.write_bytes(after)
        return as_text(net, settings)

    monkeypatch.setattr(runs, "_as_text", late)
    path = tmp_path / "s.sqlite"
    (row,) = measure_many([str(last)], SETTINGS, Store(path), workers=1)
    monkeypatch.undo()
    monkeypatch.setattr(jobs, "_attempts", lambda *_: iter([(lambda: ThreadPoolExecutor(1), None)]))
    last.write_bytes(before)
    (again,) = measure_many([str(last)], SETTINGS, Store(path), workers=1)
    assert row[2]["net"]["sha256"] == hashlib.sha256(after).hexdigest()
    assert again[2]["net"]["sha256"] == hashlib.sha256(before).hexdigest() and again[2] == runs.measured(str(last), SETTINGS)
    found = sqlite3.connect(path).execute("SELECT DISTINCT sha256, lags, seed, inputs FROM flows ORDER BY sha256").fetchall()
    assert found == sorted((hashlib.sha256(b).hexdigest(), SETTINGS.lags, SETTINGS.seed, SETTINGS.inputs) for b in (before, after))


def test_inputs_that_are_not_there_are_refused_once_and_leave_no_store(nets, tmp_path, capsys):
    store = tmp_path / "s.sqlite"
    with pytest.raises(SystemExit) as ended:
        main(["measure", *nets, "--inputs", str(tmp_path / "nowhere.npy"), "--store", str(store)])
    assert ended.value.code == 2 and not store.exists()
    assert capsys.readouterr().err.count("nowhere.npy cannot be read: there is no such file") == 1


def test_a_store_that_others_keep_locked_is_the_users_matter(nets, tmp_path, in_process, monkeypatch):
    store, connect = Store(tmp_path / "s.sqlite"), sqlite3.connect
    store.database.execute("PRAGMA busy_timeout = 50")
    with contextlib.closing(connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ValueError, match="s.sqlite: cannot be written .database is locked.* goes on from there"):
            measure_many(nets[:1], SETTINGS, store, workers=1)


def test_nets_of_one_name_are_told_apart(nets, tmp_path, in_process):
    paths = [tmp_path / folder / "last.npz" for folder in ("run1", "run2")] + [tmp_path / "run2" / "bad.npz"]
    for k, path in enumerate(paths):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(Path(nets[k]).read_bytes() if k < 2 else b"")
    shown = runs_text(measure_many([*map(str, paths)], SETTINGS, Store(tmp_path / "s.sqlite"), workers=1), "s.sqlite")
    assert "run1/last.npz" in shown and "run2/last.npz" in shown and "\nbad.npz: expected" in shown and "run2/bad" not in shown


LONG_NAMES = ["runs/first/checkpoint_of_a_long_name_0001.pt", "runs/second/checkpoint_of_a_long_name_0001.pt",
              "a_checkpoint_of_a_long_name.pt"]


def test_long_names_are_told_apart_in_few_columns():
    shown = _told_apart(LONG_NAMES)
    assert len({*shown.values()}) == 3 and max(map(len, shown.values())) <= 24
    assert shown[LONG_NAMES[0]].startswith("first/...") and shown[LONG_NAMES[2]].startswith("...")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    """They hold its standard output, so that who reads it would wait for ever."""
    script = tmp_path / "parent.py"
    script.write_text("import time\nfrom flowcheck import jobs\nif __name__ == '__main__':\n    print('begun', flush=True)\n"
                      "    list(jobs.results(time.sleep, [(60,), (60,), (60,)], workers=2))\n")
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE)
    assert parent.stdout.readline() == b"begun\n"
    time.sleep(3)
    parent.kill()
    begun = time.monotonic()
    assert parent.communicate(timeout=30) == (b"", None) and time.monotonic() - begun < 20
