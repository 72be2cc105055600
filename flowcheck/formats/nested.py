"""The state_dict among the dicts of a checkpoint."""

from .errors import FormatError, shown
from .torch_names import is_recurrent

__all__ = ["find_state_dict"]

DEEPEST = 4  # {"checkpoint": {"model": {"state_dict": ...}}} is one level less
MOST = 10_000


def find_state_dict(root, is_tensor, where, entries_of=lambda value: value):
    """(path, dict) of the one dict that has recurrent weights, or else of the one with most tensors.

    is_tensor    whether a value is one
    entries_of   the dict of a value that is not a dict itself, or the value

    Raises FormatError where several dicts have recurrent weights.
    """
    found, seen, level = [], set(), [("", entries_of(root))]
    for _ in range(DEEPEST):
        deeper = []
        for path, entries in level:
            if id(entries) in seen or len(seen) > MOST:
                continue
            seen.add(id(entries))
            tensors = [k for k, v in entries.items() if isinstance(k, str) and is_tensor(v)]
            found.append((any(map(is_recurrent, tensors)), len(tensors), path, entries))
            inner = [(k, entries_of(v)) for k, v in entries.items()]
            deeper += [(f"{path}[{shown(repr(k))}]", v) for k, v in inner if isinstance(v, dict)]
        level = deeper
    recurrent = [(path, entries) for has, _, path, entries in found if has]
    if len(recurrent) > 1:
        paths = ", ".join(path or "the file itself" for path, _ in recurrent[:4])
        raise FormatError(f"{where}: expected one dict with recurrent weights, got {len(recurrent)} ({paths}); save "
                          "the one you mean in a file of its own")
    return recurrent[0] if recurrent else max(found, key=lambda one: one[1])[2:]
