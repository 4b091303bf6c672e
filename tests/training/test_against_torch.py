"""Whole networks against torch's autograd: outputs, loss and every gradient."""

import numpy as np
import pytest
from each import each

from xpmlp import nn
from xpmlp.nn.losses import LOSSES

torch = pytest.importorskip("torch", reason="torch's autograd is the oracle")
MODULES = {
    "relu": torch.nn.ReLU,
    "tanh": torch.nn.Tanh,
    "logistic": torch.nn.Sigmoid,
    "gelu": torch.nn.GELU,
    "silu": torch.nn.SiLU,
    "mish": torch.nn.Mish,
    "selu": torch.nn.SELU,
}


def _torch_loss(name, z, y):
    if name == "log_loss":
        return torch.nn.functional.cross_entropy(z, y)
    if name == "binary_log_loss":
        return torch.nn.functional.binary_cross_entropy_with_logits(z, y, reduction="sum") / len(y)
    return 0.5 * ((z - y) ** 2).sum() / len(y)


@each("activation", MODULES)
@each("loss", ["log_loss", "binary_log_loss", "squared_error"])
@each("use_bias", [True, False])
def test_outputs_loss_and_gradients_of_a_network_are_torchs(activation, loss, use_bias):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 4)), np.eye(3)[rng.integers(0, 3, 12)]
    network = nn.Network(
        [nn.Dense(6, activation, use_bias), nn.Dense(5), nn.Activation(activation), nn.Dense(3)]
    )
    params, _ = network.init(4, rng)
    layers = [torch.nn.Linear(4, 6, use_bias), MODULES[activation](), torch.nn.Linear(6, 5)]
    layers += [MODULES[activation](), torch.nn.Linear(5, 3)]
    theirs = torch.nn.Sequential(*layers).double()
    linear = dict(zip((0, 1, 3), (layers[0], layers[2], layers[4])))
    with torch.no_grad():
        for i, module in linear.items():
            module.weight[:] = torch.asarray(params[i]["W"].T.copy())
            if module.bias is not None:
                module.bias[:] = torch.asarray(params[i]["b"][0])
    z = theirs(torch.asarray(x))
    expected = _torch_loss(loss, z, torch.asarray(y))
    expected.backward()

    outputs, caches = network.forward(params, x, nn.Ctx(np))
    value, d = LOSSES[loss](outputs, y)
    _, grads = network.backward(params, d, caches, nn.Ctx(np, need_dx=False))
    np.testing.assert_allclose(outputs, z.detach().numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(value, expected.item(), rtol=1e-10)
    for i, module in linear.items():
        np.testing.assert_allclose(
            grads[i]["W"], module.weight.grad.numpy().T, rtol=1e-8, atol=1e-12
        )
        assert ("b" in grads[i]) == (module.bias is not None)
        if module.bias is not None:
            np.testing.assert_allclose(
                grads[i]["b"][0], module.bias.grad.numpy(), rtol=1e-8, atol=1e-12
            )
