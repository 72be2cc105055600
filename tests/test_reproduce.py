"""Trials of the paper's experiments: the same rows however they are computed, none lost; stopping rules; rows of the tables."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest

from flowcheck import jobs
from flowcheck.cli import main
from flowcheck.compiled.online import Online
from flowcheck.experiments import criteria, trials
from flowcheck.experiments.compared import entries
from flowcheck.experiments.criteria import Recent, Streak, Strings
from flowcheck.experiments.reber import as_sequences, next_symbols, two_sets
from flowcheck.experiments.reproduce import COLUMNS, Trials, reproduce
from flowcheck.experiments.settings import Setting, readings
from flowcheck.experiments.tables import ROWS, rows
from flowcheck.experiments.trials import Trial, run_trial
from flowcheck.report import documents

ROOT = Path(__file__).parent.parent
STORED = Setting("2c", q=50, p=50, units=2, blocks=2, alpha=1.0, reach=0.2, budget=60_000)
"""The setting of trials of reports/experiments.sqlite."""
SMALL = replace(STORED, budget=300)
SEEDS = range(4)


@pytest.fixture(autouse=True, scope="module")
def needs_numba():
    pytest.importorskip("numba", reason="the loops are compiled by Numba")


@pytest.fixture
def interpreted(monkeypatch):
    """Trials of this process are not compiled: the same numbers, and no seconds for the compiler."""
    monkeypatch.setattr(trials, "Online", partial(Online, interpreted=True))


def run_here(patch):
    patch.setattr(jobs, "_attempts", lambda *_: iter([(lambda: ThreadPoolExecutor(1), None)]))


@pytest.fixture
def in_process(monkeypatch):
    """Trials run in this process: what a test says of rows does not depend on where they are computed."""
    run_here(monkeypatch)


def stored(path):
    """Everything but the time that it took."""
    return sqlite3.connect(path).execute(
        "SELECT key, setting, seed, error, success, sequences, st1, steps, weights, wrong, mean_error FROM trials ORDER BY key").fetchall()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The rows of an uninterrupted run in this process."""
    path = tmp_path_factory.mktemp("whole") / "s.sqlite"
    with pytest.MonkeyPatch.context() as patch:
        run_here(patch)
        reproduce([SMALL], SEEDS, Trials(path))
    return stored(path)


COMMAND = ["reproduce", "2c", "--q", "50", "--p", "50", "--rate", "1", "--trials", "4", "--budget", "300", "--workers", "1",
           "--reading", "recurrent=true"]


def test_killed_at_a_random_time_and_started_again_gives_the_same_rows(whole, tmp_path, monkeypatch):
    path = tmp_path / "s.sqlite"
    command = [sys.executable, "-m", "flowcheck.cli", *COMMAND, "--trials", "3", "--store", str(path)]  # too few to learn together
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    running = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    wanted, held = np.random.default_rng().integers(1, 4), 0
    while running.poll() is None and held < wanted:
        held = len(stored(path)) if path.exists() and path.stat().st_size else 0
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):  # it may have ended meanwhile
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    before = stored(path)
    assert 0 < len(before) <= len(whole)
    run_here(monkeypatch)  # what was killed left a whole file, and nothing depends on where the rest is computed
    reproduce([SMALL], SEEDS, Trials(path))
    assert stored(path) == whole
    assert set(before) <= set(whole)


