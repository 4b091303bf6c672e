"""Parts of the user, and each built-in one by itself, on the NumPy engine."""

from dataclasses import dataclass

import numpy as np
from each import each
from numpy_problems import (  # noqa: F401 - fixtures among them
    ALONE,
    BOUNDS,
    TOLERANCE,
    check,
    compiled_fixture,
    engine_fixture,
    generic_fixture,
    kind_of,
    path_of,
    problem,
    with_native,
)

from xpmlp import optim
from xpmlp.nn import Activation, Dense, Dropout, Embedding, Layer, Loss, Network
from xpmlp.nn.activations import ACTIVATIONS, ActivationFunction
from xpmlp.nn.losses import LOSSES
from xpmlp.optim import SGD, Adam, Rule

# What is not of ours.


@dataclass(frozen=True)
class Doubled(Dense):
    """A subclass may compute anything."""

    def forward(self, params, x, ctx):
        a, cache = super().forward(params, x, ctx)
        return 2.0 * a, cache

    def backward(self, params, dy, cache, ctx):
        return super().backward(params, 2.0 * dy, cache, ctx)


@dataclass(frozen=True)
class Shift(Layer):
    """A layer of one's own."""

    def init(self, n_in, stream, x=None):
        return {"W": np.ones((1, n_in))}, n_in

    def forward(self, params, x, ctx):
        return x + params["W"], ()

    def backward(self, params, dy, cache, ctx):
        return dy, {"W": ctx.xp.sum(dy, axis=-2, keepdims=True)}


NOT_CHAINS = {
    "a subclass of Dense": Network([Doubled(5, "relu"), Dense(2)]),
    "a layer of one's own": Network([Shift(), Dense(2)]),
    "a nested network": Network([Network([Dense(5, "relu")]), Dense(2)]),
    "an activation as a layer": Network([Dense(5), Activation("relu"), Dense(2)]),
    "a dropout at the end": Network([Dense(2), Dropout(0.5)]),
    "an embedding behind": Network([Dropout(0.5), Embedding((3, 2), 2), Dense(2)]),
    "two embeddings": Network([Embedding((3,), 2), Embedding((3,), 2), Dense(2)]),
}

ONLY_COMPILED = {"an activation as a layer", "a dropout at the end"}


@each("name", NOT_CHAINS)
def test_networks_that_are_no_chains_run_generically(name, engine, generic, request):
    network = NOT_CHAINS[name]
    made = problem(network, alpha=0.5)
    if kind_of(request) == "native" and name in ONLY_COMPILED:
        check(engine, generic, made, path="native")
    else:
        check(engine, generic, made, path="generic", tolerance=1e-15)
        assert engine.outputs(network, made[0].layout, "float64") is None


@dataclass(frozen=True)
class Clipped(Rule):
    """Looks at a whole leaf, and returns other arrays than it was given."""

    slots = ("m",)

    def apply(self, p, g, rate, m, *, xp):
        g = g / xp.sqrt(xp.sum(g * g))
        return p - rate * g - 0.1 * m, m + g


@dataclass(frozen=True)
class Remembering(Rule):
    """Heavy-ball descent (Polyak 1964): its slot becomes the array that p was."""

    slots = ("before",)

    def apply(self, p, g, rate, before, *, xp):
        return p - rate * g + 0.5 * (p - before), p


class Slower(SGD):
    """A subclass of a rule may compute anything."""

    def apply(self, p, g, rate, *slots, xp):
        return super().apply(p, 0.5 * g, rate, *slots, xp=xp)


def _sums(outputs, y, w, xp):
    """For whole batches; its gradient is the targets' own memory, in which nobody may write."""
    return -xp.sum(y * outputs), y


SQUARE = ActivationFunction("relu", lambda z, xp: z * z, lambda da, z, a, xp: 2.0 * da * z)
CHAIN = Network([Dense(5, "tanh"), Dense(2)])
OWN = {
    "a rule": {"network": Network([Dense(300, "relu"), Dense(2)]), "D": 200, "rule": Clipped()},
    "a rule that keeps an old array": {"network": CHAIN, "rule": Remembering()},
    "a subclass of a rule": {"network": CHAIN, "rule": Slower(0.9)},
    "a loss": {"network": CHAIN, "loss": Loss("squared_error", _sums, "identity")},
    "a loss that hands out the targets": {
        "network": Network([Dense(5, "tanh"), Dense(2, "relu")]),
        "shuffle": False,
        "loss": Loss("sums", _sums, "identity"),
    },
    "an activation with a name of ours": {"network": Network([Dense(5, SQUARE), Dense(2)])},
}


@each("name", OWN)
def test_parts_of_ones_own_in_a_chain_run_without_compiled_code(name, engine, generic):
    made = problem(**OWN[name], n=20, alpha=0.1)
    check(engine, generic, made, path="blocks")


def test_rows_that_are_added_to_the_registries_run_without_compiled_code(
    engine, generic, monkeypatch
):
    monkeypatch.setitem(ACTIVATIONS, "square", SQUARE._replace(name="square"))
    monkeypatch.setitem(LOSSES, "sums", Loss("sums", _sums, "identity"))
    for options in (
        {"network": Network([Dense(5, "square"), Dense(2)])},
        {"network": CHAIN, "loss": "sums"},
    ):
        check(engine, generic, problem(**options, n=20), path="blocks")


@with_native
def test_every_activation_loss_and_rule_that_is_built_in_has_a_compiled_form(compiled):
    rows = [
        ("activation", name, problem(Network([Dense(5, name), Dense(2)]))) for name in ACTIVATIONS
    ]
    rows += [("loss", name, problem(CHAIN, loss=name)) for name in LOSSES]
    rows += [("rule", name, problem(CHAIN, rule=rule())) for name, rule in optim.RULES.items()]
    for kind, name, (step, _) in rows:
        assert path_of(compiled, compiled.run(step)) == "native", (kind, name)


# More weights than one block holds: what looks at a whole leaf must get it whole.
BROAD = Network([Dropout(0.2), Dense(300, "relu"), Dense(3)])


@each("dtype", TOLERANCE)
@each("name", [*ALONE, "all bounds"])
def test_losses_rules_and_bounds_equal_the_plain_steps(engine, generic, name, dtype, request):
    options = BOUNDS if name == "all bounds" else ALONE[name]
    # seeds 0 and 1 are so near to a kink that the plain text in float32 is off by 1e-4 as well
    made = problem(BROAD, D=200, alpha=0.1, dtype=dtype, n=12, epochs=1, seed=2, **options)
    if name == "lion":  # a sign flips where a gradient is zero but for its rounding
        made = problem(CHAIN, dtype=dtype, **options)
    check(engine, generic, made, path=kind_of(request))


def test_the_slots_of_a_rules_state_go_by_their_names(engine, generic):
    step, start = problem(CHAIN, rule=Adam(epsilon=1e-2))

    def swapped():
        carry, data, plans = start()
        return carry._replace(state={slot: carry.state[slot] for slot in ("v", "m")}), data, plans

    check(engine, generic, (step, swapped))
