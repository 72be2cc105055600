"""Vanilla LSTM: forget gate, peepholes, tanh for g and h, full gradient (Greff et al. 2017); and `variant`, it with one thing changed."""

from ..equations import Cell, CellClaim, Layout, Net, Unit
from ..notation import sigma, symbols, tanh

x, y_prev, s_prev = symbols("x y_prev s_prev")
net_in, peep_in, net_f, peep_f, net_c, net_out, peep_out = symbols("net_in peep_in net_f peep_f net_c net_out peep_out")
y_in, y_f, c, y_out, s, y = symbols("y_in y_f c y_out s y")

EQUATIONS = [
    Net(net_f, x, y_prev),
    Net(peep_f, s_prev, kind="diagonal", bias=None),
    Unit(y_f, sigma(net_f + peep_f)),
    Net(net_in, x, y_prev),
    Net(peep_in, s_prev, kind="diagonal", bias=None),
    Unit(y_in, sigma(net_in + peep_in)),
    Net(net_c, x, y_prev),
    Unit(c, tanh(net_c)),
    Unit(s, y_f * s_prev + y_in * c),
    Net(net_out, x, y_prev),
    Net(peep_out, s, kind="diagonal", bias=None),
    Unit(y_out, sigma(net_out + peep_out)),
    Unit(y, y_out * tanh(s)),
]
KEPT = CellClaim("product:y_f", "s", "with recurrent connections and peepholes cut, flow is the product of the forget gates")


def variant(name, words, changed=(), without=(), kept=None, claims=(KEPT,), layouts=()):
    """The vanilla LSTM with some equations changed or left out, and some values kept as further states."""
    new = {e.out: e for e in changed}
    equations = [new.get(e.out, e) for e in EQUATIONS if e.out not in without]
    state = {s_prev: s, y_prev: y} | (kept or {})
    return Cell(name, f"Greff et al. 2017, {words}", 2017, inputs=[x], state=state, output=y, equations=equations, claims=claims,
                layouts=layouts)


CELL = variant("lstm_vanilla", "the vanilla LSTM", layouts=[
    Layout("onnx", "LSTM(peepholes)", ("net_in", "net_out", "net_f", "net_c"), letters=("i", "o", "f", "c"))])
