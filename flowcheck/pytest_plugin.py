"""The pytest plugin: a fixture `flowcheck` that checks backward passes, and a marker of that name with options for the checks of a test.

Loads nothing but pytest until a test asks for the fixture; keeps no state between tests, so it works under xdist as without.
"""

import zlib
from pathlib import Path
from types import TracebackType

import pytest

__all__ = ["Flowcheck", "flowcheck"]

MARKER = "flowcheck(**options): options for every check of the test, such as intent, time_axis or seed"


def pytest_configure(config):
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def flowcheck(request):
    """Gradient checks with seeded inputs; a failure is one message of at most 25 lines. See `Flowcheck`."""
    options = {}
    for mark in reversed([*request.node.iter_markers("flowcheck")]):
        options |= mark.kwargs
    return Flowcheck(request.node, options)


class Flowcheck:
    """What the fixture gives: check and verify, with the options of the marker, and random inputs keyed by name.

    options   keywords for check_gradient; those of a call win over those of the marker
    """

    def __init__(self, node, options):
        self._node, self.options = node, options
        self.seed = options.get("seed", 7)

    def check_gradient(self, *form, **options):
        """As `flowcheck.check_gradient`, of the five parts or of one PlainForm: the Verification, or a failed test with its text alone."""
        __tracebackhide__ = True
        from .gradcheck import check_gradient

        return self._run(check_gradient, form, options)

    def verify_gradient(self, *form, **options):
        """As `flowcheck.verify_gradient`: the Verification, whatever its verdict."""
        __tracebackhide__ = True
        from .gradcheck import verify_gradient

        return self._run(verify_gradient, form, options)

    def _run(self, function, form, options):
        __tracebackhide__ = True
        if len(form) == 1:
            form, options = [*form[0]], form[0].options | options
        verification = None
        try:
            verification = function(*form, **(self.options | options))
        except Exception as error:
            verification = getattr(error, "verification", None)
            raise error.with_traceback(_without_own_frames(error.__traceback__))
        finally:
            if verification is not None:
                self._node.user_properties.append(("flowcheck", str(verification).splitlines()[0]))
        return verification

    def check_cell(self, cell, **options):
        """Every check of a cell of the catalogue, by name or as a Cell: the Checks, or a failed test with the words of those that fail."""
        __tracebackhide__ = True
        from .cells import get
        from .verify import check_cell

        checks = check_cell(get(cell) if isinstance(cell, str) else cell, **({"seed": self.seed} | options))
        failed = [c for c in checks if c.verdict == "fail"]
        if failed:
            pytest.fail("\n".join(c.words for c in failed), pytrace=False)
        return checks

    def normal(self, scale=1.0, **shapes):
        """{name: array} of N(0, scale^2) numbers. Each name has its own stream: another entry beside it changes nothing."""
        return {name: scale * self.rng(name).normal(size=shape) for name, shape in shapes.items()}

    def rng(self, name):
        """A NumPy generator keyed by the seed and a name."""
        import numpy as np

        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])


def _without_own_frames(trace):
    """The traceback without the frames of this package: what is left is the user's code, if it was at fault."""
    if trace is None:
        return None
    rest = _without_own_frames(trace.tb_next)
    own = Path(trace.tb_frame.f_code.co_filename).is_relative_to(Path(__file__).parent)
    return rest if own else TracebackType(rest, trace.tb_frame, trace.tb_lasti, trace.tb_lineno)
