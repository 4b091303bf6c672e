"""The contenders of the benchmark against formulas."""

import re
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from benchmark_cases import SMALL

from ci import benchmarks
from ci.benchmarks import CONTENDERS, Case
from ci.benchmarks.peers import jax_cuda, own, torch_cuda
from xpmlp.errors import DeviceError

pytestmark = pytest.mark.usefixtures("compiled_engine_back")


def contenders(kind, device="cpu"):
    """The contenders that compute something, but for those that only hide a module."""
    wanted = [c for c in CONTENDERS if (c.kind, c.device) == (kind, device)]
    wanted = [c for c in wanted if c.role != "bound" and not c.without]
    return [pytest.param(c, id=c.name) for c in wanted]


@pytest.fixture
def make(monkeypatch):
    """Make a contender's case ready, as its worker does; those of a card on the CPU."""
    monkeypatch.setattr(Case, "stretch", 3)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    undo = []

    def make(contender, case, data):
        on_card = contender.device == "cuda"
        for name in {*contender.needs} - {"cupy"}:
            module = pytest.importorskip(name)
            if name == "torch":  # compiling takes half a minute, and is not what may be wrong
                monkeypatch.setattr(module, "compile", lambda **options: lambda f: f)
                undo.append((module, module.get_float32_matmul_precision()))
        return contender.make(case, data, **({"device": "cpu"} if on_card else {}))

    yield make
    for torch, precision in undo:
        torch.set_float32_matmul_precision(precision)


def forward(case, weights, x):
    """The layers' inputs and the output, in float64."""
    acts = {"logistic": lambda z: 1 / (1 + np.exp(-z)), "relu": lambda z: np.maximum(z, 0)}
    layers = [x.astype(np.float64)]
    for i, (W, b) in enumerate(weights):
        name = case.activation if i < len(weights) - 1 else case.output
        layers.append(acts.get(name, lambda z: z)(layers[-1] @ W + b))
    return layers


def trained(case, data, steps, order=None):
    """The weights after steps on a batch or on the rows of an order, by formulas in float64."""
    slopes = {"logistic": lambda a: a * (1 - a), "relu": lambda a: a > 0, "identity": np.ones_like}
    weights = [[p.astype(np.float64) for p in layer] for layer in case.weights()]
    m, v = ([[np.zeros_like(p) for p in layer] for layer in weights] for _ in range(2))
    for t in range(1, steps + 1):
        x, y = data if order is None else (a[order[(t - 1) % len(order)]] for a in data)
        *inputs, out = forward(case, weights, x)
        if case.loss == "log_loss":
            out = np.exp(out) / np.exp(out).sum(axis=1, keepdims=True)
        dz = (out - y) / len(out)
        dz = dz * (1 if case.loss == "log_loss" else slopes[case.output](out))
        for i in reversed(range(len(weights))):
            grads = inputs[i].T @ dz, dz.sum(axis=0)
            dz = dz @ weights[i][0].T * slopes[case.activation](inputs[i])
            for k, g in enumerate(grads):
                if case.rule == "adam":
                    m[i][k] = 0.9 * m[i][k] + 0.1 * g
                    v[i][k] = 0.999 * v[i][k] + 0.001 * g * g
                    m_hat, v_hat = m[i][k] / (1 - 0.9**t), v[i][k] / (1 - 0.999**t)
                    g = m_hat / (np.sqrt(v_hat) + 1e-8)
                weights[i][k] -= case.lr * g
    return weights


def assert_same_weights(found, wanted, rtol=1e-4, atol=2e-5):
    for layer, other in zip(found, wanted, strict=True):
        for p, q in zip(layer, other, strict=True):
            np.testing.assert_allclose(p, q, rtol, atol)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("contender", contenders("steps"))
