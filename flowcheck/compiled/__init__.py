"""Cells as compiled scalar loops, for small nets: the equations are printed as Python and compiled by Numba (extra `fast`).

NumPy is the default everywhere; these loops give the same numbers to rounding. Nothing here names a cell.
"""

from .loops import Loops, compile_loops

__all__ = ["SMALL", "Loops", "compile_loops", "run_layer"]

SMALL = 64
"""Units up to which loops pay; from there on a step is a matrix product, which BLAS does best."""


def run_layer(layer, x):
    """`Layer.run` of a layer of at most SMALL units by compiled loops, as is all that is measured along its Trajectory; else `Layer.run`.

    Raises EquationError when Numba is not installed.
    """
    if layer.units > SMALL:
        return layer.run(x)
    return compile_loops(layer.cell).forward(layer.params, x[::-1] if layer.reverse else x)
