"""Arrays of a pickle, read out of its opcodes: nothing is unpickled, called or looked up by name.

The opcodes are followed with numbers, text, bytes, tuples, lists, and stand-ins for what NumPy's
functions return. Memory is taken for what the file holds, never for what it declares.

References
----------
Python's pickletools, which describes each opcode.
"""

import pickletools
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from sys import getsizeof
from typing import IO, Any

import numpy as np

from ..errors import DataMemoryError
from .common import read_most

MOST = 10_000  # opcodes; MNIST has about 130
LONGEST = 1 << 28  # bytes of a line, which protocol 0 writes arrays as
CODES = {opcode.code: opcode for opcode in pickletools.opcodes}
KINDS = "fiub"  # of NumPy's types
ORDERS = {"<", ">", "|", "="}  # of the bytes of a number


def arrays_of(file: IO[bytes], most: int) -> Any:
    """Return what a pickle holds, each array as a `Pending`; most: bytes that it may take.

    Raises ValueError for all but arrays, and for damage also TypeError, LookupError and
    AttributeError.
    """
    machine = _Machine()
    for name, argument in _opcodes(_Stream(file, most)):
        OPCODES[name](machine, argument)
    return machine.stack.pop()


def _opcodes(stream: "_Stream") -> Iterator[tuple[str, Any]]:
    """Yield the name and the argument of each opcode before STOP."""
    for _ in range(MOST):
        code = bytes(stream.read(1)).decode("latin1")
        _require(code != "", "it ends before its STOP")
        _require(code in CODES, f"its opcode {code!r} is unknown")
        opcode = CODES[code]
        if opcode.name == "STOP":
            return
        known = f"it holds the opcode {opcode.name}, expected those of NumPy arrays only"
        _require(opcode.name in OPCODES, known)
        yield opcode.name, opcode.arg and stream.argument(opcode)
    raise ValueError(f"it has more than {MOST:,} opcodes")


def _require(ok: bool, reason: str) -> None:
    if not ok:
        raise ValueError(reason)


class Pending:
    """An array or a type of a pickle, whose state comes after it was made."""

    dtype: np.dtype | None = None
    array: np.ndarray | None = None


