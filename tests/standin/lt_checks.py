"""cuBLASLt against formulas, in row-major terms: the stand-in, or a card's.

test_standins.py runs this file. What the stand-in alone refuses is left out on a card.

N rows, H units, D inputs. What is row-major to us is its transpose in columns: out' = b' a'.
"""

import ctypes

import numpy as np
import pytest
from card import cublaslt_standin, cupy, needs_lt, recording, standin_only
from emulator.lt_numbers import ATTRIBUTES, COMPUTE_TYPES, DATA_TYPES, EPILOGUES
from emulator.products import tf32

from xpmlp.engines.cupy.cublaslt import CublasLt, CublasLtError, Description, library

pytestmark = needs_lt
RNG = np.random.default_rng(0)
N, H, D = 5, 7, 9
EPS = {"bfloat16": 2.0**-8, "float32": 2.0**-23, "float64": 2.0**-50}
STREAM = cupy.cuda.Stream(non_blocking=True)


def to_card(a, dtype):
    """Return numbers on the card, bfloat16 as its 16 bits."""
    if dtype == "bfloat16":
        raw = np.asarray(a, np.float32).view(np.uint32).astype(np.uint64)
        return cupy.asarray((raw + 0x7FFF + (raw >> 16 & 1) >> 16).astype(np.uint16))
    return cupy.asarray(np.asarray(a, dtype))


def to_host(x):
    """Return float64."""
    a = x.get()
    a = (a.astype(np.uint32) << 16).view(np.float32) if a.dtype == np.uint16 else a
    return a.astype(np.float64)


def set_(thing, **values):
    """Set attributes of a description, also those that the engine has no use for."""
    for name, value in values.items():
        number, dtype, _ = ATTRIBUTES[thing.kind][name]
        raw = np.array([value], dtype)
        set_attribute = getattr(library(), f"cublasLt{thing.kind}SetAttribute")
        set_attribute(thing.value, number, raw.ctypes.data, raw.nbytes)


class Product:
    """out = a @ b (row-major, each transposed or not, batched), with an epilogue."""

    def __init__(
        self,
        a,
        b,
        out,
        *,
        ta=False,
        tb=False,
        dtype="float32",
        to=None,
        compute=None,
        epilogue="DEFAULT",
        bias=None,
        aux=None,
        ld=0,
        alpha=1.0,
        beta=0.0,
        aligned=(16, 16, 16, 16),
        **more,
    ):
        scale = "float64" if dtype == "float64" else "float32"
        self.kept, self.operands = (a, b, out, bias, aux), [b.data.ptr, a.data.ptr, out.data.ptr]
        compute = COMPUTE_TYPES[compute or scale]
        self.op = Description("MatmulDesc", compute, DATA_TYPES[scale])
        set_(self.op, TRANSA=int(tb), TRANSB=int(ta), EPILOGUE=EPILOGUES[epilogue])
        if bias is not None:
            set_(self.op, BIAS_POINTER=bias.data.ptr)
        if aux is not None:
            set_(self.op, EPILOGUE_AUX_POINTER=aux.data.ptr, EPILOGUE_AUX_LD=ld)
        set_(self.op, **more)
        kinds = (dtype, dtype, to or dtype)
        self.layouts = [self.layout(*pair) for pair in zip((b, a, out), kinds)]
        self.numbers = np.array([alpha, beta], scale)
        self.preference = Description("MatmulPreference", MAX_WORKSPACE_BYTES=1 << 20)
        names = [f"MIN_ALIGNMENT_{x}_BYTES" for x in "ABCD"]
        set_(self.preference, **dict(zip(names, aligned)))
        self.lt, self.workspace = CublasLt(), cupy.empty(1 << 20, np.uint8)

    def layout(self, array, kind):
        rows, columns = array.shape[-2:]
        ld = array.strides[-2] // array.itemsize
        made = Description("MatrixLayout", DATA_TYPES[kind], columns, rows, ld)
        if array.ndim > 2:
            apart = array.strides[0] // array.itemsize
            set_(made, BATCH_COUNT=len(array), STRIDED_BATCH_OFFSET=apart)
        return made

    def algorithms(self, n=8):
        """Return what the heuristic finds."""
        return self.lt.algorithms(self.op, self.layouts, self.preference, n)

    def __call__(self, algorithm=None, stream=None, workspace=1 << 20):
        """Launch it."""
        alpha = self.numbers.ctypes.data
        self.lt.multiply(
            self.op,
            alpha,
            alpha + self.numbers.itemsize,
            self.layouts,
            self.operands,
            algorithm or self.algorithms()[0],
            (self.workspace.data.ptr, workspace),
            cupy.cuda.get_current_stream().ptr if stream is None else stream,
        )


