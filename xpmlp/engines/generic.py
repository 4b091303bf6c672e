"""The generic engine: a plain loop of pure Array API steps. The oracle of every other."""

from functools import cache

from .base import Engine, gather


@cache
def generic_engine(xp, *, contiguous=True):
    """Return the engine of an array namespace."""

    def run_of(step):
        def run(carry, data, plan):
            losses = []
            for i in range(plan.rows.shape[0]):
                batch = gather(data, plan.at(i), xp=xp)
                carry, values = step(carry, batch, xp=xp, kernels=engine.kernels)
                losses.append(values)
            return carry, xp.stack([xp.stack(kind) for kind in zip(*losses)])

        return run

    engine = Engine(name="generic", xp=xp, run=run_of, contiguous=contiguous)
    return engine
