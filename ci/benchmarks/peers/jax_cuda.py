"""JAX on a card: a step a call and a stretch scanned, on batches that are gathered there.

JAX keeps its streams to itself, so no events say how long the card took.
"""

from .base import Contender
from .jax import ready, start, step_of

# Of products of float32. On a card JAX takes TF32 where nothing is said.
PRECISIONS = {"highest": "float32", "high": "tensorfloat32", "medium": "bfloat16"}


def _bfloat16():
    """Return (x, W, b) -> x W + b whose three products are bfloat16, summed in float32."""
    import jax
    from jax import numpy as jnp

    def product(a, b):
        a, b = a.astype(jnp.bfloat16), b.astype(jnp.bfloat16)
        return jnp.matmul(a, b, preferred_element_type=jnp.float32)

    def forward(x, W, b):
        return product(x, W) + b, (x.astype(jnp.bfloat16), W)

    def backward(kept, dz):  # JAX's own would multiply dz in float32
        x, W = kept
        return product(dz, W.T), product(x.T, dz), dz.sum(axis=0)

    dense = jax.custom_vjp(lambda x, W, b: forward(x, W, b)[0])
    dense.defvjp(forward, backward)
    return dense


def _parts(case, data, device):
    """Return x and y on the device, and (carry, x, y, rows) -> (carry, loss)."""
    import jax
    from jax import numpy as jnp

    x, y = (jax.device_put(a, jax.devices(device)[0]) for a in data)
    labels, short = case.loss == "log_loss", case.precision == "medium"
    step = step_of(case, _bfloat16()) if short else step_of(case)
    if short:
        x = x.astype(jnp.bfloat16)
    if labels:
        y = jnp.argmax(y, axis=1)

    def taken(carry, x, y, rows):
        x, y = (a.at[rows].get(mode="promise_in_bounds") for a in (x, y))
        x = x.astype(jnp.float32)  # of the rows alone, and fused with what rounds it again
        if labels:
            y = jax.nn.one_hot(y, case.sizes[-1], dtype=jnp.float32)
        with jax.default_matmul_precision(PRECISIONS[case.precision]):
            return step(carry, x, y)

    return x, y, taken


def _order(case, device):
    import jax

    return jax.device_put(case.order().astype("int32"), jax.devices(device)[0])


def steps(case, data, device="cuda"):
    """Prepare one step a call."""
    import jax

    x, y, step = _parts(case, data, device)
    order = _order(case, device)

    def advance(carry, order, x, y):
        inner, i = carry
        inner, value = step(inner, x, y, order[i % case.n_steps])
        return (inner, i + 1), value

    compiled = jax.jit(advance, donate_argnums=0)
    first = start(case), jax.numpy.zeros((), "int32")
    return ready(lambda carry: compiled(carry, order, x, y), first, 1)


def scanned(case, data, device="cuda"):
    """Prepare as many steps a call as ours runs in one."""
    import jax

    x, y, step = _parts(case, data, device)
    order = _order(case, device)

    def stretch(carry, order, x, y):
        return jax.lax.scan(lambda c, rows: step(c, x, y, rows), carry, order)

    compiled = jax.jit(stretch, donate_argnums=0)
    return ready(lambda carry: compiled(carry, order, x, y), start(case), case.n_steps)


def fit(case, data, device="cuda"):
    """Prepare epochs: each a scan over an order drawn there, and a step on the rows left over."""
    import jax

    x, y, step = _parts(case, data, device)
    full = case.rows // case.batch * case.batch

    def epoch(carry, x, y):
        inner, key = carry
        key, drawn = jax.random.split(key)
        order = jax.random.permutation(drawn, case.rows)
        batches = order[:full].reshape(-1, case.batch)
        inner, losses = jax.lax.scan(lambda c, rows: step(c, x, y, rows), inner, batches)
        if full < case.rows:
            inner, _ = step(inner, x, y, order[full:])
        return (inner, key), losses

    compiled = jax.jit(epoch, donate_argnums=0)

    def advance(carry):
        for _ in range(case.epochs):
            carry, losses = compiled(carry, x, y)
        return carry, losses

    return ready(advance, (start(case), jax.random.key(0)), case.epochs)


CONTENDERS = (
    Contender("JAX jit", "steps", steps, ("jax",), device="cuda", launches=True),
    Contender("JAX scan", "steps", scanned, ("jax",), device="cuda"),
    Contender("JAX scan", "fits", fit, ("jax",), device="cuda"),
)
