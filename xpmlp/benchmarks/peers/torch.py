"""PyTorch: eager and compiled steps with fused updates, fits, predictions."""

from .base import Contender, Ready, predicting, repeated, whole_or_chunks


def _parts(case, data):
    """Return the model with our first weights, (x, y) as tensors, the loss."""
    import torch
    from torch.nn import functional as F

    acts = {"logistic": torch.nn.Sigmoid, "relu": torch.nn.ReLU, "identity": torch.nn.Identity}
    layers = []
    for i, (W, b) in enumerate(case.weights()):
        dense = torch.nn.Linear(*W.shape)
        with torch.no_grad():
            dense.weight.copy_(torch.from_numpy(W.T))
            dense.bias.copy_(torch.from_numpy(b))
        act = case.activation if i < len(case.sizes) - 2 else case.output
        layers += [dense] if act == "identity" else [dense, acts[act]()]
    x, y = map(torch.from_numpy, data)
    if case.loss == "log_loss":
        return torch.nn.Sequential(*layers), (x, y.argmax(dim=1)), F.cross_entropy
    half = 0.5 * case.sizes[-1]  # mse_loss is also a mean over the outputs
    return torch.nn.Sequential(*layers), (x, y), lambda out, y: half * F.mse_loss(out, y)


def _optimizer(case, model):
    import torch

    make = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[case.rule]
    return make(model.parameters(), lr=case.lr, fused=True)


def _trained(model):
    dense = [layer for layer in model if hasattr(layer, "bias")]
    return [(d.weight.detach().numpy().T, d.bias.detach().numpy()) for d in dense]


def _stepper(optimizer, value):
    """Return (x, y) -> None: one step."""

    def step(x, y):
        optimizer.zero_grad(set_to_none=True)
        value(x, y).backward()
        optimizer.step()

    return step


def steps(case, data):
    """Prepare eager steps."""
    model, (x, y), loss = _parts(case, data)
    step = _stepper(_optimizer(case, model), lambda x, y: loss(model(x), y))
    return Ready(repeated(step, x, y), 1, lambda: _trained(model))


def compiled(case, data):
    """Prepare steps of one graph: loss, gradient and update.

    With the update outside of it, as an optimizer's fused step, small networks take three times as
    long and others no less.
    """
    import torch

    model, (x, y), loss = _parts(case, data)
    params = {name: p.detach() for name, p in model.named_parameters()}
    m, v = ({name: torch.zeros_like(p) for name, p in params.items()} for _ in range(2))
    t = torch.zeros(())

    def value(params):
        return loss(torch.func.functional_call(model, params, x), y)

    @torch.compile(fullgraph=True)
    def step():
        grads, _ = torch.func.grad_and_value(value)(params)
        if case.rule == "sgd":
            for name, p in params.items():
                p.sub_(grads[name], alpha=case.lr)
            return
        t.add_(1)
        rate = case.lr * torch.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        for name, p in params.items():
            g = grads[name]
            m[name].lerp_(g, 0.1)
            v[name].mul_(0.999).addcmul_(g, g, value=0.001)
            p.sub_(rate * m[name] / (v[name].sqrt() + 1e-8))

    return Ready(repeated(step), 1, lambda: _trained(model))


def _fit(case, data, batches_of):
    """Prepare epochs of eager steps over the batches of (x, y)."""
    model, (x, y), loss = _parts(case, data)
    step = _stepper(_optimizer(case, model), lambda x, y: loss(model(x), y))
    batches = batches_of(x, y, case.batch)

    def call():
        for _ in range(case.epochs):
            for xb, yb in batches():
                step(xb, yb)

    return Ready(repeated(call), case.epochs, lambda: _trained(model))


def fit_loader(case, data):
    """Prepare epochs with a DataLoader."""
    from torch.utils.data import DataLoader, TensorDataset

    def batches_of(x, y, size):
        loader = DataLoader(TensorDataset(x, y), batch_size=size, shuffle=True)
        return lambda: loader

    return _fit(case, data, batches_of)


def fit_slices(case, data):
    """Prepare epochs whose batches are indexed out of the tensors."""
    import torch

    def batches_of(x, y, size):
        return lambda: ((x[rows], y[rows]) for rows in torch.randperm(len(x)).split(size))

    return _fit(case, data, batches_of)


def predict(case, data):
    """Prepare predictions without autograd: whole or in chunks, whichever is faster."""
    import torch

    model, (x, _), _ = _parts(case, data)
    finish = (lambda out: out.argmax(dim=1)) if case.loss == "log_loss" else lambda out: out[:, 0]

    @torch.inference_mode()
    def whole(x):
        return finish(model(x))

    return predicting(whole_or_chunks(whole, torch.cat, x), x)


CONTENDERS = (
    Contender("torch eager", "steps", steps, ("torch",)),
    Contender("torch.compile", "steps", compiled, ("torch",), slow=True),
    Contender("torch, DataLoader", "fits", fit_loader, ("torch",)),
    Contender("torch, slices", "fits", fit_slices, ("torch",)),
    Contender("torch", "predict", predict, ("torch",)),
)
