"""PyTorch: eager and compiled steps with fused updates, fits, predictions."""

from .base import Contender, Ready, predicting, repeated, whole_or_chunks


def parts(case, data, device="cpu"):
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
    model = torch.nn.Sequential(*layers).to(device)
    x, y = (torch.from_numpy(a).to(device) for a in data)
    if case.loss == "log_loss":
        return model, (x, y.argmax(dim=1)), F.cross_entropy
    half = 0.5 * case.sizes[-1]  # mse_loss is also a mean over the outputs
    return model, (x, y), lambda out, y: half * F.mse_loss(out, y)


def optimizer(case, model, **options):
    """Return the fused rule of a case; options: Adam's."""
    import torch

    if case.rule == "sgd":
        return torch.optim.SGD(model.parameters(), lr=case.lr, fused=True)
    return torch.optim.Adam(model.parameters(), lr=case.lr, fused=True, **options)


def trained(model):
    """Return the weights on the host."""
    dense = [layer for layer in model if hasattr(layer, "bias")]
    return [tuple(p.detach().cpu().numpy() for p in (d.weight.T, d.bias)) for d in dense]


def stepper(optimizer, value):
    """Return (x, y) -> None: one step."""

    def step(x, y):
        optimizer.zero_grad(set_to_none=True)
        value(x, y).backward()
        optimizer.step()

    return step


def steps(case, data):
    """Prepare eager steps."""
    model, (x, y), loss = parts(case, data)
    step = stepper(optimizer(case, model), lambda x, y: loss(model(x), y))
    return Ready(repeated(step, x, y), 1, lambda: trained(model))


def compiled(case, data):
    """Prepare steps of one graph: loss, gradient and update.

    With the update outside of it, as an optimizer's fused step, small networks take three times as
    long and others no less.
    """
    import torch

    model, (x, y), loss = parts(case, data)
    step, _ = pure_step(case, model, lambda model, x, y: loss(model(x), y), lambda: (x, y))
    return Ready(repeated(torch.compile(fullgraph=True)(step)), 1, lambda: trained(model))


def pure_step(case, model, value, batch):
    """Return a step on batch() without autograd's objects, and the tensors that it changes.

    value(model, x, y) is the loss.
    """
    import torch

    params = {name: p.detach() for name, p in model.named_parameters()}
    m, v = ({name: torch.zeros_like(p) for name, p in params.items()} for _ in range(2))
    t = torch.zeros((), device=next(model.parameters()).device)

    def loss(params, x, y):
        return value(lambda x: torch.func.functional_call(model, params, x), x, y)

    def step():
        grads, _ = torch.func.grad_and_value(loss)(params, *batch())
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

    return step, [t, *params.values(), *m.values(), *v.values()]


def _fit(case, data, batches_of):
    """Prepare epochs of eager steps over the batches of (x, y)."""
    model, (x, y), loss = parts(case, data)
    step = stepper(optimizer(case, model), lambda x, y: loss(model(x), y))
    batches = batches_of(x, y, case.batch)

    def call():
        for _ in range(case.epochs):
            for xb, yb in batches():
                step(xb, yb)

    return Ready(repeated(call), case.epochs, lambda: trained(model))


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

    model, (x, _), _ = parts(case, data)
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
