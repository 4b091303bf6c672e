"""The torch engine: the step's text on torch's own kernels, without the namespace's wrappers.

N rows, D inputs, H outputs; with members a K axis stands before N.
"""

from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, lru_cache, wraps
from typing import Any

from ..nn import Kernels
from ..nn.activations import ACTIVATIONS
from ..optim import Adam, Rule
from ..optim.rules import AdamW
from .base import Batch, Plan
from .generic import generic_engine

# What products of float32 may be computed in: on CPUs (oneDNN; where a CPU has no such units it
# takes float32), and on CUDA, where torch has nothing shorter than TF32.
PRODUCTS = {"highest": ("ieee", "ieee"), "high": ("tf32", "tf32"), "medium": ("bf16", "tf32")}


@cache
def torch_engine(xp, *, contiguous=False, matmul_precision="highest"):
    """Return the engine of torch tensors; `xp` is their Array API namespace."""
    # One leaf a parameter saves a copy of all gradients; on a GPU, one a group saves launches.
    generic = generic_engine(xp, contiguous=contiguous)
    kernels = _kernels()

    @lru_cache(maxsize=128)
    def run_of(step):
        if type(step.rule) in (Adam, AdamW):
            step = replace(step, rule=FusedAdam(step.rule))

        def run(carry, data, plan):
            losses = []
            for hyper in map(Plan._make, zip(*(a.unbind(0) for a in plan))):
                x, y = (_rows(a, hyper.rows) for a in data)
                carry, values = step(carry, Batch(x, y, hyper), xp=xp, kernels=kernels)
                losses.append(values)
            return carry, xp.stack([xp.stack(kind) for kind in zip(*losses)])

        return compiled(run)

    @lru_cache(maxsize=128)
    def compiled(f, donate=()):
        @wraps(f)
        def call(*args):
            with _computing(matmul_precision):
                return f(*args)

        return call

    return generic._replace(
        name="torch", compile=compiled, run=run_of, kernels=kernels, product=compiled(xp.matmul)
    )


def _rows(a, rows):
    """Return rows of `a`: index_select costs a fifth of the standard's take."""
    if rows.ndim == 1:
        return a.index_select(0, rows)
    return a.index_select(0, rows.reshape(-1)).reshape(*rows.shape, *a.shape[1:])


def _kernels():
    """Return the kernels of a dense layer, with torch's own activations where it has them."""
    import torch

    aten = torch.ops.aten
    own: dict[Any, tuple] = {
        ACTIVATIONS["relu"]: (torch.relu, lambda da, a: aten.threshold_backward(da, a, 0.0)),
        ACTIVATIONS["logistic"]: (torch.sigmoid, aten.sigmoid_backward),
        ACTIVATIONS["tanh"]: (torch.tanh, aten.tanh_backward),
    }

    def dense_forward(x, W, b, activation, *, xp):
        z = x @ W
        if b is not None:
            z += b
        if activation in own:
            a = own[activation][0](z)
        else:
            a = activation.forward(z, xp)
        return a, (x, z, a)

    def dense_backward(da, cache, W, activation, *, need_dx, need_db, xp):
        x, z, a = cache
        if activation in own:
            dz = own[activation][1](da, a)
        else:
            dz = activation.backward(da, z, a, xp)
        dx = dz @ W.mT if need_dx else None
        # Without keepdim the sum over rows takes a third of the time.
        db = dz.sum(-2).unsqueeze(-2) if need_db else None
        return dx, x.mT @ dz, db

    return Kernels(dense_forward, dense_backward)


@dataclass(frozen=True)
class FusedAdam(Rule):
    """Adam's update as one pass over its arrays, by the kernel of torch's optimizers."""

    rule: Adam
    slots = ("m", "v")

    def apply(self, p, g, rate, m, v, *, xp):
        """Return p, m and v."""
        import torch

        # The kernel has one rate for all members, and walks through memory without strides.
        plain = rate.ndim == 0 and all(a.is_contiguous() for a in (p, g, m, v))
        if p.device.type != "cpu" or not plain:
            return self.rule.apply(p, g, rate, m, v, xp=xp)
        b1, b2, epsilon = self.rule.beta_1, self.rule.beta_2, self.rule.epsilon
        more: dict[str, Any] = {"beta1": b1, "beta2": b2, "eps": epsilon, "weight_decay": 0.0}
        more |= {"lr": rate, "amsgrad": False, "maximize": False}
        torch._fused_adam_([p], [g], [m], [v], [], [_late()], **more)
        return p, m, v


@cache
def _late():
    """Return a step number at which the kernel's bias corrections are 1: the rate holds them."""
    import torch

    return torch.tensor(1e30)


@contextmanager
def _computing(matmul_precision):
    """Compute without autograd, products as allowed; torch's settings are then what they were."""
    import torch

    cpu, cuda = torch.backends.mkldnn, torch.backends.cuda.matmul
    with torch.no_grad():
        if not hasattr(cpu, "matmul"):  # before torch 2.9
            before = torch.get_float32_matmul_precision()
            torch.set_float32_matmul_precision(matmul_precision)
            try:
                yield
            finally:
                torch.set_float32_matmul_precision(before)
            return
        places = cpu.matmul, cuda
        kept = [place.fp32_precision for place in places]
        try:
            for place, precision in zip(places, PRODUCTS[matmul_precision]):
                place.fp32_precision = precision
            yield
        finally:
            for place, precision in zip(places, kept):
                place.fp32_precision = precision
