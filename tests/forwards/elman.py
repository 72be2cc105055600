"""Elman's net by hand: Elman 1990, logistic units, the context is a copy of the hidden units."""

from forwards._by_hand import logistic, one_sequence


@one_sequence
def by_hand(p, xs, s0):
    context, history = s0["y_prev"], []
    for x in xs:
        hidden = logistic(p["W_x"] @ x + p["W_y"] @ context + p["b"])
        history.append({"y": hidden, "o": logistic(p["W_o_y"] @ hidden + p["b_o"])})
        context = hidden
    return history
