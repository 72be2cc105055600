"""Hochreiter & Schmidhuber 1997, section 3.2, by hand."""

from forwards._by_hand import one_sequence


@one_sequence
def by_hand(p, xs, s0):
    """A linear unit whose self-connection is 1.0."""
    s, history = s0["s_prev"], []
    for x in xs:
        s = 1.0 * s + p["W_x"] @ x + p["b"]
        history.append({"s": s})
    return history
