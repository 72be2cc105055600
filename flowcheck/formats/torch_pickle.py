"""The pickle stream of a torch checkpoint, interpreted without executing it.

A global is a pair of names: none is ever imported or called. The callables that tensors and plain containers need are answered here with a
record of their arguments; every other object is read over as Opaque, so that a checkpoint may hold settings of any type beside its weights.
"""

import pickletools
from collections import OrderedDict
from dataclasses import dataclass, field

from .errors import FormatError, shown

__all__ = ["Opaque", "Storage", "Tensor", "read_pickle"]

LARGEST = 8 * 2**20  # a state_dict takes about 100 bytes per tensor
LONGEST = 500_000  # opcodes, about 60 per tensor

STORAGES = {
    "DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "BFloat16Storage": "bfloat16",
    "LongStorage": "i8", "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1",
    "BoolStorage": "?",
}
ORDERED = ("collections", "OrderedDict")
TENSOR = ("torch._utils", "_rebuild_tensor_v2")
PARAMETERS = {("torch._utils", "_rebuild_parameter"), ("torch._utils", "_rebuild_parameter_with_state")}
FIRST_ARGUMENT = {("torch.jit._pickle", name) for name in (
    "restore_type_tag", "build_intlist", "build_tensorlist", "build_doublelist", "build_boollist")}

# No setting of a model is one of these: who pickles them wants code to run. Nothing is run either way; the file is refused.
HARMLESS_BUILTINS = {
    "bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "getattr", "int", "list", "object", "range", "set",
    "slice", "str", "tuple", "type",
}
RUN_CODE = {
    "_io", "_pickle", "asyncio", "bdb", "cProfile", "code", "codeop", "commands", "ctypes", "ensurepip", "importlib", "io",
    "linecache", "marshal", "nt", "os", "pdb", "pickle", "pip", "pkgutil", "posix", "profile", "pty", "pydoc", "runpy", "shutil",
    "socket", "subprocess", "sys", "timeit", "trace", "webbrowser",
}


@dataclass(frozen=True, eq=False)
class Global:
    """A name that the stream mentions."""

    module: str
    name: str

    @property
    def pair(self):
        return self.module, self.name

    def __str__(self):
        return f"{self.module}.{self.name}"


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


@dataclass(eq=False)
class Opaque:
    """An object of a class that is not known here: what it was made of is kept as data, nothing of it is run.

    items   what was set on it by key, where it is some mapping
    state   the dict of its attributes, where it has one
    """

    kind: str
    items: dict = field(default_factory=dict)
    state: dict = field(default_factory=dict)


def read_pickle(data, where):
    """(object that the stream describes, the outermost module that it pickles or None).

    The object is of dicts, lists, tuples, scalars, a Tensor for every tensor, Opaque for the rest.

    Raises FormatError for a global that runs code, unknown opcodes, and a stream that does not hold together.
    """
    if len(data) > LARGEST:
        raise FormatError(f"{where}: refused: data.pkl has {len(data)} bytes, at most {LARGEST} expected of a "
                          "checkpoint; save model.state_dict() alone")
    machine = _Machine(where)
    position = 0
    try:
        for k, (opcode, argument, position) in enumerate(pickletools.genops(data)):
            if k > LONGEST:
                raise FormatError(f"{where}: refused: data.pkl holds more than {LONGEST} things; save model.state_dict() alone")
            machine.step(opcode.name, argument)
        if len(machine.stack) != 1 or machine.below:
            raise ValueError(f"{len(machine.stack)} objects left, expected 1")
        return machine.stack.pop(), machine.module
    except FormatError:
        raise
    except Exception as error:  # genops decodes arguments, and what a damaged one raises depends on the opcode
        reason = f"{type(error).__name__}: {error}"
        raise FormatError(f"{where}: data.pkl is damaged near byte {position} ({shown(reason)}); fetch the file "
                          "again") from error