def test_every_contender_takes_the_same_step(make, contender, name):
    case = SMALL[name]
    if (contender.group, name) == ("sklearn", "logistic"):
        pytest.skip("scikit-learn's regressor has no logistic output")
    data = case.data()
    ready = make(contender, case, data)
    calls = 1 if contender.group == "own" else 2  # ours repeats the rates of its first steps
    ready.run(calls)
    assert_same_weights(ready.outcome(), trained(case, data, calls * ready.units))


def calls_of_an_epoch(ready, case):
    assert case.n_steps % ready.units == 0
    return case.n_steps // ready.units


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("contender", contenders("steps", "cuda"))
def test_every_contender_on_a_card_takes_the_batches_of_the_order(make, contender, name):
    case = replace(SMALL[name], rows=50)  # 8 batches, and 2 rows that are left out
    data = case.data()
    ready = make(contender, case, data)
    epochs = 1 if contender.group == "own" else 2  # ours repeats the rates of its first steps
    ready.run(epochs * calls_of_an_epoch(ready, case))
    assert_same_weights(ready.outcome(), trained(case, data, 8 * epochs, case.order()))


@pytest.mark.parametrize(
    "contender", [c for c in contenders("steps", "cuda") if c.values[0].group != "own"]
)
def test_products_in_bfloat16_train_parameters_in_float32(make, contender):
    case = replace(SMALL["softmax"], rows=50, precision="medium", rule="sgd", lr=0.1)
    data = case.data()
    ready = make(contender, case, data)
    ready.run(calls_of_an_epoch(ready, case))
    found, wanted = ready.outcome(), trained(case, data, 8, case.order())
    assert {p.dtype.name for layer in found for p in layer} == {"float32"}
    moved = max(abs(p - q).max() for layer in zip(wanted, case.weights()) for p, q in zip(*layer))
    assert_same_weights(found, wanted, 0, moved / 50)
    with pytest.raises(AssertionError):  # it was bfloat16
        assert_same_weights(found, wanted, 0, moved / 10_000)


@pytest.mark.parametrize(
    "precision, jax_says, dtype, torch_says",
    [
        ("highest", "HIGHEST", "f32", "highest"),
        ("high", "HIGH", "f32", "high"),
        ("medium", "DEFAULT", "bf16", "high"),
    ],
)
def test_every_product_is_as_short_as_the_case_says(make, precision, jax_says, dtype, torch_says):
    jax = pytest.importorskip("jax")
    case = replace(SMALL["softmax"], precision=precision)
    x, y, step = jax_cuda._parts(case, case.data(), "cpu")
    lowered = jax.jit(step).lower(jax_cuda.start(case), x, y, np.arange(6)).as_text()
    products = [line for line in lowered.splitlines() if "dot_general" in line]
    assert len(products) >= 3 + 3 + 2
    for line in products:
        assert re.search(rf"\(tensor<\w+x{dtype}>, tensor<\w+x{dtype}>\) -> tensor<\w+xf32>", line)
        assert f"precision = [{jax_says}, {jax_says}]" in line
    torch = pytest.importorskip("torch")
    make(
        *[c.values[0] for c in contenders("steps", "cuda") if c.id == "torch graph"],
        case,
        case.data(),
    )
    assert torch.get_float32_matmul_precision() == torch_says


@pytest.mark.gpu
@pytest.mark.parametrize("contender", contenders("steps", "cuda"))
def test_on_a_real_card_too(contender, monkeypatch):
    try:
        benchmarks.card()
    except DeviceError as error:
        pytest.skip(str(error))
    if contender.slow:
        pytest.skip("compiling takes half a minute")
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # other tests need the card too
    for name in contender.needs:
        pytest.importorskip(name)
    case = replace(SMALL["softmax"], rows=50)
    data = case.data()
    ready = contender.make(case, data)
    calls = calls_of_an_epoch(ready, case)
    assert (ready.timer(lambda: ready.run(calls)) is None) == (contender.group == "jax")
    assert_same_weights(ready.outcome(), trained(case, data, 8, case.order()))


