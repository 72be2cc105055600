"""The command line as a user meets it: JSON that keeps its promise, exit codes, one-line errors, nothing half-written."""

import contextlib
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from flowcheck import catalogue
from flowcheck.cli import main
from flowcheck.formats import write_npz
from flowcheck.network import Network, fresh
from flowcheck.report import documents

ROOT = Path(__file__).parent.parent
NETS = ROOT.parent / "shared" / "nets"
OWN = ROOT / "reports" / "nets"
needs_nets = pytest.mark.skipif(not NETS.is_dir(), reason="the folder shared/nets with real nets is not beside the project")


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def run(*arguments, cwd=ROOT):
    """One call of the command line in this process, from another folder."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as stop:
        main([*map(str, arguments)])
    return Done(stop.value.code, out.getvalue(), err.getvalue())


def document(*arguments, code=0, **more):
    """The JSON that a verb prints, validated against the schema that it names."""
    done = run(*arguments, "--format", "json", **more)
    assert done.returncode == code, done.stderr
    found = json.loads(done.stdout, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    jsonschema.validate(found, documents.schema(found["schema"]))
    return found


def refused(*arguments, **more):
    """The one line with which a verb refuses: exit 2, nothing on stdout."""
    done = run(*arguments, **more)
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1 and lines[0].startswith("flowcheck: "), done.stderr
    return lines[0]


def test_help_names_the_verbs():
    assert {"derive", "verify", "measure", "diagnose", "report", "cells"} <= set(run_text("--help").split())


def test_cells_lists_the_folder():
    found = document("cells", "--lags", 4)
    names = [c["name"] for c in found["cells"]]
    assert names == sorted(p.stem for p in (ROOT / "flowcheck" / "cells").glob("[!_]*.py"))


def test_cells_shows_what_was_measured_and_fits_80_columns():
    listed = run("cells").stdout
    assert max(map(len, listed.splitlines())) <= 80
    for name, cell in catalogue().items():
        assert f"\n{name} " in f"\n{listed}" and str(cell.year) in listed
        assert all(claim.kind in listed for claim in cell.claims)
    assert "BROKEN" not in listed and "measured at lags 1 to 30" in listed


def test_one_cell_is_shown_with_step_jacobian_and_closed_form():
    shown = run("cells", "lstm").stdout
    assert "d s / d s_prev = diag(y_f)\n" in shown and "diag(y_f(t) y_f(t-1) ... y_f(t-q+1))" in shown
    assert max(map(len, shown.splitlines())) <= 80
    only, = document("cells", "lru", "--lags", "50")["cells"]
    assert {"to": "re", "from": "im_prev", "formula": "diag(-a_im)"} in only["step_jacobian"]
    assert {c["measured"]["verdict"] for c in only["claims"]} == {"pass"} and only["claims"][0]["closed_form"]


def test_the_comparison_takes_no_net(tmp_path):
    assert "--cells" in refused("report", "cell:lstm", "--cells", "-o", tmp_path / "c.html")
    assert list(tmp_path.iterdir()) == []


def test_derive_lists_the_claims_of_a_section_as_proved():
    found = document("derive", "--section", "A.2")["equations"]
    assert {str(number) for number in range(30, 42)} <= {e["id"] for e in found}
    assert [e["id"] for e in found if e["proof"] == "failed"] == []
    assert {e["id"] for e in found if e["proof"] == "definition"} == {e["id"] for e in found if e["status"] == "definition"}
    assert {e["status"] for e in found} == {"exact", "truncated"}
    found = {e["id"]: e for e in document("derive", "--section", "3.2")["equations"]}
    assert found["3.2 integration"]["status"] == "erratum" and found["3.2 integration"]["counterexample"]


def test_derive_shows_one_equation_by_either_number():
    shown = run("derive", "41").stdout
    assert shown == run("derive", "A.39").stdout
    assert "equation (41), journal (A.39)" in shown and "proved" in shown
    assert "no equation" in refused("derive", "99")


def test_measure_of_a_conventional_net_is_vanishing_and_finite():
    found = document("measure", "cell:conventional", "--units", 64, "--seed", 0, "--lags", 1000)
    assert found["inputs"].startswith("unit-variance noise")
    for flow in found["flows"]:
        assert flow["lags"] == list(range(1, 1001))
        assert all(isinstance(v, float) for v in flow["log10_norm"])
        assert flow["verdict"] == "vanishing" and flow["gradient"] == "full"
        low, high = flow["rate_interval"]
        # the slope of a straight line through the same norms from the first lag fitted on
        start = flow["rate_lags"][0] - 1
        slope = np.polyfit(flow["lags"][start:], flow["log10_norm"][start:], 1)[0]
        assert low < slope < high


@pytest.mark.parametrize("cell", ["carousel", "lstm1997"])
def test_measure_of_a_carousel_is_sustained(cell):
    flows = document("measure", f"cell:{cell}", "--units", 8, "--lags", 1000)["flows"]
    wanted = "truncated" if cell == "lstm1997" else "full"
    flow = next(f for f in flows if f["quantity"] == "state-to-state" and f["gradient"] == wanted)
    assert abs(flow["rate_per_step"]) < 1e-12 and flow["verdict"] == "sustained"
    assert flow["half_life"] is None and flow["horizon"] is None


def test_a_flow_that_is_zero_is_null_not_a_number():
    flows = document("measure", "cell:conventional", "--units", 4, "--lags", 10, "--gradient", "truncated")["flows"]
    state = next(f for f in flows if f["quantity"] == "state-to-state")
    assert state["log10_norm"] == [None] * 10 and state["rate_per_step"] is None and state["horizon"] == 0


@pytest.mark.parametrize("name", ["tanh", "lstm"])
def test_a_flow_that_is_zero_at_every_lag_reaches_no_lag(tmp_path, name):
    """Text, page and JSON, without a word on stderr."""
    layer = fresh(catalogue()[name], 4, 3, seed=0).layers[0]
    for array in layer.params.values():
        array[:] = 0.0
    write_npz(Network("", (layer,)), tmp_path / "zero.npz")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(2, 40, 3)))
    arguments = tmp_path / "zero.npz", "--inputs", tmp_path / "x.npy"
    for verb, code in (("measure", 0), ("diagnose", 1)):
        flows = document(verb, *arguments, code=code)["flows"]
        zeros = [f for f in flows if f["log10_norm"] == [None] * 38]
        assert "input-to-output" in {f["quantity"] for f in zeros} and {f["horizon"] for f in zeros} == {0}
        done = run(verb, *arguments)
        assert done.stderr == "" and re.search(r"input-to-output +full +zero +0 +vanishing", done.stdout)
    done = run("report", *arguments, "--lags", 100, "-o", tmp_path / "zero.html")
    page = (tmp_path / "zero.html").read_text()
    assert done.stderr == "" and "ending at exactly zero" in page
    assert "lag 0; exactly zero from lag 1<" in page and "beyond 38; exactly zero" not in page


def test_inputs_with_time_first_are_seen_by_their_axes_and_judged_by_no_rate(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(30, 3, 5)))
    done = run("measure", "cell:gru", "--units", 8, "--inputs", tmp_path / "x.npy")
    assert "8 of 30 sequences of 3 steps (axes: batch, time, features)" in " ".join(done.stdout.split())
    assert "sustained" in done.stdout and "zero" not in done.stdout and "vanishing" not in done.stdout
    np.save(tmp_path / "x.npy", np.zeros((3, 60, 5)))
    assert "axes" not in run("measure", "cell:gru", "--units", 8, "--inputs", tmp_path / "x.npy").stdout


def test_short_sequences_beside_long_ones_do_not_cut_the_lags(tmp_path):
    rng = np.random.default_rng(0)
    net, long, short = tmp_path / "net.npz", rng.normal(size=(1, 60, 3)), rng.normal(size=(4, 3, 3))
    write_npz(fresh(catalogue()["gru"], 6, 3, seed=0), net)
    np.savez(tmp_path / "both.npz", **{"gru": long, "gru_short": short})
    np.savez(tmp_path / "long.npz", gru=long)
    for verb in ("measure", "diagnose"):
        both, alone = (document(verb, net, "--inputs", tmp_path / f"{name}.npz", code=int(verb == "diagnose"))
                       for name in ("both", "long"))
        assert both["flows"] == alone["flows"] and both["flows"][0]["lags"][-1] == 58
        assert both["inputs"].endswith("5 sequences of 3 and 60 steps, flow along those of at least 60")
        assert alone["inputs"].endswith("1 sequence of 60 steps")
    np.savez(tmp_path / "both.npz", **{"gru": long, "gru_short": rng.normal(size=(4, 40, 3))})
    found = document("measure", net, "--inputs", tmp_path / "both.npz")
    assert (found["flows"][0]["lags"][-1], found["flows"][0]["sequences"]) == (38, 5) and "along" not in found["inputs"]


def test_verify_of_one_cell_and_of_a_wrong_derivation(tmp_path):
    found = document("verify", "cell:carousel")
    assert {c["verdict"] for c in found["checks"]} == {"pass"}
    text = (ROOT / "derivations" / "s3_2_constant_error_flow.py").read_text()
    wrong = tmp_path / "wrong.py"
    wrong.write_text(text + "\nfrom dataclasses import replace\nCLAIMS = [replace(c, derived=sympy.Eq(c.derived.lhs, 2 * c.derived.rhs),"
                     " printed=sympy.Eq(c.derived.lhs, 2 * c.derived.rhs)) for c in CLAIMS if c.id == '3.2 carousel']\n")
    failed = document("verify", wrong, code=1)["checks"]
    assert [c["verdict"] for c in failed] == ["fail"] and failed[0]["equation"] == "3.2 carousel"


@needs_nets
def test_a_drifting_net_is_named_and_a_healthy_one_is_not():
    noaa = NETS / "noaa_hourly_lstm126"
    found = document("diagnose", f"{noaa}.pt", "--inputs", f"{noaa}.io.npz", "--lags", 100, code=1)
    drifting = {f["unit"]: f for f in found["findings"] if f["rule"] == "state-drift"}
    assert {70, 77, 105} <= set(drifting) and len(drifting) < 40
    assert 0.9 < drifting[77]["evidence"]["rate_per_step"] < 1.1 and drifting[77]["evidence"]["lost"]
    assert "it costs the cell, no function" in drifting[77]["words"] and {f["severity"] for f in drifting.values()} == {"info"}
    moved = {f["unit"] for f in found["findings"] if f["rule"] == "length-dependent" and f["severity"] == "warning"}
    assert {70, 77, 105} <= moved
    assert "proved" in found["net"]["layers"][0]["gate_order"]
    silero = document("diagnose", NETS / "silero_vad.safetensors", "--inputs", NETS / "silero_vad.io.npz", "--lags", 100)
    assert [f for f in silero["findings"] if f["rule"] == "state-drift"] == []


@needs_nets
def test_a_pickled_module_is_refused_in_one_line():
    line = refused("diagnose", NETS / "flipflop_whole_module.pt", "--inputs", NETS / "silero_vad.io.npz")
    assert "FlipFlopNet" in line and "state_dict" in line


def test_severity_decides_the_exit_code():
    plain = OWN / "recall_lstm_plain"
    assert run("diagnose", f"{plain}.npz", "--inputs", f"{plain}.io.npz", "--lags", 60).returncode == 1
    assert run("diagnose", f"{plain}.npz", "--inputs", f"{plain}.io.npz", "--lags", 60, "--fail-on", "error").returncode == 0


@pytest.mark.parametrize("arguments, words", [
    (["measure", "cell:nope"], "no cell named 'nope'"),
    (["measure", "nowhere.pt"], "nowhere.pt"),
    (["measure", "cell:lstm", "--units", "0"], "positive"),
    (["measure", "cell:lstm1997", "--units", "5", "--block-size", "2"], "divide"),
    (["measure", "cell:lstm", "--lags", "0"], "--lags"),
    (["diagnose", "cell:lstm"], "--inputs"),
    (["diagnose", OWN / "recall_lstm.npz"], "--inputs"),
    (["diagnose", OWN / "recall_lstm.npz", "--inputs", "nothing.npz"], "nothing.npz"),
    (["verify", "nowhere"], "nowhere"),
    (["report", "nowhere.pt"], "nowhere.pt"),
    (["cells", "nope"], "nope"),
    (["bogus"], "bogus"),
    (["derive", "--section", "9.9"], "no equation in section 9.9"),
    (["derive", "41", "--section", "3.1"], "no equation '41' in section 3.1"),
    (["verify", "cell:lstm", "--seed", "-1"], "'--seed'"),
])
def test_bad_input_gets_one_line_and_exit_2(arguments, words, tmp_path):
    assert words in refused(*arguments, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_out_is_written_whole_or_not_at_all(tmp_path):
    out = tmp_path / "cells.json"
    assert run("cells", "carousel", "--format", "json", "-o", out).returncode == 0
    assert json.loads(out.read_text())["schema"] == "flowcheck.cells/1"
    assert [p.name for p in tmp_path.iterdir()] == ["cells.json"]
    nowhere = tmp_path / "no" / "such" / "folder.json"
    assert f"flowcheck: {nowhere}: No such file" in refused("cells", "carousel", "-o", nowhere)
    assert [p.name for p in tmp_path.iterdir()] == ["cells.json"]


@pytest.fixture
def trained(tmp_path):
    """A net, inputs and targets in one folder, a link to the net, and a function that gives what the files hold."""
    write_npz(fresh(catalogue()["gru"], 4, 3, seed=0), tmp_path / "net.npz")
    np.save(tmp_path / "x.npy", np.zeros((1, 20, 3)))
    np.save(tmp_path / "targets.npy", np.zeros((1, 20, 4)))
    (tmp_path / "link").symlink_to(tmp_path / "net.npz")
    (tmp_path / "folder").mkdir()
    return tmp_path, lambda: {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}


@pytest.mark.parametrize("arguments, option", [
    ("measure net.npz --inputs x.npy -o net.npz", "-o"),
    ("measure net.npz --inputs x.npy -o x.npy", "-o"),
    ("measure net.npz --inputs x.npy -o folder/../net.npz", "-o"),
    ("measure link -o net.npz", "-o"),
    ("measure net.npz -o link", "-o"),
    ("measure net.npz link -o net.npz", "-o"),
    ("measure net.npz link --store net.npz", "--store"),
    ("diagnose net.npz --inputs x.npy -o net.npz", "-o"),
    ("diagnose net.npz --inputs x.npy -o x.npy", "-o"),
    ("diagnose net.npz --inputs x.npy --targets targets.npy -o targets.npy", "-o"),
    ("report net.npz --inputs x.npy -o net.npz", "-o"),
    ("report net.npz --inputs x.npy -o x.npy", "-o"),
])
def test_what_is_read_is_not_written_over(trained, arguments, option):
    folder, contents = trained
    before = contents()
    line = refused(*arguments.split(), cwd=folder)
    assert f"{option} " in line and "which is read; name another file" in line
    assert contents() == before


def test_the_json_beside_a_page_is_not_written_over_the_net(tmp_path):
    for name, more in (("net.json", "net.html"), ("report.json", ".")):
        (tmp_path / name).write_text("{}")
        assert name in refused("report", name, "--inputs", "x.npy", "-o", more, cwd=tmp_path)
        assert (tmp_path / name).read_text() == "{}"


def test_files_that_belong_to_what_is_named_are_not_written_over(tmp_path):
    """Shards of an index, derivations of a folder, a store of rows, a baseline; which may be brought up to date."""
    for name in ("net.safetensors.index.json", "net-1.safetensors", "flowcheck.sqlite", "known.json", "one.py", "trials.sqlite"):
        (tmp_path / name).write_text("")
    for words in ("measure net.safetensors.index.json -o net-1.safetensors", "measure cell:gru cell:lstm -o flowcheck.sqlite",
                  "verify cell:carousel --baseline known.json -o known.json", "verify . --also json=one.py",
                  "verify one.py --write-baseline one.py", "derive . -o one.py", "derive --path one.py -o one.py",
                  "reproduce 1 --store trials.sqlite -o trials.sqlite"):
        assert "which is read; name another file" in refused(*words.split(), cwd=tmp_path)
    assert run("verify", "cell:carousel", "--write-baseline", "known.json", cwd=tmp_path).returncode == 0
    assert run("verify", "cell:carousel", "--baseline", "known.json", "--write-baseline", "known.json", cwd=tmp_path).returncode == 0


def test_an_internal_error_is_one_line_too(monkeypatch, capsys):
    from flowcheck import cells, cli

    monkeypatch.setattr(cells, "catalogue", lambda: 1 / 0)
    with pytest.raises(SystemExit) as stop:
        cli.main(["cells"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_text_fits_80_columns_and_has_no_colour_codes_when_piped():
    for arguments in (["cells", "lstm"], ["measure", "cell:lstm1997", "--units", 4, "--lags", 20], ["verify", "cell:carousel"]):
        done = run(*arguments)
        assert max(map(len, done.stdout.splitlines())) <= 80
        assert "\x1b" not in done.stdout + done.stderr


def test_equal_findings_stand_together_in_the_terminal(tmp_path):
    """All weights zero: one row for all units; other remedies are other rows, and units that differ are told by the worst of them."""
    layer = fresh(catalogue()["lstm"], 20, 3, seed=0).layers[0]
    for array in layer.params.values():
        array[:] = 0.0
    write_npz(Network("", (layer,)), tmp_path / "zero.npz")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(2, 40, 3)))
    shown = run("diagnose", tmp_path / "zero.npz", "--inputs", tmp_path / "x.npy").stdout
    assert max(map(len, shown.splitlines())) <= 80
    words = " ".join(shown.split())
    assert "dead-cell 20 units 0, 1, 2, 3, 4, 5, 6, 7 and 12 more, each: set to zero" in words
    assert words.count("warning dead-cell") == words.count("set to zero it changes nothing") == 1
    layer = fresh(catalogue()["lstm"], 20, 3, seed=0).layers[0]
    layer.params["b_in"][[3, 5]], layer.params["b_out"][7] = [-60.0, -61.0], -60.0
    write_npz(Network("", (layer,)), tmp_path / "stuck.npz")
    words = " ".join(run("diagnose", tmp_path / "stuck.npz", "--inputs", tmp_path / "x.npy").stdout.split())
    assert "stuck-gate 2 units 3, 5; worst, 3: y_in stays below" in words and "stuck-gate 7 y_out stays below" in words
    assert "stuck-gate: move the bias of y_in" in words and "stuck-gate: move the bias of y_out" in words


def test_report_writes_page_and_json(tmp_path):
    net = OWN / "recall_lstm"
    done = run("report", f"{net}.npz", "--inputs", f"{net}.io.npz", "--lags", 100, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["report.html", "report.json"]
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    jsonschema.validate(found, documents.schema("flowcheck.report/1"))
    assert [c["label"] for c in found["curves"]][:2] == ["BPTT, conventional net", "RTRL, conventional net"]


def test_measure_gives_more_on_request():
    """Each against the room that computes it, over the same noise."""
    from flowcheck import catalogue, pair_flows, probe_flow, spectral_norms
    from flowcheck.measure import noise_inputs
    from flowcheck.network import fresh

    found = document("measure", "cell:gru", "--units", 6, "--lags", 40, "--norm", "spectral", "--exponents", "--probes", 3, "--pairs")
    network = fresh(catalogue()["gru"], 6, 8, 0)
    run = network.layers[0].run(noise_inputs(network, 40, 0)["gru"]["noise"])
    spectral, probes, pairs, exponents = (found[key][0] for key in ("spectral", "probes", "pairs", "exponents"))
    assert spectral["log10_norm"] == pytest.approx(spectral_norms(run, 40).log10_norm.tolist(), abs=1e-12)
    assert spectral["lags"] == probes["lags"] == list(range(1, 41)) and pairs["lags"] == list(range(41))
    assert probes["log10_frobenius"] == pytest.approx(probe_flow(run, 40, count=3).frobenius()[0].tolist(), abs=1e-12)
    norms = next(f["log10_norm"] for f in found["flows"] if f["quantity"] == "state-to-state" and f["gradient"] == "full")
    inside = [low <= norm <= high for low, norm, high in zip(probes["log10_low"], norms, probes["log10_high"], strict=True)]
    assert sum(inside) >= 30, "a 95 % interval at each of 40 lags, which go together"
    assert pairs["log10_norm"][50] == pytest.approx(pair_flows(run, lags=40).log10_norm[50].tolist(), abs=1e-12)
    assert pairs["log10_norm"][3][4:] == [None] * 37
    assert sum(exponents["values"]) == pytest.approx(exponents["mean_log_det"], abs=1e-9) and exponents["sum_error"] < 1e-9
    assert exponents["steps"] == 90 - 22, "of the 90 there are, but for those that turn the frame"
    text = run_text("measure", "cell:gru", "--units", 6, "--lags", 40, "--exponents", "--pairs")
    assert "leading exponents" in text and "every step" in text and "singular" not in text


def test_pairs_say_how_many_end_times_have_the_last_lag(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(6, 50, 3)))
    arguments = "measure", "cell:gru", "--units", 4, "--inputs", tmp_path / "x.npy", "--lags", 8, "--pairs"
    found, = document(*arguments)["pairs"]
    assert sum(row[8] is not None for row in found["log10_norm"]) == 42
    words = " ".join(run_text(*arguments).split())
    assert "after 8 steps (root mean square over 42 end times of the first sequence, full)" in words


def run_text(*arguments):
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_more_is_for_one_net_in_numpy():
    assert "one NET" in refused("measure", "cell:gru", "cell:lstm", "--exponents")
    assert "without torch" in refused("measure", "cell:gru", "--pairs", "--device", "cpu")
