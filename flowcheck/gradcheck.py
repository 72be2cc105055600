"""The front door of the gradient check: as `verify`, with cells given by name."""

from .verify import foreign

__all__ = ["check_gradient", "verify_gradient"]


def check_gradient(forward, backward, params, inputs, state0=None, **options):
    """As `verify_gradient`, but raises Mismatch (an AssertionError with `.verification`) unless the verdict is "pass"."""
    return foreign.demand(verify_gradient(forward, backward, params, inputs, state0, **options))


def verify_gradient(forward, backward, params, inputs, state0=None, *, cell=None, **options):
    """Compare a backward pass with its forward pass, entry by entry and lag by lag; see `verify.foreign.verify_gradient`.

    `cell` names a cell of the catalogue ("lstm"), is a Cell, or True: whichever cell of the catalogue reproduces the forward pass.
    """
    return foreign.verify_gradient(forward, backward, params, inputs, state0, cells=_candidates(cell), **options)


def _candidates(cell):
    from .cells import catalogue, get

    if cell is None:
        return ()
    if cell is True:
        return tuple(catalogue().values())
    return (get(cell) if isinstance(cell, str) else cell,)
