"""The card's memory: what CuPy's pool has taken, what lives in it, and what was freed.

What is new or freed holds 0xFF bytes: NaN for every float. An address that nobody owns any more is
refused where it is used, and what is written past an end is found by the 256 bytes behind it.
"""

import gc
import threading
import weakref
from bisect import bisect_right, insort
from contextlib import contextmanager

import numpy as np

from .errors import CUDARuntimeError
from .record import note
from .streams import current_stream, launch, refuse_copy, refuse_in_capture, wait_for

UNIT, EDGE = 512, 256  # bytes: what the pool rounds up to, what is watched behind each block
POISON, CANARY = 0xFF, 0xA5


class Card:
    """Total memory in bytes (a test may lower it), and how much of it is taken."""

    total, taken = 4 << 30, 0


class OutOfMemoryError(MemoryError):
    """`cupy.cuda.memory.OutOfMemoryError`, with its text."""

    def __init__(self, size, total, limit=0):
        more = f", limit set to: {limit:,} bytes" if limit else ""
        super().__init__(
            f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes{more})."
        )

    def __reduce__(self):
        return MemoryError, self.args


class Chunk:
    """What one cudaMalloc gave. `owner` refers to what holds it now, if it lives."""

    def __init__(self, size):
        raw = np.empty(size + EDGE + 256, np.uint8)
        start = -raw.ctypes.data % 256
        self.size, self.bytes = size, raw[start : start + size + EDGE]
        self.bytes[:] = POISON
        self.ptr, self.owner = raw.ctypes.data + start, None
        Card.taken += size
        _register(self)

    def give(self, owner, nbytes):
        """Lend it to an owner, who has asked for so many bytes of it."""
        self.owner = weakref.ref(owner)
        self.bytes[nbytes:] = CANARY

    def free(self):
        """Return it to the card."""
        Card.taken -= self.size
        _forget(self.ptr)


# All blocks in which an address may lie, by address.
_starts: list[int] = []
_blocks: dict[int, "Chunk | _Foreign"] = {}


def _register(block):
    insort(_starts, block.ptr)
    _blocks[block.ptr] = block


def _forget(ptr):
    del _blocks[ptr], _starts[bisect_right(_starts, ptr) - 1]


def _block_at(address):
    i = bisect_right(_starts, address) - 1
    block = _blocks[_starts[i]] if i >= 0 else None
    return block if block and address < block.ptr + block.size else None


def owner_of(address, what):
    """Return a reference to what lives at an address, or raise what a card would."""
    block = _block_at(address)
    if block is None:
        raise CUDARuntimeError(700, f"{what} got {address:#x}, which is not in the card's memory")
    if block.owner is None or block.owner() is None:
        raise CUDARuntimeError(700, f"{what} got {address:#x}, which was freed")
    return block.owner


def check_owners(owners, what):
    """Raise if something of that died, whose memory others may have now."""
    if any(owner() is None for owner in owners):
        raise CUDARuntimeError(700, f"{what} uses memory that was freed")


def check_edges(owners, what):
    """Raise if something was written past the end of that memory."""
    for owner in owners:
        edge = owner().edge()
        if not (edge == CANARY).all():
            edge[:] = CANARY
            nbytes = owner().nbytes
            raise CUDARuntimeError(700, f"{what} wrote past the end of {nbytes} bytes")


class BaseMemory:
    """Memory with an address. NumPy makes arrays on it, which keep it alive."""

    device_id, ptr, size, nbytes = 0, 0, 0, 0

    @property
    def __array_interface__(self):
        return {"data": (self.ptr, False), "shape": (self.size,), "typestr": "|u1", "version": 3}

    def edge(self):
        """Return the watched bytes behind it."""
        return np.empty(0, np.uint8)


class PooledMemory(BaseMemory):
    """A chunk of a pool, in use until this object dies or is freed."""

    def __init__(self, chunk, nbytes, pool, stream):
        self.ptr, self.size, self.nbytes = chunk.ptr, chunk.size, nbytes
        self.chunk, self.pool, self.stream = chunk, pool, stream
        chunk.give(self, nbytes)

    def edge(self):
        """Return the watched bytes behind what was asked for."""
        return self.chunk.bytes[self.nbytes :]

    def free(self):
        """Give the chunk back to the pool."""
        chunk, self.chunk = self.chunk, None
        if chunk is not None:
            chunk.owner = None
            chunk.bytes[:] = POISON
            self.pool._take_back(chunk, self.stream)

    def __del__(self):
        if np is not None and getattr(self, "chunk", None) is not None:
            self.free()


