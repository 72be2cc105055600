"""Laws for every file in flowcheck/cells: the catalogue is the folder, and each cell climbs the whole ladder."""

import itertools

import numpy as np
import pytest
import sympy
from conftest import USUAL, covering, features

from flowcheck import EquationError, catalogue, check_cell, compile_cell, notation
from flowcheck.cells import get
from flowcheck.jacobian import StepJacobian
from flowcheck.step import Step
from flowcheck.symbolic import equation_latex, one_step_paths, step_jacobian
from flowcheck.verify.ladder import RUNGS, make_problem


@pytest.fixture
def cell(every_cell):
    return every_cell


def sizes_of(cell):
    small = {name: 2 for name in cell.lengths}
    return {"units": 6, "inputs": 3, "block_size": 2 if "blocks" in cell.sizes.values() else 1, "lengths": small}


def test_catalogue_is_the_folder_listing(cell_names):
    assert sorted(catalogue()) == cell_names
    assert {"conventional", "tanh", "lstm", "lstm1997", "gru", "gru_reset_before", "carousel"} <= set(cell_names)


def test_laws_are_tested_on_cells_that_have_every_feature(cell_names):
    chosen = covering(cell_names)
    missing = {name: features(get(name)).difference(*(features(get(c)) for c in chosen)) for name in cell_names}
    assert not any(missing.values()) and USUAL < set(chosen)
    alone = {c for c in set(chosen) - USUAL if features(get(c)).difference(*(features(get(o)) for o in chosen if o != c))}
    assert len(alone) >= len(set(chosen) - USUAL) - 1, "but for one at most, each is there for a feature that no other has"


def test_unknown_name_is_refused_with_the_catalogue(cell_names):
    with pytest.raises(EquationError) as refused:
        get("lstm1998")
    assert "lstm1998" in str(refused.value) and all(name in str(refused.value) for name in cell_names)
    assert "\n" not in str(refused.value)


def test_cell_is_named_as_its_file_and_says_where_it_is_from(cell):
    assert get(cell.name) is cell
    assert str(cell.year) in cell.source and 1980 <= cell.year <= 2100


def test_cell_climbs_the_whole_ladder(cell):
    checks = check_cell(cell, lags=30)
    assert not [c.words for c in checks if c.verdict == "fail"]
    assert [c.id for c in checks if c.verdict != "pass"] == []
    climbed = {c.rung for c in checks}
    assert climbed >= set(RUNGS) - (set() if cell.claims else {"claims"})
    assert all(c.error <= c.tolerance <= 0.1 for c in checks)


def test_parameters_cover_every_edge_and_bias_once(cell):
    edges = list(cell.parameters.values())
    biases = sum(net.bias is not None for net in cell.nets)
    assert len(set(edges)) == len(edges) == len(cell.edges) + biases
    assert {e for e in edges if e.source != "1"} == set(cell.edges)


def test_previous_states_in_a_trajectory_are_the_new_ones_shifted(cell, rng):
    kernel = compile_cell(cell)
    params = kernel.random_params(rng=rng, **sizes_of(cell))
    lengths = kernel.lengths(params)
    state0 = {old: rng.normal(size=(2, lengths[cell.sizes[old]])) for old in kernel.states}
    trajectory = kernel.forward(params, rng.normal(size=(4, 2, 3)), state0)
    for old, new in kernel.states.items():
        assert np.array_equal(trajectory[old][0], state0[old])
        assert np.array_equal(trajectory[old][1:], trajectory[new][:-1])
        assert np.array_equal(trajectory.at(old, 2), trajectory[new][1])


def test_window_and_sequence_are_runs_of_their_own(cell, rng):
    kernel = compile_cell(cell)
    params, x = kernel.random_params(rng=rng, **sizes_of(cell)), rng.normal(size=(7, 3, 3))
    whole = kernel.forward(params, x)
    window = whole.window(2, 6)
    again = kernel.forward(params, x[2:6], window.state0)
    one, alone = whole.sequence(1), kernel.forward(params, x[:, 1:2])
    for equation in cell.equations:
        name = equation.out.name
        # the same sums, in an order that may depend on the batch: 8 roundings over four to seven steps
        np.testing.assert_allclose(window[name], again[name], rtol=0, atol=2e-15)
        np.testing.assert_allclose(one[name], alone[name], rtol=0, atol=2e-15)


def test_holding_a_unit_at_its_own_values_changes_nothing_and_at_others_does(cell, rng):
    kernel, name = compile_cell(cell), cell.output.name
    params, x = kernel.random_params(rng=rng, **sizes_of(cell)), rng.normal(size=(1, 2, 3))
    free = kernel.forward(params, x)
    mask = np.zeros(free[name].shape[1:], bool)
    mask[:, 1] = True
    same = kernel.forward(params, x, hold={name: (mask, free[name][0])})
    other = kernel.forward(params, x, hold={name: (mask, free[name][0] + 1)})
    assert np.array_equal(same[name], free[name])
    assert np.array_equal(other[name] - free[name] != 0, mask[None])


def test_every_equation_prints_as_one_latex_line(cell):
    for equation in cell.equations:
        text = equation_latex(equation, cell)
        assert text.count("=") >= 1 and "_prev" not in text and "\n" not in text


def test_cut_edges_remove_exactly_the_paths_through_them(cell):
    full, cut = one_step_paths(cell), one_step_paths(cell, cell.recurrent_edges)
    cuts = {(e.source, e.net) for e in cell.recurrent_edges}
    uncut = {pair: [p for p in paths if not cuts & set(itertools.pairwise(p))] for pair, paths in full.items()}
    assert cut == {pair: paths for pair, paths in uncut.items() if paths}


def test_the_step_jacobian_in_formulas_is_the_one_in_numbers(cell, rng):
    problem = make_problem(cell, 3, steps=6)
    run, t = problem.trajectory, 4
    step, maps = Step(run), problem.kernel.fixed_maps(problem.lengths)
    blocks = StepJacobian(step).at(t)
    values = {name: run.at(name, t)[0] for name in cell.sizes} | run.params

    def matrix(factor, columns):
        if not isinstance(factor, str):
            numbers = {s: values[s.name] for s in factor.free_symbols}
            function = sympy.lambdify([*numbers], factor, modules=notation.routines())
            return np.diag(np.broadcast_to(function(*numbers.values()), columns))
        kind, _, net = factor.partition("_")
        if kind in ("share", "sum"):
            shared = np.eye(len(np.unique(maps[net].index)))[maps[net].index]
            return shared if kind == "share" else shared.T
        return run.params[factor]

    formulas = step_jacobian(cell)
    assert formulas.keys() == blocks.keys()
    for (new, old), products in formulas.items():
        total = np.zeros((step.length(new), step.length(old)))
        for product in products:
            found = np.eye(step.length(old))
            for factor in reversed(product):
                found = matrix(factor, len(found)) @ found
            total += found
        # sums of some ten products of slopes and weights of size 1
        np.testing.assert_allclose(blocks[new, old].matrix(total.shape), total, rtol=0, atol=1e-13 * max(1, np.abs(total).max()))
