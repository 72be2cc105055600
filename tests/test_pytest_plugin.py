"""The pytest plugin as a user's project meets it: each test here runs pytest on a project of its own, in a fresh process."""

import os
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parent.parent

TESTS = '''
import numpy as np
import pytest


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


def late_carry_lost(*arguments):
    return backward(*arguments, window=5)


def crashes(params, inputs, state0, grad_outputs):
    return {"W": params["no such weight"]}


def arguments(flowcheck):
    return flowcheck.normal(0.4, W=(3, 3)), flowcheck.normal(x=(9, 2, 3)), flowcheck.normal(y0=(2, 3))


def test_right(flowcheck):
    assert flowcheck.check_gradient(forward, backward, *arguments(flowcheck), time_axis=0).verdict == "pass"


@pytest.mark.flowcheck(time_axis=0)
def test_wrong(flowcheck):
    flowcheck.check_gradient(forward, late_carry_lost, *arguments(flowcheck))


@pytest.mark.flowcheck(time_axis=0)
def test_verify_does_not_raise(flowcheck):
    assert flowcheck.verify_gradient(forward, late_carry_lost, *arguments(flowcheck)).verdict == "fail"


def test_crashes(flowcheck):
    flowcheck.check_gradient(forward, crashes, *arguments(flowcheck))


def test_cell(flowcheck):
    assert {c.verdict for c in flowcheck.check_cell("carousel", lags=10)} == {"pass"}


@pytest.mark.flowcheck(seed=3, intent="full")
class TestMarker:
    @pytest.mark.flowcheck(intent="up_to_scale")
    def test_the_nearest_marker_wins(self, flowcheck):
        assert flowcheck.options == {"seed": 3, "intent": "up_to_scale"} and flowcheck.seed == 3


def test_inputs_are_seeded_and_keyed_by_name(flowcheck):
    alone, beside = flowcheck.normal(x=(4,)), flowcheck.normal(w=(2, 2), x=(4,), y=(4,))
    assert np.array_equal(alone["x"], beside["x"]) and not np.array_equal(beside["x"], beside["y"])
    assert np.allclose(flowcheck.normal(2.0, x=(4,))["x"], 2 * alone["x"])
'''


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    (folder / "test_nets.py").write_text(TESTS)
    (folder / "pyproject.toml").write_text('[tool.pytest.ini_options]\naddopts = "--strict-markers"\n')
    return folder


def run(project, *arguments):
    """The finished run of pytest with this plugin and no other but those named."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "NO_COLOR": "1"}
    environment = {k: v for k, v in environment.items() if not k.startswith("PYTEST_XDIST") and k != "PYTEST_ADDOPTS"}
    command = [sys.executable, "-m", "pytest", "-p", "flowcheck.pytest_plugin", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def whole_run(project):
    """(what is printed, {test: what is printed of its failure}, report as XML) of one run of all tests of the project."""
    done = run(project, "-q", "--junitxml=r.xml")
    sections = re.split(r"^_+ (\w+) _+$", done.stdout.partition("= short test summary")[0], flags=re.MULTILINE)[1:]
    return done.stdout + done.stderr, dict(zip(sections[::2], sections[1::2], strict=True)), ElementTree.parse(project / "r.xml")


def test_right_passes_and_wrong_fails(whole_run):
    printed, failures, report = whole_run
    assert "2 failed, 5 passed" in printed, printed
    cases = {case.get("name"): case for case in report.iter("testcase")}
    assert {name for name, case in cases.items() if case.find("failure") is not None} == {"test_wrong", "test_crashes"} == set(failures)
    said = {name: [p.get("value") for p in case.iter("property") if p.get("name") == "flowcheck"] for name, case in cases.items()}
    assert said["test_wrong"][0].startswith("gradient check: fail") and said["test_right"][0].startswith("gradient check: pass")


def test_a_failure_is_the_message_alone(whole_run):
    failure = whole_run[1]["test_wrong"]
    message = [line for line in failure.splitlines() if line.startswith("E ")]
    assert 2 <= len(message) <= 25 and "gradient check: fail" in message[0] and "lag 5" in "".join(message)
    assert "test_nets.py" in failure and str(ROOT / "flowcheck") not in failure and "foreign.py" not in failure
    assert "def check_gradient" not in failure and "pytest_plugin.py" not in failure


def test_a_crash_of_the_users_code_shows_the_users_code_alone(whole_run):
    failure = whole_run[1]["test_crashes"]
    assert 'return {"W": params["no such weight"]}' in failure and "KeyError" in failure
    assert "foreign.py" not in failure and "arguments.py" not in failure and "pytest_plugin.py" not in failure


def test_the_marker_is_registered_and_selects_and_collecting_loads_no_framework(project):
    (project / "conftest.py").write_text(
        "import sys\n\ndef pytest_unconfigure(config):\n    print('MARKERS', config.getini('markers'))\n"
        "    print('LOADED', *({'torch', 'jax', 'sympy', 'keras', 'scipy', 'flowcheck.verify'} & set(sys.modules)))\n")
    done = run(project, "--co", "-q", "-m", "flowcheck")
    (project / "conftest.py").unlink()
    assert "3/7 tests collected" in done.stdout and "flowcheck(**options)" in done.stdout.split("MARKERS")[1]
    assert done.stdout.split("LOADED")[1].split() == []


def test_it_works_under_xdist(project):
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    done = run(project, "-q", "-p", "xdist", "-n", "2", "-k", "right or wrong or marker")
    assert "1 failed, 2 passed" in done.stdout, done.stdout + done.stderr


def test_loading_it_imports_nothing_heavy_and_costs_little():
    code = "import sys, time, pytest\nbefore = set(sys.modules)\nstart = time.perf_counter()\nimport flowcheck.pytest_plugin\n" \
           "print(time.perf_counter() - start, *sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    seconds, *loaded = done.stdout.split()
    assert set(loaded) - set(sys.stdlib_module_names) == {"flowcheck"}
    assert float(seconds) < 0.5  # 3 ms on an idle machine; a framework takes more than a second


def test_the_entry_point_names_the_plugin():
    entry = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    assert entry == {"flowcheck": "flowcheck.pytest_plugin"}
    assert hasattr(import_module(entry["flowcheck"]), "pytest_configure")
