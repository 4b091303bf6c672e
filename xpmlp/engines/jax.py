"""The JAX engine: any chunk of batches is one compiled scan whose carry is donated."""

from functools import cache, lru_cache

from .base import gather
from .generic import generic_engine

# JAX's names; "default" is what is fastest on a device, and on a CPU nothing is less than float32.
PRECISIONS = {"highest": "highest", "high": "high", "medium": "default"}


@cache
def jax_engine(xp, *, matmul_precision="highest"):
    """Return the engine of jax.numpy."""
    import jax

    generic = generic_engine(xp, contiguous=False)

    # Equal records are the same step, so a second fit of the same shapes compiles nothing.
    @lru_cache(maxsize=128)
    def compiled(f, donate=()):
        def traced(*args):
            with jax.default_matmul_precision(PRECISIONS[matmul_precision]):
                return f(*args)

        return jax.jit(traced, donate_argnums=donate)

    @lru_cache(maxsize=128)
    def run_of(step):
        def run(carry, data, plan):
            def body(carry, hyper):
                return step(carry, gather(data, hyper, xp=xp), xp=xp, kernels=generic.kernels)

            carry, losses = jax.lax.scan(body, carry, plan)
            return carry, xp.stack(losses)

        return compiled(run, 0)

    return generic._replace(
        name="jax", fixed_shapes=True, compile=compiled, run=run_of, product=compiled(xp.matmul)
    )