def normal(*shape):
    return RNG.normal(size=shape)


def assert_near(got, want, dtype, terms=D):
    np.testing.assert_allclose(to_host(got), want, rtol=0, atol=EPS[dtype] * 4 * terms)


# ---- Products


@pytest.mark.parametrize("tb", [False, True])
@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("dtype", EPS)
def test_products_of_row_major_matrices_transposed_or_not(dtype, ta, tb):
    a = to_card(normal(D, N) if ta else normal(N, D), dtype)
    b = to_card(normal(H, D) if tb else normal(D, H), dtype)
    out = to_card(np.zeros((N, H)), dtype)
    Product(a, b, out, ta=ta, tb=tb, dtype=dtype)()
    want = (to_host(a).T if ta else to_host(a)) @ (to_host(b).T if tb else to_host(b))
    assert_near(out, want, dtype)


def test_bfloat16_gives_float32():
    a, b = to_card(normal(N, D), "bfloat16"), to_card(normal(D, H), "bfloat16")
    out = cupy.empty((N, H), "f4")
    Product(a, b, out, dtype="bfloat16", to="float32")()
    # Products are exact, and each of D sums is rounded: in whatever order they are taken.
    most = D * 2.0**-23 * np.linalg.norm(abs(to_host(a)) @ abs(to_host(b)))
    assert np.linalg.norm(to_host(out) - to_host(a) @ to_host(b)) <= most


def test_parts_of_larger_matrices_and_batches_of_members():
    whole, b = to_card(normal(3, N, 32), "float32"), to_card(normal(3, D, H), "float32")
    out = cupy.empty((3, N, H), "f4")
    Product(whole[:, :, 16 : 16 + D], b, out, aligned=(4, 4, 4, 4))()
    assert_near(out, to_host(whole)[:, :, 16 : 16 + D] @ to_host(b), "float32")


def test_alpha_and_beta_are_read_at_the_launch():
    a, b = to_card(normal(N, D), "float32"), to_card(normal(D, H), "float32")
    out = to_card(np.ones((N, H)), "float32")
    product = Product(a, b, out, alpha=2.0, beta=0.5)
    product()
    assert_near(out, 2 * to_host(a) @ to_host(b) + 0.5, "float32")
    product.numbers[:] = 0, 1
    before = out.get()
    product()
    np.testing.assert_array_equal(out.get(), before)


@standin_only
@pytest.mark.parametrize(("cuts", "want"), [(True, [[1.0, 1 + 2.0**-10]]), (False, None)])
def test_tf32_cuts_the_operands_or_is_float32(cuts, want, monkeypatch):
    monkeypatch.setattr(tf32, "cuts", cuts)
    a = to_card([[1 + 2.0**-11, 1 + 3 * 2.0**-11]], "float32")
    out = cupy.empty((1, 2), "f4")
    Product(a, to_card(np.eye(2), "float32"), out, compute="tf32")()
    assert out.tolist() == (want or a.tolist())


