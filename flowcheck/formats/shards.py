"""Safetensors in several files, listed by an index (`NAME.safetensors.index.json`)."""

import json
from pathlib import Path

from .errors import FormatError, shown
from .safetensors_file import read_safetensors
from .sniff import opened
from .stored import Contents

__all__ = ["read_shards"]

LONGEST = 32 * 2**20


def read_shards(handle, where):
    """Contents of all files of an index, in its order of tensors' names.

    Raises FormatError for an index that is none, names of files outside its folder, and tensors that are not where it says.
    """
    data, path = handle.read(LONGEST + 1), Path(handle.name)
    try:
        index = json.loads(data) if len(data) <= LONGEST else None
        places = dict(index["weight_map"])
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        raise FormatError(f"{where}: no index of safetensors ({type(error).__name__}: {shown(error)}), expected weight_map "
                          "{tensor: file}; fetch it again") from error
    found, folders = Contents(), {path.parent.resolve(), path.resolve().parent}  # a cache may keep both as links to one folder
    for shard in dict.fromkeys(places.values()):
        if not isinstance(shard, str) or Path(shard).name != shard or "\0" in shard or (
                path.parent / shard).resolve().parent not in folders:
            raise FormatError(f"{where}: refused: {shown(shard)} is no file in the index's own folder; keep the files together")
        if not (path.parent / shard).is_file():
            raise FormatError(f"{where}: {shown(shard)} is not beside the index, expected every file that it lists; fetch that one as well")
        with opened(path.parent / shard) as file:
            part = read_safetensors(file, shard)
        found.tensors |= {name: array for name, array in part.tensors.items() if places.get(name) == shard}
        found.notes += [note for note in part.notes if note not in found.notes]
    missing = [name for name in places if name not in found.tensors]
    if missing:
        raise FormatError(f"{where}: {shown(missing[0])} is not in {shown(places[missing[0]])}, as the index says; fetch that file again")
    return found
