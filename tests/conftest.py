"""Fixtures shared by all tests: seeded random numbers, and every cell whose file stands in the folder."""

from pathlib import Path

import numpy as np
import pytest

import flowcheck

CELL_FOLDER = Path(flowcheck.__file__).parent / "cells"
CELL_NAMES = sorted(path.stem for path in CELL_FOLDER.glob("*.py") if not path.stem.startswith("_"))
SEED = 1997


@pytest.fixture
def rng():
    print(f"seed {SEED}")
    return np.random.default_rng(SEED)


@pytest.fixture(scope="session")
def cell_names():
    return list(CELL_NAMES)


@pytest.fixture(params=CELL_NAMES)
def cell(request):
    cells = flowcheck.catalogue()
    assert request.param in cells, f"cells/{request.param}.py is not in the catalogue: {', '.join(cells)}"
    return cells[request.param]
