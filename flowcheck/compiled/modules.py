"""Printed text to functions: written once to a file named by its hash, compiled by Numba, whose machine code is kept beside it.

So the second process that needs the same loops starts at once. The folder is $FLOWCHECK_CACHE, else flowcheck in $XDG_CACHE_HOME or
~/.cache. The text that runs is always the one just printed, never what a file holds.
"""

import ast
import functools
import hashlib
import inspect
import os
import re
import sys
import tempfile
import types
from pathlib import Path

from ..equations import EquationError
from . import routines

__all__ = ["cache_folder", "compiler", "driver_source", "load"]

OPTIONS = "nogil=True, error_model='numpy', fastmath={'contract', 'nsz'}"
"""Threads run side by side. Fused multiply-add and unsigned zeros: no other change of the order or kind of floating-point operations."""


def cache_folder():
    """Where printed modules and their machine code are kept."""
    if "FLOWCHECK_CACHE" in os.environ:
        return Path(os.environ["FLOWCHECK_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flowcheck"


def compiler(otherwise):
    """The module numba. Raises EquationError when it is not installed; `otherwise` says how to go on without."""
    try:
        import numba
    except ImportError:
        raise EquationError(f"compiled loops need Numba, which is not installed: pip install 'flowcheck-rnn[fast]', {otherwise}") from None
    return numba


def driver_source(*functions):
    """Source text of functions that are to be compiled with the printed ones."""
    return "\n\n\n".join(inspect.getsource(f).rstrip() for f in functions)


def load(title, printed, entries, interpreted=False):
    """{name: function} of the functions `entries` of a printed text, compiled; as plain Python if `interpreted`. Functions named llvm_...
    are intrinsic functions of Numba.

    Raises EquationError when Numba is not installed.
    """
    text = "\n\n\n".join([f'"""{title}; printed by flowcheck."""', "import math\n\nimport numpy as np", _routines(), printed]) + "\n"
    if interpreted:
        space = {"__name__": "flowcheck_printed"}
        exec(compile(text, "<printed>", "exec"), space)  # noqa: S102  (our own text)
        return {name: space[name] for name in entries}
    numba = compiler("or use the NumPy functions, which give the same numbers")
    text = text.replace("import math\n", "import math\n\nfrom numba import njit\nfrom numba.extending import intrinsic\n", 1)
    compiled = lambda name: f"njit({OPTIONS}{', cache=True' if name in entries else ''})"  # noqa: E731
    text = re.sub(r"^def (\w+)", lambda m: f"@{'intrinsic' if m[1].startswith('llvm_') else compiled(m[1])}\n{m[0]}", text, flags=re.M)
    name = f"{re.sub(r'[^a-z0-9]+', '_', title.lower())[:40]}_{hashlib.sha256(f'{numba.__version__}{text}'.encode()).hexdigest()[:16]}"
    module = types.ModuleType(f"flowcheck_{name}")  # Numba finds the globals of cached code through sys.modules
    module.__file__ = _written(f"{name}.py", text)
    sys.modules[module.__name__] = module
    exec(compile(text, module.__file__, "exec"), vars(module))  # noqa: S102
    return {entry: getattr(module, entry) for entry in entries}


@functools.cache
def _routines():
    """Constants and functions of `routines`, without its docstring and imports."""
    source = inspect.getsource(routines)
    body = [n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef | ast.Assign)]
    lines = source.splitlines()
    return "\n\n\n".join("\n".join(lines[n.lineno - 1:n.end_lineno]) for n in body if "ROUTINES" not in ast.unparse(n))


def _written(name, text):
    """Path of the file with this text, written whole if it is not there; a private folder if the usual one cannot be written."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / name
        if not path.exists() or path.read_text() != text:
            _write(path, text)
    except OSError:
        path = Path(tempfile.mkdtemp(prefix="flowcheck-")) / name
        _write(path, text)
    return str(path)


def _write(path, text):
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w") as file:
        file.write(text)
    os.replace(name, path)