def test_an_interrupted_run_goes_on_and_runs_nothing_twice(whole, tmp_path, in_process):
    path, again = tmp_path / "s.sqlite", []

    def interrupt(words, done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce([SMALL], SEEDS, Trials(path), progress=interrupt, workers=2)
    assert len(stored(path)) == 2
    reproduce([SMALL], SEEDS, Trials(path), progress=lambda words, done, total: again.append(done), workers=2)
    assert again == [2, 3, 4] and stored(path) == whole


def test_two_workers_give_the_rows_of_one(whole, tmp_path, sharing_imports):
    reproduce([SMALL], SEEDS, Trials(tmp_path / "s.sqlite"), workers=2)
    assert stored(tmp_path / "s.sqlite") == whole


def test_a_store_without_wall_times_is_read_as_it_is_and_written_with_them(tmp_path, in_process):
    path, columns = tmp_path / "s.sqlite", ", ".join(("key", "experiment", "setting", "seed", "error", *COLUMNS[:-1]))
    reproduce([SMALL], [0, 1], Trials(path))
    database = sqlite3.connect(path)
    with database:
        database.execute("ALTER TABLE trials DROP COLUMN seconds")
    database.close()
    before, old = path.read_bytes(), sqlite3.connect(path).execute(f"SELECT {columns} FROM trials ORDER BY key").fetchall()
    for outcomes in Trials(path).settings().values():
        assert [t["seconds"] for t in outcomes] == [None] * 2
    (measured,) = filter(None, (e["measured"] for e in entries(rows("2c"), Trials(path).settings())))
    assert measured["trials"] == 2 and measured["seconds"] is None
    reproduce([SMALL], [0, 1], Trials(path))
    assert path.read_bytes() == before
    found = reproduce([SMALL], range(3), Trials(path))[SMALL]
    assert [t["seconds"] is None for t in found] == [True, True, False]
    kept = sqlite3.connect(path).execute(f"SELECT {columns} FROM trials WHERE seed < 2 ORDER BY key").fetchall()
    assert kept == old


def test_other_settings_are_other_rows_and_a_usual_value_is_none(tmp_path, in_process):
    store = Trials(tmp_path / "s.sqlite")
    for setting in (SMALL, replace(SMALL, alpha=0.25), replace(SMALL, recurrent=False), replace(SMALL, budget=200)):
        reproduce([setting], [0], store)
    assert len(stored(store.path)) == 4
    assert replace(SMALL, window=2000) == SMALL and "window" not in SMALL.as_json()
    assert all(Setting.from_json(json.loads(json.dumps(s.as_json()))) == s and len(o) == 1 for s, o in store.settings().items())


def test_the_command_writes_text_json_and_markdown(whole, tmp_path, in_process, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for form in ("text", "json", "markdown"):
        with pytest.raises(SystemExit) as stop:
            main([*COMMAND, "--format", form])
        assert not stop.value.code
        printed = capsys.readouterr().out
        if form == "json":
            document = json.loads(printed)
            jsonschema.validate(document, documents.schema("flowcheck.experiments/1"))
            (row,) = document["rows"]
            assert row["measured"]["trials"] == 4 and row["measured"]["steps"] == sum(t["steps"] for t in row["trials"])
        else:
            assert "q 50, p 50" in printed and "4 trials" in printed
    assert stored(tmp_path / "flowcheck-trials.sqlite") == whole
    with pytest.raises(SystemExit) as stop:
        main(["reproduce", "all", "--stored", "--format", "json"])
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, documents.schema("flowcheck.experiments/1"))
    assert sum(row["attempted"] for row in document["rows"]) == 1 and len(document["rows"]) == len(ROWS) + 1
    assert all(row["measured"] is None and not row["trials"] for row in document["rows"] if not row["attempted"])


@pytest.mark.parametrize(("arguments", "words"), [
    (["9"], "no experiment '9'"), (["4", "--q", "20"], "experiment 4 has no q"), (["2c", "--reading", "bias=1"], "no reading 'bias'"),
    (["2c", "--reading", "recurrent=2"], "recurrent is false or true, got '2'"), (["2c", "--stored"], "holds no trials"),
    (["2c", "--method", "adam"], "adam"),
], ids=["experiment", "option", "reading", "value", "no store", "method"])
def test_bad_arguments_are_one_line(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["reproduce", *arguments])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not list(tmp_path.iterdir())


def test_without_numba_nothing_is_run_and_one_line_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.setattr(jobs, "results", lambda *_: pytest.fail("a trial was started"))
    store = tmp_path / "s.sqlite"
    with pytest.raises(SystemExit) as stop:
        main([*COMMAND, "--store", str(store)])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'flowcheck-rnn[fast]'" in line and "--stored" in line
    assert not store.exists()


@pytest.mark.parametrize(("name", "report", "schema"), [
    ("all", "experiments", "flowcheck.experiments/1"), ("abuse", "abuse", "flowcheck.abuse/1")], ids=["experiments", "abuse"])
def test_the_report_is_what_its_store_holds(name, report, schema, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    before = (ROOT / "reports" / "experiments.sqlite").read_bytes()
    for end, form in (("md", "markdown"), ("json", "json")):
        command = f"reproduce {name} --stored --store reports/experiments.sqlite --format {form} -o"
        out = tmp_path / f"{report}.{end}"
        with pytest.raises(SystemExit) as stop:
            main([*command.split(), str(out)])
        assert not stop.value.code
        assert f"{command} reports/{out.name}`" in (ROOT / "reports" / "README.md").read_text()
        found, kept = out.read_text(), (ROOT / "reports" / out.name).read_text()
        if end == "md":
            assert found == kept
    found, kept = (dict(numbers(json.loads(text))) for text in (found, kept))
    for measured in (False, True):  # words and counts are the same, measured figures but for the rounding of another BLAS
        here, there = ({k: v for k, v in values.items() if isinstance(v, float) is measured} for values in (found, kept))
        assert here == (pytest.approx(there, rel=1e-9, abs=0) if measured else there)
    jsonschema.validate(json.loads(out.read_text()), documents.schema(schema))
    assert (ROOT / "reports" / "experiments.sqlite").read_bytes() == before


def numbers(document, place=""):
    """(path, value) of everything in a JSON document that is no array or object."""
    if not isinstance(document, dict | list):
        yield place, document
        return
    for key, value in document.items() if isinstance(document, dict) else enumerate(document):
        yield from numbers(value, f"{place}/{key}")


# Stopping rules.


def errors(last, summed=None, largest=None):
    last = np.asarray(last, float)
    return np.column_stack([last if largest is None else largest, last if summed is None else summed, last**2, last])


def fed(rule, last, part=7, **others):
    """What the rule says of errors shown a few at a time."""
    for k in range(0, len(last), part):
        found = rule.solved(errors(last[k:k + part], **{n: v[k:k + part] for n, v in others.items()}), None)
        if found is not None:
            return found
    return None


def test_a_streak_is_solved_when_it_begins():
    last = np.full(60, 0.1)
    last[[3, 18]] = 0.2, np.nan
    assert fed(Streak(0.2, length=40), last) == 19
    assert fed(Streak(0.2, length=42), last) is None
    assert fed(Streak(0.25, length=40), np.where(np.isnan(last), 0.24, last)) == 0
    assert fed(Streak(0.2, length=40, column=0), np.full(60, 0.1), largest=last) == 19


def test_recent_sequences_are_right_and_their_mean_small():
    last = np.full(60, 0.01)
    last[10] = 0.3
    assert fed(Recent(0.04, 0.1, 1, window=20, length=20), last) == 35  # looked at after 7, 14, ...
    assert fed(Recent(0.04, 0.1, 1, window=40, length=20), last) == 42
    assert fed(Recent(0.04, 0.01, 1, window=20, length=20), last) is None
    assert fed(Recent(0.04, 0.1, 1, wrong=1, window=20, length=20), last) == 21
    assert fed(Recent(0.04, 0.006, 2, window=20, length=20), np.full(60, 0.01)) == 21  # two outputs share the summed error
    assert fed(Recent(0.04, 0.1, 1, window=20, length=20), np.full(19, 0.01), part=19) is None


def test_tests_come_first_without_and_then_with_their_mean():
    """A net whose errors shrink: ST1 when none of 256 is wrong, ST2 when their mean is small as well."""
    net = SimpleNamespace(error=0.5, run=lambda sequences, learn: errors(np.full(16, net.error)))
    rule = criteria.Tested(lambda count: SimpleNamespace(target=np.zeros((count, 1))), 0.2, 0.01)
    for seen, net.error in enumerate((0.5, 0.19, 0.1, 0.009), 1):
        found = rule.solved(errors(np.zeros(100)), net)
        assert found == (400 if seen == 4 else None) and rule.first == (None if seen == 1 else 200)
    some = criteria.Tested(rule.draw, 0.2, 1.0, wrong=5)
    for wrong, expected in ((6, None), (5, 300)):
        answers = iter([0.5] * wrong + [0.1] * (256 - wrong))
        net.run = lambda sequences, learn, a=answers: errors([next(a) for _ in range(16)])
        assert some.solved(errors(np.zeros(150)), net) == expected


def test_strings_are_right_when_the_possible_symbols_are_the_most_active(rng):
    sets = two_sets(rng, 12)
    right = {len(as_sequences(s).x): np.array([[c in allowed for c in "BTPSXVE"] for t in s for allowed in next_symbols(t)]) + 0.0
             for s in sets}
    net = SimpleNamespace(outputs=lambda s: right[len(s.x)] + 0.4 * rng.uniform(size=(len(s.x), 7)))
    rule = Strings(*sets, every=200)
    assert [rule.solved(errors(np.ones(100)), net) for _ in range(3)] == [None, 200, None]
    last = right[len(as_sequences(sets[1]).x)]
    last[-1] = 0.0
    last[-1, 0] = 0.5
    assert rule.solved(errors(np.ones(100)), net) is None


# Rows and trials.


def test_a_trial_run_again_gives_its_stored_row(whole):
    """One with 1,285,857 steps, so that a sum rounded otherwise would have shown; it was run on a processor with fused multiply-adds."""
    uri = f"file:{ROOT / 'reports' / 'experiments.sqlite'}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
        database.row_factory = sqlite3.Row
        (row,) = database.execute("SELECT * FROM trials WHERE key = ?", (Trials.key(STORED, 0),))
    found = run_trial(STORED, 0)
    assert found["success"] and {name: row[name] for name in COLUMNS[:-2]} == {name: found[name] for name in COLUMNS[:-2]}


def test_the_compiled_trainer_is_the_interpreted_one(whole, monkeypatch):
    """The net of the trials above, which has been compiled."""
    compiled = Trial(SMALL, 0)
    monkeypatch.setattr(trials, "Online", partial(Online, interpreted=True))
    plain = Trial(SMALL, 0)
    sequences = plain.draw(6)
    # six updates with fused multiply-adds or without: some eps of numbers of order 1
    np.testing.assert_allclose(compiled.net.run(sequences), plain.net.run(sequences), rtol=1e-12)
    for name, value in plain.net.params.items():
        np.testing.assert_allclose(compiled.net.params[name], value, rtol=0, atol=1e-14, err_msg=name)


def test_every_row_has_the_weights_of_its_table_or_says_how_many_fewer(interpreted):
    alike = {replace(row.setting, alpha=1.0, budget=1): row for row in rows() if "weights" in row.printed and row.setting.p <= 100}
    for row in alike.values():
        built = Trial(row.setting, 0)
        # connections between hidden units that are read as absent; the bias of the output unit that is left out
        absent = {"2c": 6 * 6, "4": 1, "5": 1}.get(row.experiment, 0)
        held = sum(np.prod(built.net.params[name].shape) for name in (built.hidden or ({}, {}, ()))[2])
        assert len(built.net.free_w) + held + absent == row.printed["weights"], row.words


def test_rows_are_attempted_by_their_own_settings_only():
    outcome = {"seed": 0, "error": "", "success": 1, "sequences": 1000, "st1": None, "steps": 9, "weights": 328, "wrong": None,
               "mean_error": None, "cpu_seconds": 1.0, "seconds": 1.5}
    chosen = rows("2c")
    found = entries(chosen, {replace(chosen[1].setting, budget=7): [outcome, outcome | {"success": 0, "sequences": 7}],
                             replace(chosen[1].setting, alpha=0.5): [outcome]})
    assert [e["attempted"] for e in found[:3]] == [False, True, True] and len(found) == len(chosen) + 1
    assert found[2]["row"] == "LSTM, q 100, p 100; alpha 0.5"
    measured = found[1]["measured"]
    assert (measured["solved"], measured["median"], measured["budget"], measured["seconds"]) == (1, 1000, 7, 3.0)
    low, high = measured["success_interval"]
    assert low == pytest.approx(0.0945, abs=1e-4) and high == pytest.approx(0.9055, abs=1e-4)  # Wilson, 1 of 2


@pytest.mark.parametrize("method", ["1997", "guessing", "rtrl", "bptt", "elman"])
def test_every_method_runs_and_repeats_itself(method, interpreted):
    setting = Setting("1", method=method, units=2, blocks=2, alpha=0.3, reach=0.2, budget=100) if method == "elman" else Setting(
        "2a", method=method, p=3, alpha=1.0, reach=0.2, budget=100, every_step=method in ("1997", "rtrl"), added_later=method == "1997")
    one, two = (run_trial(setting, 5) | {"cpu_seconds": 0, "seconds": 0} for _ in range(2))
    assert one == two and one["sequences"] == 100 and not one["success"]


def test_a_trial_is_tested_without_learning_on_noise_free_targets(monkeypatch, interpreted):
    built = Trial(Setting("3c", T=20, N=3, units=3, blocks=3, alpha=0.1, budget=100), 0)
    assert set(np.unique(built.draw_clean(50).final)) == {0.2, 0.8} and len(np.unique(built.draw(50).final)) == 50
    monkeypatch.setattr(built.stop, "solved", lambda found, net: 100)
    monkeypatch.setattr(trials, "TESTS", 30)
    weights = []
    right = trials.answers
    monkeypatch.setattr(trials, "answers", lambda net, *rest: weights.append(net.w.copy()) or right(net, *rest))
    outcome = built.run()
    assert np.array_equal(weights[0], built.net.w) and 0 <= outcome["wrong"] <= 30 and outcome["success"]


def test_hidden_units_wait_until_the_outputs_alone_no_longer_learn(interpreted):
    built = Trial(Setting("2a", p=4, alpha=1.0, reach=0.2, budget=1000, every_step=True, added_later=True), 0)
    assert not built.net.params["W_k_s"].any() and len(built.net.free_w) == 25
    built.net.run(built.draw(50))
    assert not built.net.params["W_k_s"].any() and not built.net.params["W_in_x"].any()
    built.run()
    assert built.net.params["W_k_s"].all() and built.net.params["W_in_x"].any() and len(built.net.free_w) == 25 + 5 + 10


def test_guesses_are_drawn_until_one_answers(monkeypatch, interpreted):
    built, drawn = Trial(Setting("2a", method="guessing", p=3, reach=1.0, budget=1000), 0), []
    initial = built._initial
    monkeypatch.setattr(built, "_initial", lambda: drawn.append(1) or initial())
    built.run()
    assert len(drawn) == 10


def test_readings_are_words():
    words = ["recurrent=false", "window=100", "enter=net_k", "biases=gates"]
    assert readings(words) == {"recurrent": False, "window": 100, "enter": "net_k", "biases": ("b_in", "b_out")}
