"""Hochreiter & Schmidhuber 1997, section 3.1, by hand."""

from forwards._by_hand import logistic, one_sequence


@one_sequence
def by_hand(p, xs, s0):
    """y^i(t) = f(net_i(t)), net_i(t) = sum_j w_ij y^j(t-1), inputs at t."""
    y, history = s0["y_prev"], []
    for x in xs:
        y = logistic([sum(p["W_x"][i, j] * x[j] for j in range(len(x))) + sum(p["W_y"][i, j] * y[j] for j in range(len(y))) + p["b"][i]
                      for i in range(len(y))])
        history.append({"y": y})
    return history
