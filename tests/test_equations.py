"""A cell checks itself when built: a refusal names cell, line and symbol in one line; a new file is a working cell."""

import inspect

import numpy as np
import pytest
import sympy
from scipy.sparse.csgraph import connected_components

from flowcheck import Cell, EquationError, Net, Unit, bounds, catalogue, check_cell, compile_cell, state_flow
from flowcheck.equations import Edge
from flowcheck.notation import sigma, symbols, tanh

x, y_prev, s_prev, b_prev = symbols("x y_prev s_prev b_prev")
net, net_b, net_d, y, s, b, ghost = symbols("net net_b net_d y s b ghost")


def build(equations, *, inputs=(x,), state=None, output=y):
    return Cell("broken", "nobody 2020", 2020, inputs=inputs, state={y_prev: y} if state is None else state,
                output=output, equations=equations)


def a_net_reads_an_unknown_symbol():
    build([
        Net(net, x, ghost),  # refused
        Unit(y, tanh(net) + y_prev),
    ])


def a_unit_reads_an_unknown_symbol():
    build([
        Net(net, x, y_prev),
        Unit(y, tanh(net) * ghost),  # refused
    ])


def a_vector_is_used_before_it_is_computed():
    build([
        Unit(y, tanh(net) + y_prev),  # refused
        Net(net, x),
    ])


def a_state_is_never_updated():
    build([Net(net, x, y_prev, s_prev), Unit(y, tanh(net))], state={y_prev: y, s_prev: s})


def an_equation_is_never_used():
    build([
        Net(net, x, y_prev),
        Unit(s, tanh(net)),  # refused
        Unit(y, tanh(net)),
    ])


def two_equations_of_one_name():
    build([
        Net(net, x, y_prev),
        Unit(y, tanh(net)),
        Unit(y, sigma(net)),  # refused
    ])


def a_previous_state_is_computed():
    build([
        Net(net, x, y_prev),
        Unit(y_prev, tanh(net)),  # refused
        Unit(y, tanh(net)),
    ])


def a_symbol_is_input_and_state():
    build([Net(net, x, y_prev), Unit(y, tanh(net))], inputs=(x, y_prev))


def blocks_and_units_are_mixed():
    build([
        Net(net_b, x, size="blocks"),
        Net(net, x, y_prev),
        Unit(y, sigma(net_b) * tanh(net)),  # refused
    ])


def a_state_meets_a_vector_of_another_length():
    build([
        Net(net_b, x, size="blocks"),
        Unit(b, sigma(net_b)),
        Net(net, x, y_prev),
        Unit(y, tanh(net) + b_prev),  # refused
    ], state={y_prev: y, b_prev: b})


def a_diagonal_net_reads_another_length():
    build([
        Net(net_d, x, kind="diagonal"),  # refused
        Unit(y, tanh(net_d) + y_prev),
    ])


def a_shared_net_reads_units():
    build([
        Net(net_d, y_prev, kind="shared"),  # refused
        Net(net, x),
        Unit(y, tanh(net_d) + net),
    ])


def a_net_is_of_unknown_kind():
    build([
        Net(net, x, y_prev, kind="sparse"),  # refused
        Unit(y, tanh(net)),
    ])


def a_net_has_no_sources():
    build([
        Net(net),  # refused
        Unit(y, tanh(net) + y_prev),
    ])


def a_function_has_no_routine():
    build([
        Net(net, x, y_prev),
        Unit(y, sympy.gamma(net)),  # refused
    ])


def the_output_has_no_equation():
    build([Net(net, x, y_prev), Unit(y, tanh(net))], output=ghost)


def an_input_is_never_read():
    build([Net(net, y_prev), Unit(y, tanh(net))])


def a_previous_state_is_never_read():
    build([Net(net, x), Unit(y, tanh(net))])


def a_vector_has_no_length():
    build([Net(net, x, s_prev), Unit(y, y_prev + 1), Unit(s, tanh(net))], state={y_prev: y, s_prev: s})


def the_size_of_a_net_is_no_size():
    build([
        Net(net, x, y_prev, size="unit"),  # refused
        Unit(y, tanh(net)),
    ])


def a_net_reads_one_source_twice():
    build([
        Net(net, x, y_prev, x),  # refused
        Unit(y, tanh(net)),
    ])