class _Stream:
    """A file as pickletools reads it."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self.file, self.left, self.most, self.width = file, most, most, 1

    def argument(self, opcode: pickletools.OpcodeInfo) -> Any:
        """Return the argument of an opcode, and count what it takes of memory."""
        # One letter beyond U+FFFF makes each letter of a text take four bytes.
        self.width = 4 if "UNICODE" in opcode.name else 1
        value = opcode.arg.reader(self)  # type: ignore[union-attr, arg-type]
        self.left -= getsizeof(value)
        return value

    def read(self, n: int) -> bytearray:
        return self._within(read_most(self.file, min(n, self._most() + 1)))

    def readline(self) -> bytes:
        return self._within(self.file.readline(min(LONGEST, self._most() + 1)))

    def _most(self) -> int:
        """Return how many bytes may be read at once."""
        return max(0, self.left // self.width)

    def _within(self, data: Any) -> Any:
        if len(data) > self._most():
            raise DataMemoryError(f"its values take more than the {self.most:,} bytes allowed")
        return data


class _Machine:
    """The stack and the memo."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        # Once a text: a pickle can hold one of a MB and ask for its bytes thousands of times.
        once = cache(_latin1)
        self.names = {**NAMES, ("_codecs", "encode"): lambda text, *how: once(text)}

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def taken(self, n: int) -> list[Any]:
        """Take the last n values off the stack."""
        return [self.stack.pop() for _ in range(n)][::-1]

    def marked(self) -> list[Any]:
        """Take the values since the last mark."""
        return self.taken(len(self.stack) - self.marks.pop())

    def remember(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def extend(self, values: list[Any]) -> None:
        list.extend(self.stack[-1], values)

    def name(self, module: Any, name: Any) -> None:
        """Push a name of `NAMES`; ValueError for any other."""
        found = _text(module), _text(name)
        shown = f"it refuses to load {'.'.join(found)[:160]!r}, expected NumPy arrays only"
        _require(found in self.names, f"{shown}: a pickle can run code, use IDX or .npz")
        self.push(self.names[found])

    def call(self) -> None:
        function, arguments = self.taken(2)
        self.push(function(*arguments))

    def build(self) -> None:
        """Give what was made its state."""
        pending, state = self.taken(2)
        if pending.dtype is None:
            _, shape, of, is_fortran, data = state
            pending.array = _array(data, of, shape, "F" if is_fortran else "C")
        else:
            order = _text(state[1])
            _require(order in ORDERS, f"the order of its bytes is {order[:40]!r}")
            pending.dtype = pending.dtype.newbyteorder(order)
        self.push(pending)


def _text(value: Any) -> str:
    """Return text, which Python 2 writes as bytes."""
    return value if isinstance(value, str) else value.decode("latin1")


def _latin1(text: str) -> bytearray:
    """Stand in for codecs.encode: Python 3 writes bytes as text where Python 2 is to read them."""
    return bytearray(text, "latin1")


def _no_array(*kind: Any) -> Pending:
    """Stand in for the function that makes an empty array, to get its state."""
    return Pending()


def _dtype(code: Any, *how: Any) -> Pending:
    """Stand in for NumPy's dtype, of numbers alone; code: such as "f4"."""
    code = _text(code)
    number = code[:1] in KINDS and code[1:] in ("1", "2", "4", "8")
    _require(number, f"it holds values of type {code[:40]!r}, expected numbers")
    made = Pending()
    made.dtype = np.dtype(code)
    return made


def _from_buffer(data: Any, of: Pending, shape: Sequence[int], order: Any) -> Pending:
    """Stand in for the function that makes an array of bytes, which protocol 5 writes."""
    made = Pending()
    made.array = _array(data, of, shape, order)
    return made


def _array(data: Any, of: Pending, shape: Sequence[int], order: Any) -> np.ndarray:
    """Return an array on bytes that the pickle holds: none of it can be uninitialised."""
    if not isinstance(data, bytes | bytearray) or of.dtype is None:
        raise ValueError("an array has no bytes")
    return np.frombuffer(data, of.dtype).reshape(shape, order=_text(order))  # type: ignore[call-overload]


NAMES: dict[tuple[str, str], Callable[..., Any] | None] = {
    ("numpy", "ndarray"): None,  # an argument, and never called
    ("numpy", "dtype"): _dtype,
    ("numpy.core.multiarray", "_reconstruct"): _no_array,
    ("numpy._core.multiarray", "_reconstruct"): _no_array,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
}
VALUES = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
)
OPCODES: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(VALUES, _Machine.push),
    **dict.fromkeys(("BINSTRING", "SHORT_BINSTRING"), lambda m, text: m.push(_latin1(text))),
    **dict.fromkeys(("PROTO", "FRAME"), lambda m, _: None),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.remember),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda m, i: m.push(m.memo[i])),
    "MEMOIZE": lambda m, _: m.remember(len(m.memo)),
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "MARK": lambda m, _: m.marks.append(len(m.stack)),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "TUPLE": lambda m, _: m.push(tuple(m.marked())),
    "TUPLE1": lambda m, _: m.push(tuple(m.taken(1))),
    "TUPLE2": lambda m, _: m.push(tuple(m.taken(2))),
    "TUPLE3": lambda m, _: m.push(tuple(m.taken(3))),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "LIST": lambda m, _: m.push(m.marked()),
    "APPEND": lambda m, _: m.extend(m.taken(1)),
    "APPENDS": lambda m, _: m.extend(m.marked()),
    "GLOBAL": lambda m, name: m.name(*name.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m.name(*m.taken(2)),
    "REDUCE": lambda m, _: m.call(),
    "BUILD": lambda m, _: m.build(),
}
