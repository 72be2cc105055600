"""Where in the user's own files an error arose, and what it says, in one line."""

import sysconfig
import traceback
from pathlib import Path

__all__ = ["place_of", "what_it_says"]


def what_it_says(error):
    """The type of an error, or of its cause, and its message."""
    return f"{type(error.__cause__ or error).__name__}: {' '.join(str(error).split()) or 'no message'}"


def place_of(error):
    """file:line of the innermost frame that belongs to the user: not to flowcheck, Python, or an installed package. None without one."""
    if error.__cause__ is not None and (place := place_of(error.__cause__)):
        return place
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(error.filename)}:{error.lineno}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if _is_users(f.filename)]
    return f"{_shown(frames[-1].filename)}:{frames[-1].lineno}" if frames else None


def _is_users(filename):
    file = Path(filename)
    foreign = [Path(__file__).parent, *(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib"))]
    return file.suffix == ".py" and not any(file.is_relative_to(folder) for folder in foreign)


def _shown(filename):
    file = Path(filename)
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
