"""Engines: how training steps run on one array library."""

from importlib.util import find_spec

from ..arrays import Array, Location, is_cupy, is_jax, is_numpy, is_torch, namespace
from ..words import check_word
from .base import DEFAULTS, Batch, Carry, Engine, Options, Plan, copy_carry, copy_store, gather
from .chain import has_kernels
from .generic import generic_engine
from .jax import jax_engine
from .numpy import numpy_engine, plain_numpy_engine
from .torch import torch_engine

MATMUL_PRECISIONS = ("highest", "high", "medium")
ACCELERATIONS = ("auto", "generic", "eager", "graph")

# What a step of three layers under Adam costs on a GPU beside its products, in launches of a
# kernel: counted on a stand-in for a GPU, those of a graph by the time that its nodes should take.
LAUNCHES = {"generic": 72, "eager": 16, "graph": 4}


def launches(network, loss, rule, *, plain: bool = True, options: Options = DEFAULTS) -> float:
    """Return about what a step of a network costs on a CUDA GPU beside products, in launches.

    plain: whether the update is the rule's alone.
    """
    check_word("accelerate", options.accelerate, ACCELERATIONS)
    tier = options.accelerate
    if not has_kernels(network, loss, rule, plain):
        tier = "generic"
    return (LAUNCHES | {"auto": LAUNCHES["graph"]})[tier] / 3 * _n_layers(network)


def _n_layers(layer):
    """Return how many layers there are in a layer, or 1."""
    return sum(map(_n_layers, getattr(layer, "parts", {}).values())) or 1


def prepare(where: Location, dtype: str, options: Options = DEFAULTS) -> None:
    """Begin to compile what steps on a CUDA GPU launch, in a thread, while rows are copied to it.

    where: the location that the rows go to; for any other than a GPU this does nothing.
    """
    if where.library == "cupy" and options.accelerate != "generic":
        from .cupy import prepare_card  # which imports CuPy

        prepare_card(int(where.device.rpartition(":")[2]), dtype, options)


def engine_for(x: Array, options: Options = DEFAULTS) -> Engine:
    """Return the engine for the library of `x`.

    matmul_precision: what products of float32 may be computed in: "highest" float32, "high" TF32 or
    the like, "medium" also bfloat16; summed in float32, each where library and device have it.
    accelerate, deterministic: see `train`; on CUDA GPUs, and "generic" on NumPy arrays.
    """
    precision, accelerate = options.matmul_precision, options.accelerate
    check_word("matmul_precision", precision, MATMUL_PRECISIONS)
    check_word("accelerate", accelerate, ACCELERATIONS)
    xp = namespace(x)
    if is_cupy(x):
        from .cupy import cupy_engine  # which imports CuPy

        return cupy_engine(xp, options)
    accelerated = accelerate not in ("auto", "generic")
    if accelerated and is_torch(x) and x.is_cuda and find_spec("cupy"):
        from .cupy import torch_through_cupy

        return torch_through_cupy(xp, options)
    if is_torch(x):
        on_card = x.device.type != "cpu"
        return torch_engine(xp, contiguous=on_card, matmul_precision=precision)
    if is_jax(x):
        return jax_engine(xp, matmul_precision=precision)
    if is_numpy(x):
        return plain_numpy_engine(xp) if accelerate == "generic" else numpy_engine(xp)
    return generic_engine(xp)
