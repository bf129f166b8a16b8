"""Reading a pickle as data: a small interpreter that never imports or calls what a file names.

Python's own unpickler imports and calls whatever a pickle asks for, so a file can run arbitrary
code. This one follows the same instructions, but replaces every object with an :class:`Inert`
record of the arguments and state that the object would have received. A pickle that names anything
other than the classes found in checkpoints is refused.
"""

import pickletools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NamedTuple

from segdistill.errors import UserError


class Global(NamedTuple):
    """A name that Python's own unpickler would import."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Inert:
    """A placeholder for an object.

    Attributes:
        made_by: the name of its class.
        arguments: the arguments that the class would have been called with.
        state: the state that the object would have been given afterwards.
        entries: its items, if it is a kind of dictionary.
    """

    made_by: Global
    arguments: tuple[object, ...]
    state: object = None
    entries: dict[object, object] = field(default_factory=dict)


class RefusedPickleError(UserError):
    """A pickle asks for something that plain data does not need."""


Rebuild = Callable[..., object]

# All classes of these libraries are recorded; by convention, class names are capitalized.
CLASS_LIBRARIES = frozenset(
    {"omegaconf", "pytorch_lightning", "lightning", "lightning_fabric", "torchmetrics", "typing"}
)
PLAIN_TYPES = (
    *("dict", "list", "set", "frozenset", "tuple", "int", "float", "complex", "str", "bool"),
    *("bytes", "bytearray", "object", "slice", "type", "long", "unicode"),
)
TORCH_TYPES = {
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "BoolStorage": "bool",
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
}
SINGLE_NAMES = frozenset(
    {
        *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in PLAIN_TYPES),
        *("collections.OrderedDict", "collections.defaultdict", "argparse.Namespace"),
        *("operator.getitem", "_operator.getitem", "enum.Enum"),  # in the names of types
        *("pathlib.Path", "pathlib.PosixPath", "pathlib.WindowsPath"),
        *("_codecs.encode", "numpy.dtype", "numpy.ndarray"),
        *("numpy.core.multiarray.scalar", "numpy.core.multiarray._reconstruct"),
        *("numpy._core.multiarray.scalar", "numpy._core.multiarray._reconstruct"),
        *("torch.Size", "torch.device"),
        *(f"torch.{name}" for pair in TORCH_TYPES.items() for name in pair),
    }
)
DICTIONARIES = frozenset(
    {"builtins.dict", "__builtin__.dict", "collections.OrderedDict", "collections.defaultdict"}
)

LITERALS = frozenset(
    {
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BYTEARRAY8"),
    }
)
FRESH: dict[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_SET": list,
    "EMPTY_DICT": dict,
}
SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
MEMO_WRITES = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
MEMO_READS = frozenset({"GET", "BINGET", "LONG_BINGET"})
SIMPLE_KEYS = (str, int, float, bytes, type(None), Global)


def read_pickle(
    stream: BinaryIO, *, rebuild: Mapping[str, Rebuild], persistent: Callable[[Any], object]
) -> object:
    """Read one pickle as data, leaving the stream positioned after it.

    Sets become lists, and dictionaries of every kind become plain ones; entries whose keys are not
    simple values are dropped.

    Args:
        stream: a stream positioned at the start of the pickle.
        rebuild: functions to call when the pickle calls one of these names; they must accept
            arguments of any kind.
        persistent: function that resolves a persistent ID, a reference to data outside the pickle.

    Raises:
        RefusedPickleError: the pickle asks for something that is not plain data.
        Exception: the pickle is damaged; the type varies.
    """
    machine = _Machine(rebuild, persistent)
    for instruction, argument, _position in pickletools.genops(stream):
        machine.step(instruction.name, argument)
    return machine.stack.pop()


def is_recorded(named: Global) -> bool:
    """Return whether a name is one of those found in checkpoints.

    Example:
        >>> is_recorded(Global("omegaconf.nodes", "AnyNode")), is_recorded(Global("os", "system"))
        (True, False)
    """
    library = named.module.split(".")[0]
    is_class = all(part[:1].isupper() for part in named.name.split("."))
    return str(named) in SINGLE_NAMES or (library in CLASS_LIBRARIES and is_class)


class _Machine:
    """The pickle machine: a stack with marks, and a memo.

    The stack holds only plain values, names, records, and results of ``rebuild`` and
    ``persistent``.
    """

    def __init__(self, rebuild: Mapping[str, Rebuild], persistent: Callable[[Any], object]) -> None:
        self._rebuild = rebuild
        self.stack: list[Any] = []
        self._below_marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._actions: dict[str, Callable[[], object]] = {
            "PROTO": lambda: None,
            "FRAME": lambda: None,
            "STOP": lambda: None,
            "MARK": self._mark,
            # A mark counts as a value here, as in Python's own unpickler.
            "POP": lambda: self.stack.pop() if self.stack else self._to_mark(),
            "POP_MARK": self._to_mark,
            "MEMOIZE": lambda: self._memo.update({len(self._memo): self.stack[-1]}),
            "TUPLE": lambda: self._push(tuple(self._to_mark())),
            "LIST": lambda: self._push(self._to_mark()),
            "FROZENSET": lambda: self._push(self._to_mark()),
            "DICT": lambda: self._push(_filled({}, self._to_mark())),
            "APPEND": lambda: self._extend([self.stack.pop()]),
            "APPENDS": lambda: self._extend(self._to_mark()),
            "ADDITEMS": lambda: self._extend(self._to_mark()),
            "SETITEM": lambda: self._set_items(self._pop(2)),
            "SETITEMS": lambda: self._set_items(self._to_mark()),
            "STACK_GLOBAL": lambda: self._name(*self._pop(2)),
            "REDUCE": lambda: self._call(*self._pop(2)),
            "NEWOBJ": lambda: self._call(*self._pop(2)),
            "NEWOBJ_EX": lambda: self._call(*self._pop(3)),
            "BUILD": lambda: self._build(self.stack.pop()),
            "BINPERSID": lambda: self._push(persistent(self.stack.pop())),
        }

    def step(self, instruction: str, argument: Any) -> None:
        """Execute one instruction, given by its ``pickletools`` name and its argument."""
        if instruction in LITERALS:
            self._push(argument)
        elif instruction in FRESH:
            self._push(FRESH[instruction]())
        elif instruction in SHORT_TUPLES:
            self._push(tuple(self._pop(SHORT_TUPLES[instruction])))
        elif instruction in MEMO_WRITES:
            self._memo[argument] = self.stack[-1]
        elif instruction in MEMO_READS:
            self._push(self._memo[argument])
        elif instruction == "GLOBAL":
            self._name(*argument.split(" ", 1))
        elif instruction in self._actions:
            self._actions[instruction]()
        else:
            raise RefusedPickleError(f"uses the pickle instruction {instruction}")

    def _push(self, value: object) -> None:
        self.stack.append(value)

    def _pop(self, count: int) -> list[Any]:
        return [self.stack.pop() for _ in range(count)][::-1]

    def _mark(self) -> None:
        self._below_marks.append(self.stack)
        self.stack = []

    def _to_mark(self) -> list[Any]:
        above, self.stack = self.stack, self._below_marks.pop()
        return above

    def _extend(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(values)
        elif not isinstance(target, Inert):  # the content of a foreign list is not needed
            raise RefusedPickleError("adds values to something that is not a list")

    def _set_items(self, flat: Sequence[Any]) -> None:
        target = self.stack[-1]
        entries = target.entries if isinstance(target, Inert) else target
        if not isinstance(entries, dict):
            raise RefusedPickleError("sets entries of something that has none")
        _filled(entries, flat)

    def _name(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise RefusedPickleError("names something by a value that is not text")
        named = Global(module, name)
        if str(named) not in self._rebuild and not is_recorded(named):
            # As repr: the name may contain line breaks and terminal escape codes.
            raise RefusedPickleError(f"names {str(named)[:80]!r}")
        self._push(named)

    def _call(self, called: object, arguments: object, keywords: object = None) -> None:
        if not isinstance(called, Global) or not isinstance(arguments, tuple):
            raise RefusedPickleError("calls something that is not a class")
        if str(called) in self._rebuild and not keywords:
            self._push(self._rebuild[str(called)](*arguments))
        else:
            self._push({} if str(called) in DICTIONARIES else Inert(called, arguments))

    def _build(self, state: object) -> None:
        target = self.stack[-1]
        if isinstance(target, Inert):
            target.state = state
        elif not isinstance(target, dict):  # torch's state_dicts carry version metadata
            raise RefusedPickleError("sets the state of something that has none")


def _filled(entries: dict[object, object], flat: Sequence[Any]) -> dict[object, object]:
    pairs = zip(flat[::2], flat[1::2], strict=True)
    # Hashing a deeply nested tuple would overflow the stack.
    entries.update((key, value) for key, value in pairs if isinstance(key, SIMPLE_KEYS))
    return entries
