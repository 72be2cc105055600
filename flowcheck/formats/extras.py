"""Libraries that only some formats need."""

from importlib import import_module

from .errors import FormatError

__all__ = ["needed"]


def needed(module, where):
    """An optional library. Raises FormatError that says what to install."""
    try:
        return import_module(module)
    except ImportError as error:
        raise FormatError(f"{where}: files of this format are read with {module}, which is not installed; "
                          "pip install 'flowcheck-rnn[formats]'") from error
