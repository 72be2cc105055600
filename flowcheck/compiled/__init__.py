"""Cells as compiled scalar loops, for small nets: the equations are printed as Python and compiled by Numba (extra `fast`).

NumPy is the default everywhere; these loops give the same numbers to rounding. Nothing here names a cell.
"""

from .loops import Loops, compile_loops

__all__ = ["Loops", "compile_loops"]
