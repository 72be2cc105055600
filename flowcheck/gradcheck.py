"""The front door of the gradient check: as `verify`, with cells given by name."""

from dataclasses import replace

from .threads import one_blas_thread
from .verify import foreign

__all__ = ["check_gradient", "measure_power", "verify_gradient"]


_HINT = "cell=True names the wrong term, if forward is a cell of the catalogue"


def check_gradient(forward, backward, params, inputs, state0=None, **options):
    """As `verify_gradient`, but raises Mismatch (an AssertionError with `.verification`) unless the verdict is "pass"."""
    return foreign.demand(verify_gradient(forward, backward, params, inputs, state0, **options))


def verify_gradient(forward, backward, params, inputs, state0=None, *, cell=None, **options):
    """Compare a backward pass with its forward pass, entry by entry and lag by lag; see `verify.foreign.verify_gradient`.

    `cell` names a cell of the catalogue ("lstm"), is a Cell, or True: whichever cell of the catalogue reproduces the forward pass; then
    the wrong term is named.
    """
    with one_blas_thread():  # others, waiting at every small product, make it six times as long
        verification = foreign.verify_gradient(forward, backward, params, inputs, state0, cells=_candidates(cell), **options)
    if cell is None and any(f.verdict == "fail" and f.error is not None for f in verification.findings):
        return replace(verification, notes=(*verification.notes, _HINT))
    return verification


def measure_power(forward, backward, params, inputs, state0=None, *, cell=True, time_axis=0, progress=lambda done, of: None, **options):
    """The Power of the check on this backward pass: which mistakes, planted in it from which lag on, would have been caught.

    Options are those of `verify_gradient`. Raises ValueError where no cell of the catalogue is known to be behind the functions.
    """
    from .verify.arguments import Arguments, Functions
    from .verify.power import measure_power

    axis = 0 if isinstance(time_axis, str) else time_axis
    functions, arguments = Functions(forward, backward, axis), Arguments.read(params, inputs, state0 or {}, axis)
    options = {k: v for k, v in options.items() if k not in ("certified", "smallest")}

    def verify(planted):
        return foreign.verify_gradient(forward, planted, params, inputs, state0, time_axis=time_axis, smallest=False, **options)

    return measure_power(functions, arguments, _candidates(cell or True), verify, options.get("seed", 7), progress=progress)


def _candidates(cell):
    from .cells import catalogue, get

    if cell is None:
        return ()
    if cell is True:
        return tuple(catalogue().values())
    return (get(cell) if isinstance(cell, str) else cell,)
