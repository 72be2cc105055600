"""The abuse study: what a look finds, verdicts from planted outcomes, the report of what a store holds."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from flowcheck import jobs
from flowcheck.cli import main
from flowcheck.compiled.online import Online
from flowcheck.experiments import abuse, remedies, trials
from flowcheck.experiments.reproduce import Watched
from flowcheck.experiments.trials import run_trial
from flowcheck.report import documents
from flowcheck.report.abuse import abuse_markdown

ROOT = Path(__file__).parent.parent


def test_conditions_differ_in_the_biases_of_gates_alone():
    for experiment, published in (("4", (-3, -6)), ("6a", (-2, -4))):
        found = abuse.settings(experiment)
        assert [(bool(s.output_gates), s.input_gates) for s in found.values()] == [
            (False, ()), (True, ()), (False, published), (True, published)]
        assert len({replace(s, output_gates=(), input_gates=()) for s in found.values()}) == 1


def test_looks_change_nothing_and_see_the_net_as_it_is(monkeypatch):
    monkeypatch.setattr(trials, "Online", partial(Online, interpreted=True))
    monkeypatch.setattr(trials, "EVERY", 20)
    monkeypatch.setattr(abuse, "LOOKS", (20,))
    setting = replace(abuse.settings("4")["both"], T=20, budget=40)
    found = abuse.watched(setting, 3)
    looks = found.pop("looks")
    assert found | {"cpu_seconds": 0, "seconds": 0} == run_trial(setting, 3) | {"cpu_seconds": 0, "seconds": 0}
    assert [look["sequences"] for look in looks] == [20, 40] and all(len(look["slope"]) == 4 for look in looks)
    assert looks[0]["flow"] != looks[1]["flow"] and -6 < looks[1]["flow"] < 0


def test_a_cell_that_is_read_as_a_bias_is_a_constant(rng):
    y = rng.normal(size=(64, 3))
    y[:, 1] = 2.0 + 1e-4 * rng.normal(size=64)
    y[:, 2] = 1e-5 * rng.normal(size=64)  # it delivers nothing
    W = np.array([[1.0, 0.5, 1.0]])
    assert abuse.constants(y, W) == [1]
    assert abuse.constants(y, W * [1.0, 0.0, 1.0]) == []  # not read
    y[:, 1] += 0.1 * rng.normal(size=64)
    assert abuse.constants(y, W) == []


def outcome(seed, sequences=20_000, drifting=(), slope=0.9, constants=()):
    look = {"bias-cell": [], "redundant-cell": [], "state-drift": list(drifting), "constants": list(constants), "slope": [slope] * 4,
            "flow": -1.0 - 0.01 * seed, "rate": 0.0}
    return {"seed": seed, "error": "", "success": True, "sequences": sequences, "wrong": 1,
            "looks": [{"sequences": n, **look} for n in (2_500, 10_000, sequences)]}


def planted(drifting):
    """Outcomes of ten seeds; `drifting` {condition: cells}."""
    return {"6a": {name: [outcome(s, drifting=drifting.get(name, ())[:1 + s % 2]) for s in range(10)] for name in abuse.CONDITIONS}}


@pytest.mark.parametrize(("drifting", "verdict"), [
    ({"neither": (0, 1), "output gates": (0, 1)}, "confirmed"), ({"input gates": (0, 1), "both": (0, 1)}, "contradicted"),
    ({}, "not shown"), ({"neither": (0, 1), "both": (0, 1)}, "not shown"),
], ids=["less", "more", "none", "either way"])
def test_verdicts_follow_what_was_found(drifting, verdict):
    (part,) = remedies.study(planted(drifting))
    output, into = part["remedies"]
    found = {c["measure"]: c for c in into["changes"]}
    assert found["drifting"]["verdict"] == verdict and found["slope"]["verdict"] == "not shown"
    assert output["gates"] == "output gates" and {c["verdict"] for c in output["changes"]} == {"not shown"}
    neither = part["conditions"][0]
    assert neither["solved"] == {"count": 10, "interval": [pytest.approx(0.6915, abs=1e-4), 1.0]}  # Clopper and Pearson: 0.025^(1/10)
    assert neither["nets_with_early"]["state-drift"]["count"] == (10 if "neither" in drifting else 0)


def test_intervals_are_as_wide_as_their_values_spread(rng):
    values = rng.normal(loc=1.0, size=400)
    found = remedies._mean(values)
    low, high = found["interval"]
    assert low < found["mean"] < high
    # 9,999 resamples: their quantiles are within some percent of those of the normal distribution of a mean of 400
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.06)
    assert remedies._mean([None, 2.0]) == {"mean": 2.0, "interval": [2.0, 2.0]} and remedies._mean([None])["mean"] is None


def test_the_report_says_each_verdict_and_keeps_its_schema():
    outcomes = planted({"neither": (0, 1), "output gates": (0, 1)})
    words = {name: words for name, (words, _) in remedies.MEASURES.items()}
    document = json.loads(documents.dumps(documents.abuse(outcomes, remedies.study(outcomes), words, "s.sqlite")))
    jsonschema.validate(document, documents.schema("flowcheck.abuse/1"))
    text = abuse_markdown(document)
    assert '- Negative biases of input gates should lower "drifting cells, early": confirmed in experiment 6a.\n' in text
    assert 'should lower "redundant cells, early": not shown in experiment 6a (there were none without).\n' in text
    assert len(document["nets"]) == 40


def test_what_a_store_lacks_is_said_in_one_line(tmp_path, capsys):
    store = Watched(tmp_path / "s.sqlite")
    store.write(abuse.settings("4")["neither"], 0, outcome(0), "")
    assert store.outcome(abuse.settings("4")["neither"], 0)["sequences"] == 20_000
    for arguments, words in (
            (["--stored", "--trials", "1", "--store", str(store.path)], "lacks 7 trials (experiment 4, output gates, seed 0"),
            (["--rate", "1"], "abuse takes no alpha")):
        with pytest.raises(SystemExit) as stop:
            main(["reproduce", "abuse", *arguments])
        assert stop.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line


def test_the_command_runs_what_the_store_lacks_and_nothing_twice(tmp_path, monkeypatch, capsys):
    pytest.importorskip("numba", reason="trials are not started without it")
    monkeypatch.setattr(trials, "Online", partial(Online, interpreted=True))
    monkeypatch.setattr(jobs, "_attempts", lambda *_: iter([(lambda: ThreadPoolExecutor(1), None)]))
    monkeypatch.setattr(abuse, "EXPERIMENTS", {"4": 10})
    usual, ran, right = abuse.settings, [], abuse.watched
    monkeypatch.setattr(abuse, "settings", lambda e: {name: replace(s, T=20) for name, s in usual(e).items()})
    monkeypatch.setattr(abuse, "watched", lambda *trial: ran.append(trial) or right(*trial))
    found = []
    for _ in range(2):
        with pytest.raises(SystemExit) as stop:
            main(["reproduce", "abuse", "--trials", "1", "--budget", "20", "--store", str(tmp_path / "s"), "--format", "json"])
        assert not stop.value.code
        found.append(json.loads(capsys.readouterr().out))
        jsonschema.validate(found[-1], documents.schema("flowcheck.abuse/1"))
    assert len(ran) == 4 and found[1] == found[0]
    assert found[1]["experiments"][0]["conditions"][3]["nets"] == 1 and not found[1]["nets"][0]["success"]
