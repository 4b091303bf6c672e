"""CUDA's errors, as CuPy raises them."""

STATUS = {
    "cudaErrorInvalidValue": (1, "invalid argument"),
    "cudaErrorInvalidResourceHandle": (400, "invalid resource handle"),
    "cudaErrorIllegalAddress": (700, "an illegal memory access was encountered"),
    "cudaErrorLaunchFailure": (719, "unspecified launch failure"),
    "cudaErrorStreamCaptureUnsupported": (
        900, "operation not permitted when stream is capturing",
    ),
    "cudaErrorStreamCaptureInvalidated": (
        901, "operation failed due to a previous error during capture",
    ),
    "cudaErrorStreamCaptureUnjoined": (904, "capturing stream has unjoined work"),
    "cudaErrorStreamCaptureIsolation": (
        905, "dependency created on uncaptured work in another stream",
    ),
    "cudaErrorCapturedEvent": (
        907, "operation not permitted on an event last recorded in a capturing stream",
    ),
}  # fmt: skip


class CUDARuntimeError(RuntimeError):
    """An error of CUDA, with its `status`; what a card would not say comes after it."""

    def __init__(self, name, more=""):
        self.status, text = STATUS[name]
        super().__init__(f"{name}: {text}{more and f' ({more})'}")