class UnownedMemory(BaseMemory):
    """`cupy.cuda.UnownedMemory`: somebody else's, kept alive by `owner`."""

    def __init__(self, ptr, size, owner, device_id=-1):
        self.ptr, self.size, self.nbytes, self.holder = int(ptr), int(size), int(size), owner
        if size and not _block_at(self.ptr):
            _register(_Foreign(self))
            weakref.finalize(self, _forget, self.ptr)


class _Foreign:
    """A block that is not the pool's."""

    def __init__(self, memory):
        self.ptr, self.size, self.owner = memory.ptr, memory.size, weakref.ref(memory)


class MemoryPool:
    """`cupy.cuda.MemoryPool`: what is freed stays in it, by size and stream, until asked for.

    Unlike CuPy's it does not cut a free chunk into smaller ones.
    """

    def __init__(self, allocator=None):
        self._free, self._limit, self._total, self._in_use = {}, 0, 0, 0

    def __del__(self):
        if Chunk is not None:
            self.free_all_blocks()

    def malloc(self, size):
        """Return a pointer to so many bytes, rounded up to 512."""
        refuse_in_capture("an allocation", invalidates=False)
        if size == 0:
            return MemoryPointer(BaseMemory(), 0)
        rounded, stream = -(-size // UNIT) * UNIT, current_stream().ptr
        free = self._free.get((stream, rounded))
        chunk = free.pop() if free else self._new(rounded)
        self._in_use += rounded
        return MemoryPointer(PooledMemory(chunk, size, self, stream), 0)

    def _new(self, size):
        """Take more from the card; CuPy gives idle blocks and garbage back before it gives up."""
        if not self._limit or size <= self._limit:  # else CuPy raises at once
            for make_room in (lambda: None, self.free_all_blocks, self._collect):
                make_room()
                if self._has_room(size):
                    self._total += size
                    return Chunk(size)
        raise OutOfMemoryError(size, self._total, self._limit)

    def _collect(self):
        gc.collect()
        self.free_all_blocks()

    def _has_room(self, size):
        within = not self._limit or self._total + size <= self._limit
        return within and Card.taken + size <= Card.total

    def _take_back(self, chunk, stream):
        self._in_use -= chunk.size
        self._free.setdefault((stream, chunk.size), []).append(chunk)

    def free_all_blocks(self, stream=None):
        """Give what is free back to the card."""
        for key in [k for k in self._free if stream is None or k[0] == stream.ptr]:
            for chunk in self._free.pop(key):
                self._total -= chunk.size
                chunk.free()

    def n_free_blocks(self):
        """Count what is free."""
        return sum(map(len, self._free.values()))

    def used_bytes(self):
        """Return the bytes in use."""
        return self._in_use

    def total_bytes(self):
        """Return the bytes taken from the card."""
        return self._total

    def free_bytes(self):
        """Return the bytes taken and not in use."""
        return self._total - self._in_use

    def set_limit(self, size=None, fraction=None):
        """Set the most that may be taken from the card: bytes, or a share of it; 0: no limit."""
        if size is not None and fraction is not None:
            raise ValueError("size and fraction cannot be specified at one time")
        if fraction is not None:
            if not 0 <= fraction <= 1:
                raise ValueError(f"memory limit fraction out of range: {fraction}")
            size = int(Card.total * fraction)
        if (size or 0) < 0:
            raise ValueError(f"memory limit size out of range: {size}")
        self._limit = int(size or 0)

    def get_limit(self):
        """Return the limit in bytes, 0 for none."""
        return self._limit


class _At:
    """An array by its address: it keeps nothing alive."""

    def __init__(self, ptr, shape, typestr, strides):
        self.__array_interface__ = {
            "data": (ptr, False),
            "shape": shape,
            "typestr": typestr,
            "strides": strides,
            "version": 3,
        }


def array_at(ptr, shape, dtype, strides=None):
    """Return the array at an address, which does not keep its memory alive."""
    dtype = np.dtype(dtype)
    return np.asarray(_At(ptr, shape, f"|V{dtype.itemsize}", strides)).view(dtype)


def bytes_at(ptr, size):
    """Return the bytes at an address."""
    return array_at(ptr, (size,), np.uint8)


class MemoryPointer:
    """`cupy.cuda.MemoryPointer`: an address, and what keeps it alive."""

    def __init__(self, mem, offset):
        self.mem, self.ptr, self.device_id = mem, mem.ptr + offset, mem.device_id

    def array(self, shape, dtype, strides=None, order="C"):
        """Return NumPy's view of it, which keeps the memory alive."""
        buffer = np.asarray(self.mem)
        offset = self.ptr - self.mem.ptr
        return np.ndarray(shape, dtype, buffer, offset, strides, order)

    def copy_from_device_async(self, src, size, stream=None):
        """Copy bytes from another pointer."""
        to, source = bytes_at(self.ptr, size), bytes_at(src.ptr, size)
        owners = [owner_of(p.ptr, "memcpy") for p in (self, src)]

        def run():
            check_owners(owners, "memcpy")
            to[:] = source

        launch("memcpy", run, stream)

    def memset_async(self, value, size, stream=None):
        """Fill bytes with a value."""
        to, owners = bytes_at(self.ptr, size), [owner_of(self.ptr, "memset")]

        def run():
            check_owners(owners, "memset")
            to[:] = value

        launch("memset", run, stream)

    def copy_from_host_async(self, mem, size, stream=None):
        """Copy bytes from an address of the host."""
        refuse_copy("H2D transfers")
        note("to_device", size)
        bytes_at(self.ptr, size)[:] = bytes_at(getattr(mem, "value", mem), size)

    def copy_to_host_async(self, mem, size, stream=None):
        """Copy bytes to an address of the host."""
        refuse_copy("D2H transfers")
        note("to_host", size)
        bytes_at(getattr(mem, "value", mem), size)[:] = bytes_at(self.ptr, size)

    def copy_to_host(self, mem, size):
        """Copy bytes to an address of the host, and wait."""
        refuse_copy("synchronous API calls")
        wait_for("copy_to_host")
        self.copy_to_host_async(mem, size)

    copy_from_device, memset = copy_from_device_async, memset_async
    copy_from_host = copy_from_host_async

    def __add__(self, offset):
        return MemoryPointer(self.mem, self.ptr - self.mem.ptr + offset)

    def __int__(self):
        return self.ptr


default_pool = MemoryPool()
_allocator = default_pool.malloc
_local = threading.local()


def get_allocator():
    """Return the allocator that makes arrays now, in this thread."""
    return getattr(_local, "allocator", None) or _allocator


def set_allocator(allocator=None):
    """Have all arrays made by an allocator; None: by one without a limit that keeps nothing."""
    global _allocator
    if getattr(_local, "allocator", None) is not None:
        raise ValueError(
            "Can't change the global allocator inside `using_allocator` context manager"
        )
    _allocator = allocator or MemoryPool().malloc


@contextmanager
def using_allocator(allocator=None):
    """Have this thread's arrays made by an allocator inside the block."""
    before = getattr(_local, "allocator", None)
    _local.allocator = allocator or MemoryPool().malloc
    try:
        yield
    finally:
        _local.allocator = before


def alloc(size):
    """Return a pointer to so many bytes, by the current allocator."""
    return get_allocator()(size)


class PinnedMemory(UnownedMemory):
    """`cupy.cuda.PinnedMemory`: memory of the host that the card may read, too."""

    def __init__(self, size, flags=0):
        raw = np.full(size, POISON, np.uint8)
        super().__init__(raw.ctypes.data, size, raw)


class PinnedMemoryPointer(np.ndarray):
    """`cupy.cuda.PinnedMemoryPointer`: bytes of the host with an address."""

    def __new__(cls, mem, offset):
        """Point into pinned memory."""
        pointer = np.asarray(mem)[offset:].view(cls)
        pointer.mem = mem
        return pointer

    ptr = property(lambda self: self.__array_interface__["data"][0])


def alloc_pinned_memory(size):
    """Return pinned memory, as in CuPy more than was asked for: rounded up to 512 bytes."""
    return PinnedMemoryPointer(PinnedMemory(-(-size // UNIT) * UNIT), 0)
