"""Who may import whom, read from the import statements; what an import must not load; traps for tests."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

import flowcheck

PACKAGE = Path(flowcheck.__file__).parent
ROOT = PACKAGE.parent
TESTS = Path(__file__).parent

ENGINE = {"memory", "notation", "equations", "symbolic", "forward", "kernels", "step", "jacobian", "maps", "gradients", "flow", "network",
          "sensitivity"}
ALL_BUT_CELLS_AND_CLI = ENGINE | {"oracles", "differences", "claims", "measure", "verify", "formats", "detectors", "report", "further"}

ARROWS = {  # module or subpackage: what it may import; inside a subpackage all may import each other
    "notation": set(),
    "equations": {"notation"},
    "cells": {"notation", "equations"},
    "symbolic": {"notation", "equations"},
    "maps": set(),
    "memory": set(),
    "plain_loop": set(),
    "in_place": {"notation"},
    "forward": {"notation", "equations", "memory", "plain_loop", "in_place"},
    "kernels": {"notation", "equations", "symbolic", "maps", "forward", "in_place", "memory"},
    "step": {"notation", "equations", "symbolic", "forward", "kernels"},
    "formed": set(),
    "jacobian": {"equations", "formed"},
    "gradients": {"notation", "equations", "symbolic", "kernels", "step"},
    "sensitivity": {"gradients", "flow", "step"},
    "compiled": {"notation", "equations", "symbolic", "kernels", "gradients"},
    "experiments": {"notation", "equations", "symbolic", "kernels", "gradients", "network", "compiled", "cells", "jobs", "detectors",
                    "formats"},
    "flow": {"equations", "symbolic", "kernels", "step", "jacobian", "formed", "threads", "memory", "plain_loop"},
    "further": {"flow", "measure"},
    "network": {"notation", "equations", "symbolic", "kernels"},
    "oracles": set(),
    "differences": set(),
    "claims": {"notation"},
    "tensors": {"flow", "kernels", "step"},
    "measure": {"tensors", "notation", "equations", "kernels", "step", "network", "flow"},
    "formats": {"notation", "equations", "kernels", "network"},
    "verify": {"oracles", "differences", "symbolic", "kernels", "step", "jacobian", "gradients", "sensitivity", "flow", "equations",
               "notation", "claims"},
    "detectors": {"flow", "measure", "gradients", "kernels", "step", "network", "symbolic", "notation", "equations"},
    "live": {"cells", "detectors", "formats", "measure", "network", "report", "targets"},
    "report": ALL_BUT_CELLS_AND_CLI - {"report"},
    "gradcheck": {"verify", "cells", "threads"},
    "adapters": set(),
    "user_code": {"adapters", "gradcheck", "report", "verify", "places"},
    "checks": {"user_code", "targets", "tasks", "jobs", "cells", "report", "verify"},
    "targets": ALL_BUT_CELLS_AND_CLI | {"cells", "tasks", "jobs"},
    "places": set(),
    "tasks": {"cells", "claims", "verify", "places"},
    "worker": {"cells", "detectors", "formats", "measure", "report", "targets", "threads"},
    "jobs": {"threads"},
    "threads": set(),
    "runs": {"jobs", "threads", "targets", "measure", "detectors", "report", "__init__"},
    "commands": ALL_BUT_CELLS_AND_CLI | {"cells", "targets", "tasks", "runs", "tensors", "compiled", "gradcheck", "checks", "experiments",
                 "threads"},
    "cli": {"commands"},
    "__main__": {"cli"},
    "pytest_plugin": ALL_BUT_CELLS_AND_CLI | {"cells", "gradcheck"},
    "__init__": ALL_BUT_CELLS_AND_CLI | {"cells", "gradcheck", "adapters", "live"},
}
MAY_IMPORT_CELLS = {"cells", "gradcheck", "checks", "targets", "tasks", "commands", "__init__", "pytest_plugin", "experiments", "live",
                    "worker"}
MAY_IMPORT_FRAMEWORKS = {"notation", "kernels", "tensors", "adapters", "live"}
DERIVATIONS_MAY_IMPORT = {"numpy", "sympy", "flowcheck.notation", "flowcheck.claims"}
ORACLES_MAY_IMPORT = {"numpy", "mpmath", "flint"}


def modules_of(folder):
    """{dotted name without the package's: path} of every Python file under a folder."""
    return {".".join(path.relative_to(folder).with_suffix("").parts): path for path in sorted(folder.rglob("*.py"))}


MODULES = modules_of(PACKAGE)


def layer(module):
    """The row of a module: its top-level module or subpackage."""
    return module.split(".")[0]


def absolute_imports(source, package=""):
    """Dotted names that a file imports, anywhere in it; `package` is the one it stands in, for relative imports.

    `from . import flow` counts as an import of flow; `from .flow import Flow` as one of flow.Flow.
    """
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[:len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parts, *filter(None, [node.module])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in ("import_module", "__import__"):
            found |= {
                text.value for text in node.args[:1] if isinstance(text, ast.Constant) and isinstance(text.value, str)
            }
    return found


@functools.cache
def imports(module):
    package = ".".join(["flowcheck", *module.split(".")[:-1]])
    return absolute_imports(MODULES[module].read_text(), package)


def layers_imported(module):
    """Rows of the package that a module imports, its own left out; "__init__" for public names; __version__ is none."""
    names = {name.split(".")[1] for name in imports(module) if name.startswith("flowcheck.")} - {"__version__"}
    rows = {layer(other) for other in MODULES}
    return {name if name in rows else "__init__" for name in names} - {layer(module)}


def test_every_module_has_a_row():
    missing = {layer(module) for module in MODULES} - set(ARROWS)
    assert not missing, f"say in ARROWS of {Path(__file__).name} what may be imported by: {', '.join(sorted(missing))}"


def test_arrows_have_no_cycle():
    known = {}

    def below(row, path=()):
        assert row not in path, f"{' -> '.join([*path, row])}"
        if row not in known:
            known[row] = set().union(ARROWS[row], *(below(other, (*path, row)) for other in ARROWS[row]))
        return known[row]

    for row in ARROWS:
        below(row)


def test_modules_import_only_along_the_arrows():
    forbidden = {module: layers_imported(module) - ARROWS.get(layer(module), set()) for module in MODULES}
    assert {module: names for module, names in forbidden.items() if names} == {}


def test_only_the_front_doors_import_cells():
    found = {module for module in MODULES if "cells" in layers_imported(module)}
    assert {layer(module) for module in found} <= MAY_IMPORT_CELLS
    assert {row for row, allowed in ARROWS.items() if "cells" in allowed} <= MAY_IMPORT_CELLS


def test_nothing_in_the_package_imports_the_derivations_or_the_tests():
    roots = {"derivations", "tests", "benchmarks", "flowcheck.derivations"}
    assert [
        m for m in MODULES if any(name == r or name.startswith(f"{r}.") for name in imports(m) for r in roots)
    ] == []


def test_the_oracles_stand_alone():
    names = {name.split(".")[0] for name in imports("oracles")}
    assert names - sys.stdlib_module_names <= ORACLES_MAY_IMPORT


def test_only_what_computes_on_tensors_imports_a_framework_and_nothing_pickles():
    heavy = {"torch", "pickle", "tensorflow", "jax", "keras"}
    found = {m: heavy & {n.split(".")[0] for n in imports(m)} for m in MODULES}
    assert {m: names for m, names in found.items() if names and layer(m) not in MAY_IMPORT_FRAMEWORKS} == {}
    assert "pickle" not in set().union(*found.values())


DERIVATIONS = modules_of(ROOT / "derivations")


def test_derivations_import_notation_claims_numpy_and_sympy_only():
    own = {"derivations", *sys.stdlib_module_names}
    found = {(name, imported) for name, path in DERIVATIONS.items() for imported in absolute_imports(path.read_text(), "derivations")}
    assert DERIVATIONS and {(name, imported) for name, imported in found if imported.split(".")[0] not in own
                            and not any(f"{imported}.".startswith(f"{allowed}.") for allowed in DERIVATIONS_MAY_IMPORT)} == set()


@pytest.mark.parametrize(("source", "package", "expected"), [
    ("from . import flow", "flowcheck", {"flowcheck.flow"}),
    ("from .. import flow, gradients", "flowcheck.verify", {"flowcheck.flow", "flowcheck.gradients"}),
    ("from ..cells import get", "flowcheck.report", {"flowcheck.cells.get"}),
    ("from .cells import get", "flowcheck", {"flowcheck.cells.get"}),
    ("import flowcheck.cells as c", "flowcheck", {"flowcheck.cells"}),
    ("def f():\n    if True:\n        from flowcheck.cells import get", "flowcheck", {"flowcheck.cells.get"}),
    ("importlib.import_module('flowcheck.cells')", "flowcheck", {"flowcheck.cells"}),
    ("import numpy as np, sympy", "flowcheck", {"numpy", "sympy"}),
])
def test_import_statements_of_every_form_are_read(source, package, expected):
    assert absolute_imports(source, package) == expected


def loaded_by(code):
    """Heavy top-level modules that a fresh interpreter has loaded after running the code."""
    script = f"{code}\nimport sys\nprint('LOADED', *({{'sympy', 'matplotlib', 'torch', 'scipy', 'jax', 'keras'}} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split("LOADED")[1].split())


def test_importing_flowcheck_loads_nothing_heavy():
    assert loaded_by("import flowcheck\nassert 'catalogue' in dir(flowcheck)") == set()


def test_importing_the_adapters_loads_no_framework():
    assert loaded_by("import flowcheck.adapters") == set()


def test_the_check_for_heavy_modules_sees_them():
    assert "sympy" in loaded_by("import flowcheck\nflowcheck.catalogue")


def test_the_command_line_answers_help_without_anything_heavy():
    code = """
from flowcheck.cli import main
try:
    main(["--help"])
except SystemExit as stop:
    assert not stop.code
"""
    assert loaded_by(code) == set()


def test_public_names_are_all_there():
    assert sorted(dir(flowcheck)) == sorted(flowcheck.__all__)
    for name in flowcheck.__all__:
        assert getattr(flowcheck, name).__name__ == name
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = flowcheck.no_such_name


TEST_FILES = sorted(TESTS.glob("*.py"))
COMPARING = ("close", "equal")


def swallowed_comparisons(source):
    """Lines where a call that returns True or False about closeness stands alone, so that its answer is unread."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            name = ast.unparse(node.value.func)
            last = name.split(".")[-1]
            asserting = last.startswith("assert") or name.startswith(("np.testing.", "numpy.testing."))
            if last != "close" and any(word in last for word in COMPARING) and not asserting:
                found.append(node.lineno)
    return found


def asserts(node):
    return isinstance(node, ast.Assert | ast.Raise) or isinstance(node, ast.Call) and (
        "assert" in ast.unparse(node.func).lower() or ast.unparse(node.func) in ("pytest.raises", "pytest.fail"))


def early_returns(source):
    """Names of tests with a `return` before their first assertion."""
    found = []
    for function in ast.walk(ast.parse(source)):
        if not (isinstance(function, ast.FunctionDef) and function.name.startswith("test_")):
            continue
        if not any(isinstance(node, ast.Return) for node in ast.walk(function)):
            continue
        nested = {
            id(inner)
            for node in ast.walk(function)
            if isinstance(node, ast.FunctionDef | ast.Lambda) and node is not function
            for inner in ast.walk(node)
        }
        own = [node for node in ast.walk(function) if id(node) not in nested]
        returns = [node.lineno for node in own if isinstance(node, ast.Return)]
        if returns and min(returns) < min((node.lineno for node in own if asserts(node)), default=float("inf")):
            found.append(function.name)
    return found


@pytest.mark.parametrize("lint", [swallowed_comparisons, early_returns])
def test_no_test_file_has(lint):
    found = {path.name: lint(path.read_text()) for path in TEST_FILES}
    assert {name: places for name, places in found.items() if places} == {}


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("np.allclose(a, b)", [1]),
        ("x = 1\nnumpy.array_equal(a, b)", [2]),
        ("math.isclose(a, b)", [1]),
        ("assert np.allclose(a, b)", []),
        ("np.testing.assert_allclose(a, b)", []),
        ("assert_close_to(a, b)", []),
        ("ok = np.allclose(a, b)", []),
        ("file.close()", []),
    ],
)
def test_the_lint_finds_unread_comparisons(source, lines):
    assert swallowed_comparisons(source) == lines


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def test_a():\n    if slow:\n        return\n    assert x", ["test_a"]),
        ("def test_a():\n    assert x\n    return", []),
        ("def test_a():\n    def f():\n        return 1\n    assert f()", []),
        ("def test_a():\n    return check()", ["test_a"]),
        ("def helper():\n    return 1", []),
        ("def test_a():\n    with pytest.raises(E):\n        return f()", []),
    ],
)
def test_the_lint_finds_early_returns(source, names):
    assert early_returns(source) == names
