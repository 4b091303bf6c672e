"""What the tests of the parity suite share."""

from xpmlp.arrays import location_of
from xpmlp.engines import engine_for
from xpmlp.testing.parity import compare

STRICT = "array_api_strict:device1"


def then(change):
    """What a function returns, changed."""
    return lambda f: lambda *args, **options: change(f(*args, **options))


def plant_kernel(monkeypatch, name, faulty):
    """Replace one kernel of the strict library's engine only."""

    def engine_of(x, options):
        engine = engine_for(x, options)
        if location_of(x).library != "array_api_strict":
            return engine
        kernel = getattr(engine.kernels, name)
        return engine._replace(kernels=engine.kernels._replace(**{name: faulty(kernel)}))

    monkeypatch.setattr(compare, "engine_for", engine_of)


def rolled(kernel):
    return lambda *args, xp: xp.roll(kernel(*args, xp=xp), 1, axis=-1)
