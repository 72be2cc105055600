"""Cells as compiled scalar loops, for small nets: the equations are printed as Python and compiled by Numba (extra `fast`).

NumPy is the default everywhere; these loops give the same numbers to rounding. Nothing here names a cell.
"""

from . import products
from .loops import Loops, compile_loops

__all__ = ["MIDDLE", "SMALL", "Loops", "compile_loops", "run_layer"]

SMALL = 64
"""Units up to which loops over a step pay; from there on it is a few calls of BLAS."""

MIDDLE = 512
"""Units up to which loops pay for one sequence, and for products of its step Jacobians."""


def run_layer(layer, x):
    """`Layer.run` of a layer of at most SMALL units by compiled loops, as is all that is measured along its Trajectory. Of one of at most
    MIDDLE units: one sequence, and products of step Jacobians along it. Beyond: `Layer.run`.

    Raises EquationError when Numba is not installed.
    """
    if layer.units > MIDDLE or layer.units > SMALL and x.shape[1] > 1:
        trajectory = layer.run(x)
    else:
        trajectory = compile_loops(layer.cell).forward(layer.params, x[::-1] if layer.reverse else x)
    if layer.units > SMALL:
        trajectory.loops, trajectory.products = None, products.products() if layer.units <= MIDDLE else None
    return trajectory