@pytest.fixture
def fake_cuda(monkeypatch):
    """torch.cuda's streams and graphs, which note what is asked of them; the list of notes."""
    cuda, said = pytest.importorskip("torch").cuda, []

    class Stream:
        def wait_stream(self, other):
            said.append("wait")

    @contextmanager
    def doing(what):
        said.append(what)
        yield
        said.append("end")

    fakes = {
        "Stream": Stream,
        "current_stream": Stream,
        "stream": lambda stream: doing("warm up"),
        "CUDAGraph": lambda: SimpleNamespace(replay="replay"),
        "graph": lambda graph: doing("hold"),
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(cuda, name, fake)
    return said


def test_a_step_is_captured_after_a_warm_up_beside_and_starts_with_the_first_weights(fake_cuda):
    case = replace(SMALL["softmax"], rows=50)
    loop = torch_cuda.Loop(case, case.data(), "cpu")
    loop.device = "another"
    step, restart = torch_cuda._capturable(loop)

    def noted(x, y):
        fake_cuda.append(int(loop.place))
        step(x, y)

    launch = torch_cuda._launched(loop, noted, restart, at_once=2)
    two = [1, 2]
    assert fake_cuda[:10] == ["wait", "warm up", *two, *two, *two, "end", "wait"]
    assert fake_cuda[10] == "hold" and fake_cuda[-1] == "end" and len(fake_cuda) == 14
    assert launch == "replay"
    assert_same_weights(torch_cuda.trained(loop.model), case.weights(), 0, 0)
    step(*loop.take(loop.order[0]))  # Adam's moments and its count are those of the start
    assert_same_weights(torch_cuda.trained(loop.model), trained(case, case.data(), 1, case.order()))


def test_an_epoch_of_launches_begins_at_the_first_batch():
    pytest.importorskip("torch")
    loop = torch_cuda.Loop(replace(SMALL["softmax"], rows=50), SMALL["softmax"].data(), "cpu")
    places = []
    call = torch_cuda._from_the_start(
        loop, lambda: places.append(int(loop.place)) or loop.place.add_(4), at_once=4
    )
    for _ in range(5):
        call()
    assert places == [0, 4, 0, 4, 0]


@pytest.mark.parametrize("name", ["logistic", "softmax"])
@pytest.mark.parametrize("contender", [*contenders("fits"), *contenders("fits", "cuda")])
def test_every_contender_fits_the_same_network(make, contender, name):
    if contender.group == "sklearn":
        pytest.skip("scikit-learn draws its own weights")
    case = replace(SMALL[name], batch=15, rows=15, epochs=2)  # one batch: no order of the rows
    data = case.data()
    ready = make(contender, case, data)
    ready.run(1)
    assert ready.units == 2
    assert_same_weights(ready.outcome(), trained(case, data, 2))


@pytest.mark.parametrize(
    "contender",
    [
        c
        for c in (*contenders("fits"), *contenders("fits", "cuda"))
        if c.values[0].group not in ("sklearn", "own")
    ],
)
def test_a_fit_takes_the_rows_that_are_left_over(make, contender):
    case = replace(SMALL["softmax"], rows=15, epochs=2)
    data = tuple(np.repeat(a[:1], 15, axis=0) for a in case.data())  # one row: no order
    ready = make(contender, case, data)
    ready.run(1)
    assert_same_weights(ready.outcome(), trained(case, data, 6))  # of 6, 6 and 3 rows


@pytest.mark.parametrize("name", ["softmax", "identity"])
@pytest.mark.parametrize("contender", contenders("predict"))
def test_every_contender_predicts_the_same(make, contender, name):
    case = replace(SMALL[name], rows=5000)
    data = case.data()
    if contender.make is own.predictor and not hasattr(own.MLPRegressor, "predictor"):
        pytest.skip("there is no predictor")
    out = forward(case, case.weights(), data[0])[-1]
    wanted = out.argmax(axis=1) if name == "softmax" else out[:, 0]
    found = make(contender, case, data).outcome()
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=1e-5)