REFUSED = [
    (a_net_reads_an_unknown_symbol, "net", "ghost"),
    (a_unit_reads_an_unknown_symbol, "y", "ghost"),
    (a_vector_is_used_before_it_is_computed, "y", "move its equation up"),
    (a_state_is_never_updated, "s_prev", "never updated"),
    (an_equation_is_never_used, "s", "never used"),
    (two_equations_of_one_name, "y", "two equations"),
    (a_previous_state_is_computed, "y_prev", "previous state"),
    (a_symbol_is_input_and_state, "y_prev", "twice"),
    (blocks_and_units_are_mixed, "y", "different length"),
    (a_state_meets_a_vector_of_another_length, "y", "different length"),
    (a_diagonal_net_reads_another_length, "net_d", "diagonal"),
    (a_shared_net_reads_units, "net_d", "shared"),
    (a_net_is_of_unknown_kind, "net", "'sparse'"),
    (a_net_has_no_sources, "net", "0 sources"),
    (a_function_has_no_routine, "y", "gamma"),
    (the_output_has_no_equation, "ghost", "no equation"),
    (an_input_is_never_read, "x", "never read"),
    (a_previous_state_is_never_read, "y_prev", "never read"),
    (a_vector_has_no_length, "y_prev", "no length"),
    (the_size_of_a_net_is_no_size, "net", "'unit'"),
    (a_net_reads_one_source_twice, "net", "twice"),
]


def line_marked_refused(builder):
    lines, first = inspect.getsourcelines(builder)
    marked = [first + k for k, text in enumerate(lines) if "# refused" in text]
    return marked[0] if marked else None


@pytest.mark.parametrize(("builder", "symbol", "reason"), REFUSED, ids=[row[0].__name__ for row in REFUSED])
def test_refusal_names_cell_line_symbol_and_reason_in_one_line(builder, symbol, reason):
    with pytest.raises(EquationError) as refused:
        builder()
    message, line = str(refused.value), line_marked_refused(builder)
    where = "broken" if line is None else f"broken, line {line}"
    assert message.startswith(f"{where}: {symbol} ")
    assert reason in message
    assert "\n" not in message and len(message) < 250


def test_the_same_cell_without_a_mistake_is_accepted():
    cell = build([Net(net, x, y_prev), Unit(y, tanh(net))])
    assert list(cell.parameters) == ["W_x", "W_y", "b"]
    assert dict(cell.sizes) == {"x": "inputs", "y_prev": "units", "net": "units", "y": "units"}


def test_unknown_cut_edge_is_refused_with_the_known_ones(cell):
    edge = str(cell.edges[0])
    assert cell.cut([edge]) == frozenset([cell.edges[0]])
    with pytest.raises(EquationError) as refused:
        cell.cut([edge, "net_of<-nowhere"])
    message = str(refused.value)
    assert cell.name in message and "net_of<-nowhere" in message and edge in message and "\n" not in message


def test_cut_true_is_every_weighted_edge_on_a_loop_but_those_into_the_output(cell):
    names = [s.name for s in cell.symbols]
    reads = np.zeros((len(names),) * 2)
    for source, target in [(s, e.out) for e in cell.equations for s in e.reads] + [(new, old) for old, new in cell.state.items()]:
        reads[names.index(source.name), names.index(target.name)] = 1
    loop = dict(zip(names, connected_components(reads, connection="strong")[1], strict=True))
    expected = {e for e in cell.edges if loop[e.net] == loop[e.source] and e.net != cell.output.name}
    assert cell.cut(True) == cell.recurrent_edges == expected
    assert cell.cut(()) == cell.cut(False) == frozenset()


def test_bias_and_source_of_the_parameters_name_the_edge():
    cell = build([Net(net_b, x, y_prev, bias=None), Net(net, x), Unit(y, sigma(net_b) * tanh(net))])
    assert cell.parameters == {"W_b_x": Edge("net_b", "x"), "W_b_y": Edge("net_b", "y_prev"), "W_x": Edge("net", "x"),
                               "b": Edge("net", "1")}


IN_Y_PREV, NET_IN, Y_IN, IN_X = symbols("in_y_prev net_in y_in in_x")
CLASHES = {
    "previous": (
        [Net(net, x, IN_Y_PREV), Net(NET_IN, x, y_prev), Unit(Y_IN, sigma(NET_IN)), Unit(y, Y_IN * tanh(net))],
        {y_prev: y, IN_Y_PREV: Y_IN},
    ),
    "current": (
        [Net(NET_IN, x), Unit(IN_X, sigma(NET_IN)), Net(net, IN_X, x, y_prev), Unit(y, tanh(net))],
        {y_prev: y},
    ),
}