@standin_only
def test_an_operand_that_the_result_overwrites_shows():
    a = to_card(normal(4, 4), "float32")
    Product(a, to_card(np.eye(4), "float32"), a)()
    assert np.isnan(a.get()).all()


# ---- Epilogues: z = x @ W + b, dx = dz @ W', dW = x' @ dz


def gelu(z):
    return 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))


def gelu_slope(z):
    return gelu(z + 1e-30j).imag / 1e-30


FORWARD = {
    "BIAS": lambda z: z,
    "RELU_BIAS": lambda z: np.maximum(z, 0),
    "GELU_BIAS": gelu,
    "RELU_AUX_BIAS": lambda z: np.maximum(z, 0),
    "GELU_AUX_BIAS": gelu,
}


def auxiliary(kind, rows, width, dtype):
    """Return an array for what an epilogue keeps, and its leading dimension."""
    if "RELU" in kind:
        return cupy.empty((rows, 16), np.uint8), 128
    ld = -(-width // 8) * 8
    return to_card(np.full((rows, ld), np.nan), dtype), ld


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("kind", FORWARD)
def test_forward_epilogues(kind, dtype):
    x, W, b = (to_card(a, dtype) for a in (normal(N, D), normal(D, H), normal(1, H)))
    out, (aux, ld) = to_card(np.zeros((N, H)), dtype), auxiliary(kind, N, H, dtype)
    kept = {"aux": aux, "ld": ld} if "AUX" in kind else {}
    Product(x, W, out, dtype=dtype, epilogue=kind, bias=b, **kept)()
    z = to_host(x) @ to_host(W) + to_host(b)
    assert_near(out, FORWARD[kind](z), dtype)
    if kind == "RELU_AUX_BIAS":
        bits = np.unpackbits(aux.get(), axis=1, bitorder="little")[:, :H]
        np.testing.assert_array_equal(bits, z > 0)
    if kind == "GELU_AUX_BIAS":
        assert_near(aux[:, :H], z, dtype)


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("bgrad", ["", "_BGRAD"])
@pytest.mark.parametrize("kind", ["RELU", "GELU"])
def test_backward_epilogues(kind, bgrad, dtype):
    x, W, b = (to_card(a, dtype) for a in (normal(N, D), normal(D, H), normal(1, H)))
    hidden, (aux, ld) = to_card(np.zeros((N, H)), dtype), auxiliary(kind, N, H, dtype)
    Product(x, W, hidden, dtype=dtype, epilogue=f"{kind}_AUX_BIAS", bias=b, aux=aux, ld=ld)()
    dz, V = to_card(normal(N, 3), dtype), to_card(normal(H, 3), dtype)
    d, db = to_card(np.zeros((N, H)), dtype), to_card(np.full((1, H), np.nan), dtype)
    grad = {"bias": db} if bgrad else {}
    Product(dz, V, d, tb=True, dtype=dtype, epilogue=f"D{kind}{bgrad}", aux=aux, ld=ld, **grad)()
    z = to_host(x) @ to_host(W) + to_host(b)
    slope = z > 0 if kind == "RELU" else gelu_slope(to_host(aux)[:, :H])
    want = to_host(dz) @ to_host(V).T * slope
    assert_near(d, want, dtype)
    if bgrad:
        assert_near(db, want.sum(0, keepdims=True), dtype, 2 * N)


@pytest.mark.parametrize("dtype", EPS)
def test_bias_gradients_beside_weight_gradients(dtype):
    x, dz = to_card(normal(N, D), dtype), to_card(normal(N, H), dtype)
    dW, db, other = (to_card(np.zeros(s), dtype) for s in ((D, H), (1, H), (1, D)))
    Product(x, dz, dW, ta=True, dtype=dtype, epilogue="BGRADA", bias=db)()
    assert_near(dW, to_host(x).T @ to_host(dz), dtype)
    assert_near(db, to_host(dz).sum(0, keepdims=True), dtype)
    Product(x, dz, dW, ta=True, dtype=dtype, epilogue="BGRADB", bias=other)()
    assert_near(other, to_host(x).sum(0, keepdims=True), dtype)


def test_epilogues_of_members_have_their_own_bias_and_mask():
    x, W, b = (to_card(normal(2, *s), "float32") for s in ((N, D), (D, H), (1, H)))
    out, aux = cupy.empty((2, N, H), "f4"), cupy.empty((2, N, 16), np.uint8)
    Product(
        x,
        W,
        out,
        epilogue="RELU_AUX_BIAS",
        bias=b,
        aux=aux,
        ld=128,
        BIAS_BATCH_STRIDE=H,
        EPILOGUE_AUX_BATCH_STRIDE=128 * N,
        aligned=(4, 4, 4, 4),
    )()
    z = to_host(x) @ to_host(W) + to_host(b)
    assert_near(out, np.maximum(z, 0), "float32")
    bits = np.unpackbits(aux.get(), axis=-1, bitorder="little")[..., :H]
    np.testing.assert_array_equal(bits, z > 0)


def test_relu_turns_nan_into_zero():
    x = to_card([[np.nan, 1.0]], "float32")
    out, b = cupy.empty((1, 3), "f4"), cupy.zeros((1, 3), "f4")
    Product(x, to_card(np.ones((2, 3)), "float32"), out, epilogue="RELU_BIAS", bias=b)()
    assert out.tolist() == [[0.0] * 3]


# ---- What is refused


def plain(**changes):
    """A product of aligned float32 matrices, and changes to it."""
    shapes = {"a": (N, D), "b": (D, H), "out": (N, H)}
    arrays = {name: to_card(normal(*shape), "float32") for name, shape in shapes.items()}
    return Product(**arrays | changes)


def f4(*shape):
    return cupy.zeros(shape, "f4")


MASK = np.zeros((N, 16), np.uint8)
REFUSED = {
    "inner sizes": (lambda: plain(b=f4(D + 1, H)), 7, "op"),
    "the result's shape": (lambda: plain(out=f4(N, H + 1)), 7, "C and D must be"),
    "types": (lambda: plain(to="bfloat16"), 15, "types"),
    "bfloat16 by TF32": (lambda: plain(dtype="bfloat16", compute="tf32"), 15, "types"),
    "no bias": (lambda: plain(epilogue="BIAS"), 7, "without BIAS_POINTER"),
    "no mask": (
        lambda: plain(epilogue="RELU_AUX", EPILOGUE_AUX_LD=128), 7, "without EPILOGUE_AUX_POINTER",
    ),
    "the mask's ld": (
        lambda: plain(epilogue="RELU_AUX", aux=cupy.asarray(MASK), ld=120), 7, "AUX_LD",
    ),
    "a short mask": (
        lambda: plain(epilogue="RELU_AUX", aux=cupy.asarray(MASK[1:]), ld=128), 7, "do not lie",
    ),
    "a short bias": (lambda: plain(epilogue="BIAS", bias=f4(1, H - 1)), 7, "do not lie"),
    "an epilogue": (lambda: plain(EPILOGUE=3), 7, "epilogue 3"),
    "device pointers": (lambda: plain(POINTER_MODE=1), 15, "host pointers"),
    "the bias's type": (
        lambda: plain(epilogue="BIAS", bias=f4(1, H), BIAS_DATA_TYPE=14), 15, "BIAS_DATA_TYPE",
    ),
    "DRELU of one": (
        lambda: plain(a=f4(N, 1), b=f4(1, H), epilogue="DRELU", aux=cupy.asarray(MASK), ld=128),
        15, "K = 1",
    ),
}  # fmt: skip


@standin_only
@pytest.mark.parametrize(("make", "status", "match"), REFUSED.values(), ids=REFUSED)
def test_problems_that_cublaslt_does_not_have_are_refused(make, status, match):
    with pytest.raises(CublasLtError, match=match) as caught:
        make()()
    assert caught.value.status == status


@standin_only
def test_operands_less_aligned_than_was_said_are_refused():
    a = to_card(normal(N * D + 1), "float32")[1:].reshape(N, D)
    with pytest.raises(CublasLtError, match="B is not aligned to 16"):
        plain(a=a)()
    plain(a=a, aligned=(16, 4, 16, 16))()
    with pytest.raises(CublasLtError, match="the bias is not aligned to D's 256"):
        bias = to_card(normal(H + 1), "float32")[1:]
        plain(epilogue="BIAS", bias=bias, aligned=(256,) * 4)()


@standin_only
def test_algorithms_are_for_one_problem_and_need_their_workspace():
    product, other = plain(), plain(b=f4(D, H + 1), out=f4(N, H + 1))
    found = product.algorithms()
    assert [f.data[6] for f in found] == [0, 2 * 4 * N * H]  # bytes of workspace
    for algorithm in found:
        product(algorithm)
    with pytest.raises(CublasLtError, match="another problem"):
        other(found[0])
    with pytest.raises(CublasLtError, match="bytes of workspace"):
        product(found[1], workspace=0)
    set_(product.preference, REDUCTION_SCHEME_MASK=0)
    assert len(product.algorithms()) == 1


def test_attributes_have_their_sizes():
    made, raw, lt = Description("MatmulDesc", 68, 0), ctypes.c_int64(0), library()
    transa = ATTRIBUTES["MatmulDesc"]["TRANSA"][0]
    with pytest.raises(CublasLtError, match="INVALID_VALUE") as caught:
        lt.cublasLtMatmulDescSetAttribute(made.value, transa, ctypes.byref(raw), 8)
    assert caught.value.status == 7


@standin_only
def test_a_description_is_destroyed_with_its_object_and_never_again():
    made = Description("MatmulDesc", 68, 0)
    number = made.value.value
    assert number in cublaslt_standin._things
    del made
    assert number not in cublaslt_standin._things
    with pytest.raises(CublasLtError, match="is no MatmulDesc"):
        library().cublasLtMatmulDescDestroy(number)


@standin_only
def test_operands_must_lie_in_the_cards_memory():
    product = plain()
    product.operands[1] = 64
    with pytest.raises(RuntimeError, match="cudaErrorIllegalAddress"):
        product()
    short = plain(a=f4(N, D))
    short.operands[1] = f4(D).data.ptr
    short.kept = ()
    with pytest.raises(CublasLtError, match="freed|do not lie"):
        short()


# ---- Graphs


def test_a_product_can_be_captured():
    x, b = to_card(normal(N, D), "float32"), f4(1, H)
    product = plain(a=x, epilogue="RELU_BIAS", bias=b)
    out = product.kept[2]
    product()
    wanted = out.get()
    with STREAM:
        algorithm = product.algorithms()[0]
        STREAM.begin_capture()
        product(algorithm)
        graph = STREAM.end_capture()
    product.numbers[:] = np.nan  # alpha and beta were read
    out.fill(0)
    graph.launch()
    np.testing.assert_array_equal(out.get(), wanted)
    x *= 0
    graph.launch()
    assert out.get().max() == 0
    with recording() as record:
        product()
        graph.launch()
    name = "cublasLt:RELU_BIAS"
    assert (record.launches, record.nodes) == ([name, "graph"], [name])


@standin_only
def test_a_stream_that_is_not_the_current_one_is_refused():
    with pytest.raises(RuntimeError, match="InvalidResourceHandle"):
        plain()(stream=STREAM.ptr)
    product = plain()
    with STREAM:
        algorithm = product.algorithms()[0]
        STREAM.begin_capture()
        with pytest.raises(RuntimeError, match="InvalidResourceHandle"):
            product(algorithm, stream=0)
        STREAM.end_capture()