class _Machine:
    def __init__(self, where):
        self.where = where
        self.stack, self.below, self.memo, self.module = [], [], {}, None

    def step(self, op, argument):
        if op in _ARGUMENTS:
            self.stack.append(argument)
        elif op in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif op in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif op == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif op in _CONSTANTS:
            self.stack.append(_CONSTANTS[op]())
        elif op == "MARK":
            self.below.append(self.stack)
            self.stack = []
        elif op in ("TUPLE", "LIST", "FROZENSET", "DICT"):
            items = self.since_mark()
            self.stack.append({} if op == "DICT" else list(items) if op == "LIST" else tuple(items))
            if op == "DICT":
                self.set_items(self.stack[-1], items)
        elif op in ("TUPLE1", "TUPLE2", "TUPLE3"):
            self.stack.append(tuple(self.take(int(op[-1]))))
        elif op in ("SETITEM", "SETITEMS"):
            items = self.take(2) if op == "SETITEM" else self.since_mark()
            self.set_items(self.stack[-1], items)
        elif op in ("APPEND", "APPENDS", "ADDITEMS"):
            items = self.take(1) if op == "APPEND" else self.since_mark()
            self.expect(type(self.stack[-1]) in (list, Opaque), "items appended to something that is no list")
            if type(self.stack[-1]) is list:
                self.stack[-1].extend(items)
        elif op == "GLOBAL":
            self.stack.append(self.known_global(*argument.split(" ", 1)))
        elif op == "STACK_GLOBAL":
            self.stack.append(self.known_global(*self.take(2)))
        elif op == "BINPERSID":
            self.stack.append(self.storage(self.stack.pop()))
        elif op in ("REDUCE", "NEWOBJ"):
            function, arguments = self.take(2)
            self.stack.append(self.reduce(function, arguments))
        elif op == "NEWOBJ_EX":
            function, arguments, _ = self.take(3)
            self.stack.append(self.reduce(function, arguments))
        elif op == "BUILD":
            (state,) = self.take(1)
            self.build(self.stack[-1], state)
        elif op == "POP":
            self.take(1)
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
        self.expect(isinstance(target, (dict, Opaque)) and len(items) % 2 == 0, "items set on something that is no dict")
        target = target.items if isinstance(target, Opaque) else target
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(key, int):  # as short as an id, and too few of one hash to make the dict slow
                self.expect(-2**63 <= key < 2**64, "an integer of more than 64 bits as a key")
            self.expect(isinstance(key, (str, int, float, bytes, tuple, type(None), Global, Opaque)), f"a {type(key).__name__} as a key")
            target[key] = value

    def known_global(self, module, name):
        self.expect(type(module) is str and type(name) is str, "a global without a name")
        package = module.partition(".")[0]
        if package in RUN_CODE or (package in ("builtins", "__builtin__") and name not in HARMLESS_BUILTINS):
            self.refuse(f"{shown(module)}.{shown(name)}")
        return Global(module, name)

    def storage(self, declared):
        self.expect(type(declared) is tuple and len(declared) == 5 and declared[0] == "storage", "no storage")
        _, kind, key, _, numel = declared
        self.expect(isinstance(kind, Global) and kind.module == "torch" and type(key) is str and type(numel) is int,
                    "a storage without type, key or length")
        return Storage(STORAGES[kind.name], key, numel) if kind.name in STORAGES else Opaque(str(kind))

    def reduce(self, function, arguments):
        if not isinstance(function, Global) or type(arguments) is not tuple:
            self.expect(isinstance(function, Opaque), "a call of something that is no global")
            return Opaque(function.kind)
        if function.pair == ORDERED and not arguments:
            return OrderedDict()
        if function.pair == TENSOR and len(arguments) >= 4 and isinstance(arguments[0], Storage):
            return Tensor(*arguments[:4])
        if arguments and isinstance(arguments[0], Opaque) and function.module == "torch._utils":
            return arguments[0]
        if function.pair in PARAMETERS and arguments and isinstance(arguments[0], Tensor):
            return arguments[0]
        if function.pair in FIRST_ARGUMENT and arguments:
            return arguments[0]
        if function.pair in (ORDERED, TENSOR, *PARAMETERS):
            raise ValueError(f"{shown(function.name)} called with other arguments than a state_dict gives it")
        return Opaque(str(function))

    def build(self, target, state):
        if isinstance(target, Opaque):
            target.state = state if isinstance(state, dict) else {}
            self.module = target if "_parameters" in target.state else self.module
        elif not isinstance(target, OrderedDict) or not isinstance(state, dict) or set(state) - {"_metadata"}:
            self.refuse("the state of an object")  # _metadata of a state_dict: versions of modules, no weights


_ARGUMENTS = frozenset((
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8", "BINSTRING", "SHORT_BINSTRING"))
_CONSTANTS = {
    "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": list, "NONE": lambda: None, "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
}
