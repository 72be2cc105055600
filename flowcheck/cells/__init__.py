"""The catalogue: every module of this folder is one cell, and nothing else names it.

To add a cell, write one file here (or in a folder of your own, given to `catalogue`) that ends with
`CELL = Cell(...)`, its name equal to the file's. Forward pass, Jacobians, flow, verification, printing
and diagnosis follow from its equations.
"""

import importlib
import importlib.util
from functools import cache
from pathlib import Path

from ..equations import Cell, EquationError

__all__ = ["catalogue", "get"]


@cache
def catalogue(folder=None):
    """{name: Cell} of every cell file in `folder` (default: this package's). Raises EquationError for a file without one."""
    here = Path(__file__).parent
    folder = Path(folder) if folder else here
    cells = {}
    for path in sorted(folder.glob("[!_]*.py")):
        if folder == here:
            module = importlib.import_module(f"{__name__}.{path.stem}")
        else:
            spec = importlib.util.spec_from_file_location(path.stem, path)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        cell = getattr(module, "CELL", None)
        if not isinstance(cell, Cell) or cell.name != path.stem:
            raise EquationError(f"{path}: a cell file ends with CELL = Cell({path.stem!r}, ...)")
        cells[cell.name] = cell
    return cells


def get(name):
    """The cell of that name. Raises EquationError that lists the catalogue."""
    cells = catalogue()
    if name not in cells:
        raise EquationError(f"no cell named {name!r}; the catalogue has {', '.join(cells)}")
    return cells[name]
