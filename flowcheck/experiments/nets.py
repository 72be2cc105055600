"""The nets of the six experiments: a cell with output units, initial weights, and which units have a bias.

Outputs see the cells only (F), or everything below (B). A whole net is one cell, so that every gradient rule applies to it.
"""

from dataclasses import replace

import numpy as np

from ..equations import Cell, Net, Unit
from ..kernels import compile_cell
from ..notation import sigma, symbols

__all__ = ["fully_recurrent_outputs", "initial", "without_output_gate", "with_outputs"]

x, y_prev, k_prev, s_prev, net_y, net_in, net_c, net_k = symbols("x y_prev k_prev s_prev net_y net_in net_c net_k")
y, y_in, s, y_k = symbols("y y_in s y_k")


def with_outputs(cell, *, inputs=False, linear=False):
    """The cell with logistic output units on top: y_k = sigma(W_k y + b_k); with `inputs` they see the inputs directly as well.

    `linear`: y_k = W_k y + b_k.
    """
    sources = [cell.output, *(cell.inputs if inputs else ())]
    equations = [*cell.equations, Net(net_k, *sources, size="outputs"), Unit(y_k, net_k if linear else sigma(net_k))]
    name = f"{cell.name}_{'linear_' if linear else ''}net"
    return replace(cell, name=name, equations=equations, output=y_k, lengths={**cell.lengths, "outputs": 1})


def without_output_gate():
    """Experiment 2a, 2b: a cell with an input gate only, g logistic, h(s) = s; cell and gate see the inputs, outputs all below (B)."""
    equations = [Net(net_in, x, bias=None), Unit(y_in, sigma(net_in)), Net(net_c, x, bias=None), Unit(s, s_prev + y_in * sigma(net_c)),
                 Net(net_k, s, x, bias=None, size="outputs"), Unit(y_k, sigma(net_k))]
    return Cell("input_gate_net", "Hochreiter & Schmidhuber 1997, experiment 2a", 1997, inputs=[x], state={s_prev: s}, output=y_k,
                lengths={"outputs": 1}, equations=equations)


def fully_recurrent_outputs():
    """Hidden and output units that all see the inputs and each other one step earlier, as in the comparisons of experiment 1."""
    sources = (x, y_prev, k_prev)
    equations = [Net(net_y, *sources), Unit(y, sigma(net_y)), Net(net_k, *sources, size="outputs"), Unit(y_k, sigma(net_k))]
    return Cell("fully_recurrent_net", "Smith & Zipser 1989", 1989, inputs=[x], state={y_prev: y, k_prev: y_k}, output=y_k,
                lengths={"outputs": 1}, equations=equations)


def initial(cell, lengths, rng, reach, *, blocks=None, biases=(), fixed=None, recurrent=True):
    """(weights, frozen): weights U(-reach, reach), {parameter: [to, from]}; biases only where `biases` names them.

    `fixed` gives biases their initial values, e.g. {"b_in": [-1, -2]}. Frozen: biases that a unit does not have, and
    connections from the step before unless `recurrent`, {parameter: mask}.
    """
    kernel = compile_cell(cell)
    params = kernel.random_params(lengths["units"], lengths["inputs"], rng, lengths["units"] // (blocks or lengths["units"]),
                                  lengths={"outputs": lengths["outputs"]})
    params = {name: rng.uniform(-reach, reach, v.shape) for name, v in params.items()}
    frozen = {}
    for name, edge in kernel.parameters.items():
        if edge.source in kernel.states and not recurrent:
            params[name], frozen[name] = np.zeros_like(params[name]), True
        if edge.source != "1":
            continue
        if name not in biases:
            params[name], frozen[name] = np.zeros_like(params[name]), True
        elif name in (fixed or {}):
            params[name] = np.array(fixed[name], float)
    return params, frozen