@pytest.mark.parametrize("case", CLASHES)
def test_parameters_whose_names_would_clash_stay_apart_or_are_refused(case):
    equations, state = CLASHES[case]
    try:
        cell = build(equations, state=state)
    except EquationError as refused:
        assert "W_in_" in str(refused)
    else:
        assert set(cell.parameters.values()) >= set(cell.edges)


PEEPHOLE_FILE = '''
from flowcheck.equations import Cell, CellClaim, Net, Unit
from flowcheck.notation import sigma, symbols, tanh

x, y_prev, s_prev, net_f, net_p, net_c, net_o, f, s, y = symbols("x y_prev s_prev net_f net_p net_c net_o f s y")

CELL = Cell(
    "leaky", "a test 2024", 2024, inputs=[x], state={s_prev: s, y_prev: y}, output=y,
    equations=[
        Net(net_f, x, y_prev, bias=1.0),
        Net(net_p, s_prev, kind="diagonal", bias=None),
        Unit(f, sigma(net_f + net_p)),
        Net(net_c, x, y_prev),
        Unit(s, f * s_prev + (1 - f) * tanh(net_c)),
        Net(net_o, s, kind="diagonal"),
        Unit(y, sigma(net_o) * s),
    ],
    claims=[CellClaim("product:f", "s", "with the recurrent connections cut, flow is the product of the gates f")],
)
'''


def test_a_new_cell_file_gets_forward_flow_and_the_whole_ladder(tmp_path, rng):
    (tmp_path / "leaky.py").write_text(PEEPHOLE_FILE)
    cell = catalogue(tmp_path)["leaky"]
    kernel = compile_cell(cell)
    trajectory = kernel.forward(kernel.random_params(5, 3, rng), rng.normal(size=(21, 1, 3)))
    assert trajectory["y"].shape == (21, 1, 5)
    flow = state_flow(trajectory, 20)
    assert flow.gradient == "full" and np.isfinite(flow.log10_norm).all() and flow.above_floor == 20
    checks = check_cell(cell, lags=30)
    assert {c.verdict for c in checks} == {"pass"} and {c.rung for c in checks} >= {"flow", "claims", "gradient"}


U = symbols("u")
UNUSUAL = {
    "no-bias": {"equations": [Net(net, x, y_prev, bias=None), Unit(y, tanh(net))]},
    "two-inputs": {"equations": [Net(net, x, U, y_prev), Unit(y, tanh(net))], "inputs": (x, U)},
    "linear": {"equations": [Net(net, x, y_prev), Unit(y, net / 2)]},
    "diagonal-recurrence": {
        "equations": [Net(net, x), Net(net_d, y_prev, kind="diagonal"), Unit(y, tanh(net + net_d))],
    },
}


@pytest.mark.parametrize("shape", UNUSUAL)
def test_an_accepted_cell_of_unusual_shape_climbs_the_whole_ladder(shape):
    checks = check_cell(build(**UNUSUAL[shape]), lags=8)
    assert [c.words for c in checks if c.verdict != "pass"] == []
    assert {c.rung for c in checks} >= {"forward", "flow", "gradient"}


def test_the_bound_of_section_3_1_needs_no_bias(rng):
    kernel = compile_cell(build([Net(net, x, y_prev, bias=None), Unit(y, tanh(net))]))
    trajectory = kernel.forward(kernel.random_params(5, 3, rng), rng.normal(size=(6, 1, 3)))
    found = bounds(trajectory, 5)
    np.testing.assert_allclose(found["with n"] - found["without n"], np.log10(5), rtol=1e-12)


def test_a_new_cell_file_with_a_false_claim_falls_off_the_ladder(tmp_path):
    text = PEEPHOLE_FILE.replace("product:f", "carousel").replace('"leaky"', '"liar"')
    (tmp_path / "liar.py").write_text(text)
    last = check_cell(catalogue(tmp_path)["liar"], lags=10)[-1]
    assert (last.verdict, last.rung, last.first_bad_lag) == ("fail", "claims", 1)


@pytest.mark.parametrize("text", ["CELL = 3\n", "", PEEPHOLE_FILE], ids=["not-a-cell", "empty", "other-name"])
def test_a_file_that_does_not_end_with_its_cell_is_refused(tmp_path, text):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(EquationError, match="mine.py"):
        catalogue(tmp_path)
