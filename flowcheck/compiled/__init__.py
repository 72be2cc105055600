"""Cells as compiled scalar loops, for small nets: the equations are printed as Python and compiled by Numba (extra `fast`).

NumPy is the default everywhere; these loops give the same numbers to rounding. Nothing here names a cell.
"""

from . import products
from .loops import Loops, compile_loops

__all__ = ["MIDDLE", "SMALL", "Loops", "compile_loops", "run_layer"]

SMALL = 64
"""Units up to which loops over a step pay; from there on it is a few calls of BLAS."""

MIDDLE = 256
"""Units up to which products of step Jacobians are faster by tiles than by BLAS."""


def run_layer(layer, x):
    """`Layer.run` of a layer of at most SMALL units by compiled loops, as is all that is measured along its Trajectory; of one of at most
    MIDDLE units `Layer.run`, and products of its step Jacobians by compiled loops; else `Layer.run`.

    Raises EquationError when Numba is not installed.
    """
    if layer.units > SMALL:
        trajectory = layer.run(x)
        trajectory.products = products.products() if layer.units <= MIDDLE else None
        return trajectory
    return compile_loops(layer.cell).forward(layer.params, x[::-1] if layer.reverse else x)
