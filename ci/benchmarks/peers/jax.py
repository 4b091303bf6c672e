"""JAX: a hand-written step under jit with donated buffers, a step a call and an epoch scanned."""

import numpy as np

from .base import Contender, Ready


def step_of(case, dense=lambda x, W, b: x @ W + b):
    """Return (params, state), x, y -> (params, state), loss."""
    import jax
    from jax import numpy as jnp

    acts = {"logistic": jax.nn.sigmoid, "relu": jax.nn.relu, "identity": lambda z: z}

    def loss(params, x, y):
        for i, (W, b) in enumerate(params):
            last = i == len(params) - 1
            x = acts[case.output if last else case.activation](dense(x, W, b))
        if case.loss == "log_loss":
            return jnp.mean(jax.nn.logsumexp(x, axis=1) - jnp.sum(x * y, axis=1))
        return 0.5 * jnp.sum((x - y) ** 2) / len(x)

    def sgd(params, grads, state):
        return jax.tree.map(lambda p, g: p - case.lr * g, params, grads), state

    def adam(params, grads, state):
        m, v, t = state
        t += 1
        rate = case.lr * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)
        params = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-8), params, m, v)
        return params, (m, v, t)

    def step(carry, x, y):
        params, state = carry
        value, grads = jax.value_and_grad(loss)(params, x, y)
        return {"sgd": sgd, "adam": adam}[case.rule](params, grads, state), value

    return step


def start(case):
    """Return the first carry: arrays that may be donated."""
    import jax
    from jax import numpy as jnp

    params = [tuple(map(jnp.array, layer)) for layer in case.weights()]
    zeros = [jax.tree.map(jnp.zeros_like, params) for _ in range(2)]
    return params, (*zeros, jnp.zeros(())) if case.rule == "adam" else ()


def ready(advance, carry, units):
    """Return run(n) of carry -> (carry, losses): nothing waits but for the last call."""
    import jax

    held = [carry]

    def run(n):
        carry = held[0]
        for _ in range(n):
            carry, losses = advance(carry)
        held[0] = jax.block_until_ready(carry)
        losses.block_until_ready()

    def outcome():
        params = held[0][0]  # a carry, or a carry and what draws or counts its batches
        params = params if isinstance(params, list) else params[0]
        return [tuple(map(np.asarray, layer)) for layer in params]

    return Ready(run, units, outcome)


def steps(case, data):
    """Prepare one step a call."""
    import jax

    x, y = map(jax.numpy.asarray, data)
    compiled = jax.jit(step_of(case), donate_argnums=0)
    return ready(lambda carry: compiled(carry, x, y), start(case), 1)


def scanned(case, data):
    """Prepare as many steps a call as ours runs in one."""
    import jax

    x, y = map(jax.numpy.asarray, data)
    step = step_of(case)

    def epoch(carry, x, y):
        return jax.lax.scan(lambda c, _: step(c, x, y), carry, length=case.stretch)

    compiled = jax.jit(epoch, donate_argnums=0)
    return ready(lambda carry: compiled(carry, x, y), start(case), case.stretch)


def fit(case, data):
    """Prepare epochs: each a scan that gathers its batches, and a step on the rows left over."""
    import jax

    x, y = map(jax.numpy.asarray, data)
    step, rng, n_steps = step_of(case), np.random.default_rng(0), len(x) // case.batch

    def epoch(carry, order, x, y):
        def body(carry, rows):
            return step(carry, x[rows], y[rows])

        batches = order[: n_steps * case.batch].reshape(n_steps, case.batch)
        carry, losses = jax.lax.scan(body, carry, batches)
        tail = order[n_steps * case.batch :]
        return (body(carry, tail)[0] if len(tail) else carry), losses

    compiled = jax.jit(epoch, donate_argnums=0)

    def advance(carry):
        for _ in range(case.epochs):
            carry, losses = compiled(carry, rng.permutation(len(x)).astype(np.int32), x, y)
        return carry, losses

    return ready(advance, start(case), case.epochs)


CONTENDERS = (
    Contender("JAX jit", "steps", steps, ("jax",)),
    Contender("JAX scan", "steps", scanned, ("jax",)),
    Contender("JAX scan", "fits", fit, ("jax",)),
)
