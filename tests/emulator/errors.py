"""CUDA's errors, as CuPy raises them: the runtime's, and the driver's for kernels."""

import re

TEXTS = {
    1: ("InvalidValue", "invalid argument"),
    400: ("InvalidResourceHandle", "invalid resource handle"),
    500: ("NotFound", "named symbol not found"),
    700: ("IllegalAddress", "an illegal memory access was encountered"),
    719: ("LaunchFailed", "unspecified launch failure"),
    900: ("StreamCaptureUnsupported", "operation not permitted when stream is capturing"),
    901: ("StreamCaptureInvalidated", "operation failed due to a previous error during capture"),
    904: ("StreamCaptureUnjoined", "capturing stream has unjoined work"),
    905: ("StreamCaptureIsolation", "dependency created on uncaptured work in another stream"),
    907: ("CapturedEvent", "operation not permitted on an event last recorded in a capture"),
}


class _CUDAError(RuntimeError):
    """An error with its `status`; what a card would not say comes after it."""

    def __init__(self, status, more=""):
        self.status, (name, text) = status, TEXTS[status]
        super().__init__(f"{self._named(name)}: {text}{more and f' ({more})'}")


class CUDARuntimeError(_CUDAError):
    """`cupy.cuda.runtime.CUDARuntimeError`."""

    _named = staticmethod(lambda name: f"cudaError{name}")


class CUDADriverError(_CUDAError):
    """`cupy.cuda.driver.CUDADriverError`."""

    _named = staticmethod(lambda name: "CUDA_ERROR" + re.sub("([A-Z])", r"_\1", name).upper())
