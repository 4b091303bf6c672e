"""The card itself, and `cupy.cuda` with all that the emulator has."""

from . import errors, kernels, memory, nccl, streams


class Device:
    """`cupy.cuda.Device`: compared by number, unhashable, a context manager. There is one card."""

    __hash__ = None
    current = 0
    compute_capability = "90"
    attributes = {"MultiProcessorCount": 2, "MaxSharedMemoryPerBlockOptin": 227 << 10}  # noqa: RUF012

    def __init__(self, device=None):
        self.id = self.current if device is None else int(getattr(device, "id", device))

    def __eq__(self, other):
        return isinstance(other, Device) and self.id == other.id

    def __repr__(self):
        return f"<CUDA Device {self.id}>"

    def __enter__(self):
        if self.id:
            raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        return self

    def __exit__(self, *error):
        pass

    def synchronize(self):
        """Wait for the card."""
        streams.wait_for("synchronize")

    def use(self):
        """Make it the current device."""
        self.__enter__()

    @property
    def mem_info(self):
        """Return the bytes that are free, and all of them."""
        return memory.Card.total - memory.Card.taken, memory.Card.total


def fill_cuda(cuda):
    """Give `cupy.cuda` its names, in their modules too."""
    cuda.Device = cuda.device.Device = Device
    streaming = ("Stream", "Event", "get_current_stream", "get_elapsed_time")
    storing = (
        "MemoryPool", "MemoryPointer", "BaseMemory", "UnownedMemory", "OutOfMemoryError", "alloc",
        "alloc_pinned_memory", "get_allocator", "set_allocator", "using_allocator", "PinnedMemory",
        "PinnedMemoryPointer",
    )  # fmt: skip
    homes = ((streams, cuda.stream, streaming), (memory, cuda.memory, storing))
    for source, home, names in (*homes, (streams, cuda.graph, ("Graph",))):
        for name in names:
            setattr(home, name, getattr(source, name))
            setattr(cuda, name, getattr(source, name))
    del cuda.OutOfMemoryError
    cuda.compiler.CompileException = kernels.CompileException
    vars(cuda.nccl).update({name: f for name, f in vars(nccl).items() if name[0] != "_"})
    runtime = cuda.runtime
    runtime.CUDARuntimeError = errors.CUDARuntimeError
    cuda.driver.CUDADriverError = errors.CUDADriverError
    runtime.getDeviceCount, runtime.getDevice = lambda: 1, lambda: 0
    runtime.getDeviceProperties = lambda i: {
        "name": b"a stand-in, no card",
        "major": 9,
        "minor": 0,
        "multiProcessorCount": 2,
        "totalGlobalMem": memory.Card.total,
    }
    runtime.memGetInfo = lambda: Device().mem_info
    runtime.driverGetVersion = runtime.runtimeGetVersion = lambda: 0
    cuda.is_available = lambda: True
