"""Fixtures shared by all tests: seeded random numbers, and every cell whose file stands in the folder."""

import gc
import os
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one test runs per core: threads of torch would only wait for each other

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import sympy  # noqa: E402

import flowcheck  # noqa: E402
from flowcheck import jobs  # noqa: E402

CELL_FOLDER = Path(flowcheck.__file__).parent / "cells"
CELL_NAMES = sorted(path.stem for path in CELL_FOLDER.glob("*.py") if not path.stem.startswith("_"))
USUAL = {"carousel", "conventional", "gru", "gru_reset_before", "lstm", "lstm1997"}
SEED = 1997


def pytest_collection_finish(session):
    """What is there after the collection stays: the collector of garbage need not look at SymPy's many small objects again and again."""
    gc.freeze()
    gc.set_threshold(200_000, 20, 50)


@pytest.fixture
def rng():
    print(f"seed {SEED}")
    return np.random.default_rng(SEED)


@pytest.fixture
def sharing_imports(monkeypatch):
    """Workers of this machine come from a server that has imported what they need, not each anew."""
    server = get_context("forkserver")
    server.set_forkserver_preload(["flowcheck.experiments.trials", "flowcheck.runs"])
    monkeypatch.setattr(jobs, "get_context", lambda method: server)


@pytest.fixture(scope="session")
def cell_names():
    return list(CELL_NAMES)


def _found(name):
    cells = flowcheck.catalogue()
    assert name in cells, f"cells/{name}.py is not in the catalogue: {', '.join(cells)}"
    return cells[name]


@pytest.fixture(params=CELL_NAMES)
def every_cell(request):
    """Each cell of the folder."""
    return _found(request.param)


def features(cell):
    """What a cell asks of the engine: kinds of nets and what they read, functions, sizes, states, connections."""
    previous, inputs = {s.name for s in cell.state}, {s.name for s in cell.inputs}
    found = {(net.kind, "previous" if s.name in previous else "input" if s.name in inputs else "within")
             for net in cell.nets for s in net.sources}
    found |= {("bias", net.kind, net.bias is not None) for net in cell.nets} | {("size", size) for size in cell.sizes.values()}
    found |= {("function", f.func.__name__) for u in cell.units for f in sympy.sympify(u.formula).atoms(sympy.Function)}
    return found | {("states", min(len(cell.state), 3)), ("nets", min(len(cell.nets), 3)), ("recurrent", bool(cell.recurrent_edges)),
                    ("output is a state", cell.output in cell.state.values()), ("positive", any(s.is_positive for s in cell.state))}


def covering(names):
    """The usual cells, and the fewest others that have, with them, every feature of any cell."""
    known = {name: features(_found(name)) for name in names}
    chosen = {*USUAL}
    left = set().union(*known.values()).difference(*(known[name] for name in chosen))
    while left:
        chosen.add(best := max(known, key=lambda name: len(known[name] & left)))
        left -= known[best]
    return sorted(chosen)


@pytest.fixture(params=covering(CELL_NAMES))
def cell(request):
    """Cells enough for a law of the engine; what is to hold for each cell of the folder takes `every_cell`."""
    return _found(request.param)
