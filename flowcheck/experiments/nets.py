"""The nets of the six experiments: a cell with output units, initial weights, and which units have a bias.

Outputs see the cells only (F), or everything below (B). A whole net is one cell, so that every gradient rule applies to it.
"""

from dataclasses import replace

import numpy as np

from ..equations import Net, Unit
from ..kernels import compile_cell
from ..notation import sigma, symbols

__all__ = ["initial", "with_outputs"]

net_k, y_k = symbols("net_k y_k")


def with_outputs(cell, *, inputs=False):
    """The cell with logistic output units on top: y_k = sigma(W_k y + b_k); with `inputs` they see the inputs directly as well."""
    sources = [cell.output, *(cell.inputs if inputs else ())]
    equations = [*cell.equations, Net(net_k, *sources, size="outputs"), Unit(y_k, sigma(net_k))]
    return replace(cell, name=f"{cell.name}_net", equations=equations, output=y_k, lengths={**cell.lengths, "outputs": 1})


def initial(cell, lengths, rng, reach, *, blocks=None, biases=(), fixed=None):
    """(weights, frozen): weights U(-reach, reach), {parameter: [to, from]}; biases only where `biases` names them.

    `fixed` gives biases their initial values, e.g. {"b_in": [-1, -2]}. Frozen: biases that a unit does not have, {parameter: mask}.
    """
    kernel = compile_cell(cell)
    params = kernel.random_params(lengths["units"], lengths["inputs"], rng, lengths["units"] // (blocks or lengths["units"]),
                                  lengths={"outputs": lengths["outputs"]})
    params = {name: rng.uniform(-reach, reach, v.shape) for name, v in params.items()}
    frozen = {}
    for name, edge in kernel.parameters.items():
        if edge.source != "1":
            continue
        if name not in biases:
            params[name], frozen[name] = np.zeros_like(params[name]), True
        elif name in (fixed or {}):
            params[name] = np.array(fixed[name], float)
    return params, frozen
