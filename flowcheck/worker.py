"""What a process that measures one net after the other needs: imported here once, for all that are forked from it (`runs`)."""

import scipy.special  # noqa: F401

from . import detectors, formats, measure, targets  # noqa: F401
from .cells import catalogue
from .report import documents  # noqa: F401
from .threads import blas_libraries

catalogue()
blas_libraries()
