"""The pickle stream of a torch state_dict, interpreted without executing it.

Knows only the opcodes that dicts of tensors need. A global is a pair of names: none is ever imported, and the
three callables that a state_dict has are answered here with a record of their arguments.
"""

import pickletools
from collections import OrderedDict
from dataclasses import dataclass

from .errors import FormatError, shown

__all__ = ["Storage", "Tensor", "read_pickle"]

LARGEST = 8 * 2**20  # a state_dict takes about 100 bytes per tensor

STORAGES = {
    "DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "BFloat16Storage": "bfloat16",
    "LongStorage": "i8", "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1",
    "BoolStorage": "?",
}
ORDERED = ("collections", "OrderedDict")
TENSOR = ("torch._utils", "_rebuild_tensor_v2")
PARAMETER = ("torch._utils", "_rebuild_parameter")


@dataclass(frozen=True, eq=False)
class Global:
    """A name that the stream mentions."""

    module: str
    name: str

    @property
    def pair(self):
        return self.module, self.name


@dataclass(frozen=True, eq=False)
class Storage:
    """Where the numbers of a tensor lie: member data/KEY of the zip file, `numel` numbers of `dtype`."""

    dtype: str
    key: str
    numel: int


@dataclass(frozen=True, eq=False)
class Tensor:
    """A strided window on a storage, as declared; nothing of it is checked yet."""

    storage: Storage
    offset: object
    size: object
    stride: object


def read_pickle(data, where):
    """The object that the stream describes: dicts, lists, tuples, scalars, and a Tensor for every tensor.

    Raises FormatError for any other global, callable or opcode, and for a stream that does not hold together.
    """
    if len(data) > LARGEST:
        raise FormatError(f"{where}: refused: data.pkl has {len(data)} bytes, at most {LARGEST} expected of a "
                          "state_dict; save model.state_dict() alone")
    machine = _Machine(where)
    position = 0
    try:
        for opcode, argument, position in pickletools.genops(data):
            machine.step(opcode.name, argument)
        if len(machine.stack) != 1 or machine.below:
            raise ValueError(f"{len(machine.stack)} objects left, expected 1")
        return machine.stack.pop()
    except FormatError:
        raise
    except Exception as error:  # genops decodes arguments, and what a damaged one raises depends on the opcode
        reason = f"{type(error).__name__}: {error}"
        raise FormatError(f"{where}: data.pkl is damaged near byte {position} ({shown(reason)}); fetch the file "
                          "again") from error


class _Machine:
    def __init__(self, where):
        self.where = where
        self.stack, self.below, self.memo = [], [], {}

    def step(self, op, argument):
        if op in _CONSTANTS:
            self.stack.append(_CONSTANTS[op]() if op.startswith("EMPTY") else argument)
        elif op in ("NONE", "NEWTRUE", "NEWFALSE"):
            self.stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[op])
        elif op in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif op == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif op in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif op == "MARK":
            self.below.append(self.stack)
            self.stack = []
        elif op == "TUPLE":
            items = self.since_mark()
            self.stack.append(tuple(items))
        elif op in ("TUPLE1", "TUPLE2", "TUPLE3"):
            self.stack.append(tuple(self.take(int(op[-1]))))
        elif op in ("SETITEM", "SETITEMS"):
            items = self.take(2) if op == "SETITEM" else self.since_mark()
            self.set_items(self.stack[-1], items)
        elif op in ("APPEND", "APPENDS"):
            items = self.take(1) if op == "APPEND" else self.since_mark()
            self.expect(type(self.stack[-1]) is list, "items appended to something that is no list")
            self.stack[-1].extend(items)
        elif op == "GLOBAL":
            self.stack.append(self.known_global(*argument.split(" ", 1)))
        elif op == "STACK_GLOBAL":
            self.stack.append(self.known_global(*self.take(2)))
        elif op == "BINPERSID":
            self.stack.append(self.storage(self.stack.pop()))
        elif op == "REDUCE":
            function, arguments = self.take(2)
            self.stack.append(self.reduce(function, arguments))
        elif op == "BUILD":
            (state,) = self.take(1)  # _metadata of a state_dict: versions of modules, no weights
            if not isinstance(self.stack[-1], OrderedDict) or not isinstance(state, dict) or set(state) - {"_metadata"}:
                self.refuse("the state of an object")
        elif op not in ("PROTO", "FRAME", "STOP"):
            self.refuse(f"the opcode {op}")

    def expect(self, true, otherwise):
        if not true:
            raise ValueError(otherwise)

    def refuse(self, what):
        raise FormatError(f"{self.where}: refused: it pickles {what}, and loading it would run code; save "
                          "model.state_dict() instead")

    def take(self, n):
        self.expect(len(self.stack) >= n, "stack is empty")
        items = self.stack[-n:]
        del self.stack[-n:]
        return items

    def since_mark(self):
        items, self.stack = self.stack, self.below.pop()
        return items

    def set_items(self, target, items):
        self.expect(isinstance(target, dict) and len(items) % 2 == 0, "items set on something that is no dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            self.expect(isinstance(key, (str, int, float)), f"a {type(key).__name__} as a key")
            target[key] = value

    def known_global(self, module, name):
        self.expect(type(module) is str and type(name) is str, "a global without a name")
        if (module, name) in (ORDERED, TENSOR, PARAMETER) or (module == "torch" and name in STORAGES):
            return Global(module, name)
        return self.refuse(f"{shown(module)}.{shown(name)}")

    def storage(self, declared):
        self.expect(type(declared) is tuple and len(declared) == 5 and declared[0] == "storage", "no storage")
        _, kind, key, _, numel = declared
        self.expect(isinstance(kind, Global) and kind.module == "torch" and type(key) is str and type(numel) is int,
                    "a storage without type, key or length")
        return Storage(STORAGES[kind.name], key, numel)

    def reduce(self, function, arguments):
        self.expect(isinstance(function, Global) and type(arguments) is tuple, "a call of something that is no global")
        if function.pair == ORDERED and not arguments:
            return OrderedDict()
        if function.pair == TENSOR and len(arguments) >= 4 and isinstance(arguments[0], Storage):
            return Tensor(*arguments[:4])
        if function.pair == PARAMETER and arguments and isinstance(arguments[0], Tensor):
            return arguments[0]
        raise ValueError(f"{shown(function.name)} called with other arguments than a state_dict gives it")


_CONSTANTS = {
    "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple,
} | dict.fromkeys(
    ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"))
