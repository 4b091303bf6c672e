"""Output that outlives its reader: what `| head` no longer reads is dropped, the work goes on."""

import io
import os
import sys

STREAMS = {1: "standard output", 2: "standard error"}  # by their numbers


class _Output(io.FileIO):
    """A file or pipe that may fail once: what is written to it after that goes nowhere."""

    def write(self, data):
        """Write bytes; without a reader they are dropped, another error is raised."""
        try:
            return super().write(data)
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            if isinstance(error, BrokenPipeError):
                return memoryview(data).nbytes
            error.filename = STREAMS.get(self.fileno())
            raise


def outlive_readers():
    """Let a reader that closes the pipe of standard output or error end no training."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or stream is not getattr(sys, f"__{name}__") or stream.isatty():
            continue  # a terminal, or what a test or a notebook puts there
        stream.flush()
        how = {"encoding": stream.encoding, "errors": stream.errors}
        file = io.BufferedWriter(_Output(stream.fileno(), "wb", closefd=False))
        setattr(sys, name, io.TextIOWrapper(file, **how, line_buffering=stream.line_buffering))
