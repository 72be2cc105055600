"""The memory cells of section 4 and A.1 in plain NumPy: what the claims about them are evaluated with, blocks of any size.

`values` has the weights by name ("W_in_y", [to, from]) and each vector by name, of shape (steps, size), the last row at time t.
`errors` are what arrives at each unit of a vector at time t; derivatives by weights are for those from y^m of the cells, zero
before the first step.
"""

import numpy as np

from flowcheck.notation import ROUTINES

# Forward pass.


def net_now(values, role):
    """net_l(t), role "in", "out" or "c": what it reads of inputs at t, of cells and gates at t-1, and its bias."""
    read = {"x": values["x"][-1], "y": values["y"][-2], "y_in": values["y_in"][-2], "y_out": values["y_out"][-2]}
    return sum(values[f"W_{role}_{source}"] @ vector for source, vector in read.items()) + values[f"b_{role}"]


def of_cell(values, gate):
    """A gate's value for each of its cells."""
    return np.repeat(gate, len(values["s"][-1]) // len(values["net_in"][-1]))


def state_now(values):
    """s(t) = s(t-1) + y^{in}(t) g(net_c(t))."""
    y_in = ROUTINES["sigma"](net_now(values, "in"))
    return values["s"][-2] + of_cell(values, y_in) * ROUTINES["g"](net_now(values, "c"))


def output_now(values):
    """y^c(t) = y^{out}(t) h(s(t))."""
    return of_cell(values, ROUTINES["sigma"](net_now(values, "out"))) * ROUTINES["h"](state_now(values))


# Derivatives by weights: sum_i errors_i d vector_i(t) / d w.


def source(values, step):
    """y^m of the step before `step`, which counts back from t."""
    rows = values["y"]
    return rows[-2 - step] if step + 2 <= len(rows) else np.zeros_like(rows[0])


def of_block(values, errors):
    """Summed over the cells of each block."""
    return errors.reshape(len(values["net_in"][-1]), -1).sum(axis=1)


def prime(values, name, f, step=0):
    """f'(net) of a vector at t - step."""
    return ROUTINES[f + "_prime"](values[name][-1 - step])


def gate_by_weights(gate):
    """(12), (13)"""
    return lambda values, errors: np.outer(errors * prime(values, f"net_{gate}", "sigma"), source(values, 0))


def state_by_gate_weights(values, errors):
    """(25), summed over all steps"""
    return sum(np.outer(of_block(values, errors * ROUTINES["g"](values["net_c"][-1 - step])) * prime(values, "net_in", "sigma", step),
                        source(values, step)) for step in range(len(values["s"])))


def state_by_cell_weights(values, errors):
    """(27), summed over all steps"""
    return sum(np.outer(errors * prime(values, "net_c", "g", step) * of_cell(values, values["y_in"][-1 - step]), source(values, step))
               for step in range(len(values["s"])))


def error_at_state(values, errors):
    """(23): y^{out}(t) h'(s(t)) times the error at y^c(t)."""
    return of_cell(values, values["y_out"][-1]) * ROUTINES["h_prime"](values["s"][-1]) * errors


def output_by_gate_weights(values, errors):
    """(15), l = in_j; (26) with alpha = 1"""
    return state_by_gate_weights(values, error_at_state(values, errors))


def output_by_cell_weights(values, errors):
    """(15), l = c_j^v; (28) with alpha = 1"""
    return state_by_cell_weights(values, error_at_state(values, errors))


def output_by_out_weights(values, errors):
    """(15), l = out_j; (21), (22) with alpha = 1"""
    at_gate = prime(values, "net_out", "sigma") * of_block(values, errors * ROUTINES["h"](values["s"][-1]))
    return np.outer(at_gate, source(values, 0))


def ordinary_by_weights(values, errors):
    """(11)"""
    return np.outer(errors * ROUTINES["sigma_prime"](values["net"][-1]), source(values, 0))
