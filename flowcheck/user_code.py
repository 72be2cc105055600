"""module:object of the command line: load it, bring it into the plain form, check it, and say where its backward stands.

This runs the user's code, because the user asked for it by name. Its errors become one line with the user's file and line.
"""

import functools
import importlib
import inspect
import re
import sys
from collections import Counter
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path

from .adapters import PlainForm, from_torch
from .gradcheck import measure_power, verify_gradient
from .places import place_of, what_it_says
from .report.outcome import Location
from .verify import Check

__all__ = ["UserCodeError", "check_object", "is_object_name", "load_object", "plain_form", "source_of"]

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_FORM = "(forward, backward, params, inputs, state0) or these with a dict of options"


class UserCodeError(ValueError):
    """The user's code failed, or is not what can be checked: one line, with file and line where there is one."""


def is_object_name(target):
    """Whether a word of the command line is module:object, such as mypackage.cells:check; or means one, and names its file."""
    return _NAME.fullmatch(target) is not None or ".py:" in target


def check_object(target, power=False, progress=lambda done, of: None, **options):
    """(Checks, Location of the backward or None, message, Power or None) of module:object; ids start with the target. Raises UserCodeError.

    power: plant mistakes in a backward pass that is right, and say which of them would have been caught.
    """
    form = plain_form(load_object(target), target)
    options = options | form.options
    with _user_code(target):
        verification = verify_gradient(*form, **options)
        if verification.verdict == "fail" and options.get("cell") is None:  # the catalogue may know it, and then the wrong term is named
            verification = verify_gradient(*form, **options | {"cell": True})
        found = measure_power(*form, **options, progress=progress) if power and verification.verdict != "fail" else None
    checks, seen = [], Counter()
    for check in verification.checks:
        seen[check.id] += 1
        number = f" ({seen[check.id]})" if seen[check.id] > 1 else ""
        checks.append(replace(_told(check, verification.findings), id=f"{target}/{check.id}{number}"))
    checks += [] if found is None else [_of_power(found, target)]
    return checks, source_of(form.source or form.backward), str(verification), found


def _of_power(found, target):
    """The Check that a power measurement leaves: inconclusive where a planted mistake was missed."""
    words = "" if not found.missed else f"of {found.planted} planted mistakes {len(found.missed)} are missed: {found.missed[0]}"
    return Check(f"{target}/power", "power", "inconclusive" if found.missed else "pass", cell=found.cell, words=words)


def _told(check, findings):
    """The check with the term and the words of the finding that it led to: those name the wrong term where a cell is known."""
    led = next((f for f in findings if check.words and check.words in f.words), None)
    return check if led is None else replace(check, term=led.term, words=led.words)


def load_object(target):
    """The object that module:object names; the working folder comes first on the path, as with python -m."""
    module, _, name = target.partition(":")
    if module.endswith(".py"):
        parts = Path(module).with_suffix("").parts
        where, dotted = ("in its folder ", parts[-1]) if {"/", ".."} & set(parts) else ("", ".".join(parts))
        raise UserCodeError(f"{target}: expected a module, got a file; {where}write {dotted}:{name}")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    importlib.invalidate_caches()
    with _user_code(target):
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name and (module == error.name or module.startswith(f"{error.name}.")):
                raise UserCodeError(f"{target}: no module named {error.name!r} here ({Path.cwd()}) or among the installed ones") from None
            raise
        try:
            return functools.reduce(getattr, name.split("."), found)
        except AttributeError:
            raise UserCodeError(f"{target}: {module} ({getattr(found, '__file__', 'built in')}) has no {name!r}") from None


def plain_form(found, target="object", calls=2):
    """The PlainForm of an object, by what it is:

    a PlainForm, as an adapter gives it; a tuple (forward, backward, params, inputs, state0[, options]); an object with these attributes; a
    torch Module, or an autograd.Function class, with `flowcheck_example`, a method that returns its arguments, or (arguments, keywords for
    from_torch); a function without arguments, or a class, that gives any of these. Raises UserCodeError for anything else.
    """
    if isinstance(found, PlainForm):
        return found
    if _is_torch(found):
        with _user_code(target):
            return _from_example(found, target)
    if isinstance(found, tuple) and len(found) in (5, 6):
        return _checked(target, *found)
    if not inspect.isclass(found) and all(hasattr(found, name) for name in ("forward", "backward", "params", "inputs")):
        return _checked(target, found.forward, found.backward, found.params, found.inputs, getattr(found, "state0", {}),
                        getattr(found, "options", {}))
    if callable(found) and calls:
        with _user_code(target):
            found = found()
        return plain_form(found, target, calls - 1)
    raise UserCodeError(f"{target}: expected {_FORM}, or an object with these attributes, got {type(found).__name__}")


def _is_torch(found):
    torch = sys.modules.get("torch")
    return torch is not None and (
        isinstance(found, torch.nn.Module) or inspect.isclass(found) and issubclass(found, torch.autograd.Function))


def _from_example(found, target):
    if not hasattr(found, "flowcheck_example"):
        name = found.__name__ if inspect.isclass(found) else type(found).__name__
        raise UserCodeError(f"{target}: {name} needs example arguments: give it a method flowcheck_example that returns them, or name a "
                            "function that returns flowcheck.from_torch(...)")
    example = found.flowcheck_example()
    example = example if isinstance(example, tuple) else (example,)
    args, keywords = example if len(example) == 2 and isinstance(example[1], dict) else (example, {})
    return from_torch(found, *(args if isinstance(args, tuple) else (args,)), **keywords)


def _checked(target, forward, backward, params, inputs, state0, options=None):
    functions = {"forward": forward, "backward": backward}
    dicts = {"params": params, "inputs": inputs, "state0": {} if state0 is None else state0, "options": {} if options is None else options}
    wrong = {name: "a function" for name, part in functions.items() if not callable(part)}
    wrong |= {name: "a dict" for name, part in dicts.items() if not isinstance(part, dict)}
    for name, expected in wrong.items():
        raise UserCodeError(f"{target}: {name} is {type((functions | dicts)[name]).__name__}, expected {expected}; the form is {_FORM}")
    return PlainForm(**functions, **dicts)


def source_of(function):
    """Location of a function or class; of the backward of an autograd.Function. None where it has no Python source."""
    function = getattr(function, "backward", function) if inspect.isclass(function) else function
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    function = function if hasattr(function, "__code__") or inspect.isclass(function) or inspect.ismethod(function) else type(function)
    try:
        return Location(inspect.getsourcefile(function), inspect.getsourcelines(function)[1] or 1, function.__qualname__)
    except (OSError, TypeError):
        return None


@contextmanager
def _user_code(target):
    """Run the user's code: what it prints goes to stderr, an exception becomes a UserCodeError with the user's file and line."""
    try:
        with redirect_stdout(sys.stderr):
            yield
    except (UserCodeError, KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:
        place = place_of(error)
        if isinstance(error, ValueError) and place is None:
            raise UserCodeError(f"{target}: {error}") from error
        raise UserCodeError(f"{place or target}: {what_it_says(error)}") from error
