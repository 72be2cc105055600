"""Claims out of files: a derivation file ends with CLAIMS; files of one folder may import each other by `from .name import ...`."""

import importlib.util
import itertools
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from .claim import Claim, ClaimError

__all__ = ["load"]

def load(*paths):
    """The claims of derivation files, or of all files of a folder that do not start with "_", in order.

    Each claim's `source` is the path of its file. Raises ClaimError for a path that does not exist, a file without
    CLAIMS, a folder without any, a claim that appears twice.
    """
    claims, seen = [], {}
    for path in map(Path, paths):
        if not path.exists():
            raise ClaimError(f"{path}: no such file or folder")
        files = [f for f in sorted(path.glob("*.py"), key=_reading_order) if not f.name.startswith("_")] if path.is_dir() else [path]
        if not files:
            raise ClaimError(f"{path}: no derivation files in this folder")
        for file, found in zip(files, _modules(files)):
            for claim in _claims_of(file, found):
                if claim.id in seen:
                    raise ClaimError(f"{file}: claim {claim.id!r} is already in {seen[claim.id]}")
                seen[claim.id] = file
                claims.append(replace(claim, source=str(file)))
    return claims


def _reading_order(file):
    """Sections (s3_1 ...) before appendices (a1 ...), as in the paper; other files last."""
    return {"s": 0, "a": 1}.get(file.name[0], 2), file.name


def _modules(files):
    """Each file as a module of one passing package, so that a file is run once however many others import it.

    No bytecode is kept: Python would take it for that of a later text with the same size and second.
    """
    package = ModuleType(f"derivations_{next(_numbers)}")
    package.__path__ = [str(files[0].parent)]
    sys.modules[package.__name__] = package
    kept, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        for file in files:
            yield _module(file, f"{package.__name__}.{file.stem}")
    finally:
        sys.dont_write_bytecode = kept
        for name in [n for n in sys.modules if n.split(".")[0] == package.__name__]:
            del sys.modules[name]


_numbers = itertools.count()


def _module(file, name):
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None:
        raise ClaimError(f"{file}: not a Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        with redirect_stdout(sys.stderr):  # what is reported goes to stdout, alone
            spec.loader.exec_module(module)
    except (KeyboardInterrupt, MemoryError, ClaimError):
        raise
    except SystemExit as stop:
        raise ClaimError(f"{file}: ends the program (sys.exit({stop.code!r})); a derivation file only says what its CLAIMS are") from stop
    except BaseException as error:
        raise ClaimError(f"{file}: {type(error).__name__}: {error}") from error
    return module


def _claims_of(file, module):
    claims = getattr(module, "CLAIMS", None)
    if not claims or not all(isinstance(c, Claim) for c in claims):
        raise ClaimError(f"{file}: a derivation file ends with CLAIMS = [...], a list of Claim")
    return claims
