"""`cupy.cuda.nccl` for a world of one process: what it sums is what it was given."""

import os

from .memory import MemoryPointer, UnownedMemory, owner_of
from .streams import stream_at

available = True
NCCL_FLOAT32, NCCL_SUM = 7, 0


def get_version():
    """Return the version as NCCL counts."""
    return 22_707


def get_unique_id():
    """Return the bytes by which processes find each other."""
    return os.urandom(128)


class NcclCommunicator:
    """`cupy.cuda.nccl.NcclCommunicator`."""

    def __init__(self, ndev, comm_id, rank, config=None):
        if len(comm_id) != 128 or (ndev, rank) != (1, 0):
            raise ValueError(f"the stand-in has one process, got rank {rank} of {ndev}")

    def allReduce(self, sendbuf, recvbuf, count, datatype, op, stream):  # noqa: N802, NCCL's name
        """Copy so many float32 numbers, in the order of a stream."""
        assert (datatype, op) == (NCCL_FLOAT32, NCCL_SUM)
        to, source = (
            MemoryPointer(UnownedMemory(at, 4 * count, owner_of(at, "allReduce")), 0)
            for at in (recvbuf, sendbuf)
        )
        to.copy_from_device_async(source, 4 * count, stream_at(stream, "allReduce"))

    def destroy(self):
        """Leave."""
