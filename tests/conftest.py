"""Fixtures shared by all tests: seeded random numbers, and every cell whose file stands in the folder."""

import gc
import os
import re
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one test runs per core: threads of torch would only wait for each other

import numpy as np  # noqa: E402
import pytest  # noqa: E402

import flowcheck  # noqa: E402

CELL_FOLDER = Path(flowcheck.__file__).parent / "cells"
CELL_NAMES = sorted(path.stem for path in CELL_FOLDER.glob("*.py") if not path.stem.startswith("_"))
VARIANTS = {name for name in CELL_NAMES if re.search(r"^from \.\w+ import", (CELL_FOLDER / f"{name}.py").read_text(), re.MULTILINE)}
SEED = 1997


def pytest_collection_finish(session):
    """What is there after the collection stays: the collector of garbage need not look at SymPy's many small objects again and again."""
    gc.freeze()
    gc.set_threshold(200_000, 20, 50)


@pytest.fixture
def rng():
    print(f"seed {SEED}")
    return np.random.default_rng(SEED)


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


@pytest.fixture(params=[name for name in CELL_NAMES if name not in VARIANTS])
def cell(request):
    """Each cell whose file writes its equations down; those that change a line of another cell's are `every_cell`'s alone."""
    return _found(request.param)
