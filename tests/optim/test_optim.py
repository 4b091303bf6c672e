import numpy as np
import pytest
from conftest import assert_close, dtype_name, leaves, map_tree, relative_error
from each import each
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer

from xpmlp.nn import OFFSETS, WEIGHTS, Group
from xpmlp.optim import (
    RULES,
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Adaptive,
    Constant,
    InvScaling,
    Lion,
    Nadam,
    RMSprop,
    Rule,
    init_state,
    make_rule,
    make_schedule,
    update,
)

SHAPES = {"weights": (1, 6), "offsets": (1, 4)}
GROUPS = {"weights": WEIGHTS, "offsets": OFFSETS}
STEPS = 12
TOLERANCE = {"float64": 1e-14, "float32": 2e-6}
CASES = {name: rule() for name, rule in RULES.items()} | {
    "sgd without momentum": SGD(0.0),
    "sgd with plain momentum": SGD(0.8, nesterovs_momentum=False),
}
EVERY = each("case", CASES)
COPY = lambda tree: map_tree(np.copy, tree)


def setting(seed=0, members=()):
    """A store at the start, and one gradient store a step."""
    rng = np.random.default_rng(seed)
    draw = lambda: {k: rng.normal(size=(*members, *shape)) for k, shape in SHAPES.items()}
    return draw(), [draw() for _ in range(STEPS)]


def run(rule, start, gradients, rates, shrink=None, *, groups=GROUPS):
    """The store and state after a few updates on NumPy; nothing that is handed in is lost."""
    params, state = COPY(start), init_state(rule, start, xp=np)
    for grads, rate in zip(gradients, rates):
        params, state = update(rule, COPY(grads), state, params, rate, shrink, groups, xp=np)
    return {"params": params, "state": state}


def rates_of(rule, lr=0.1):
    return rule.rates(lr, np.arange(1, STEPS + 1))


def test_every_rule_is_a_case():
    assert {type(rule) for rule in CASES.values()} == set(RULES.values())


# epsilon: PyTorch's Adam adds it to the corrected root, so both get one that does not count
TORCH = {
    "plain": (SGD(0.0), lambda t: (t.optim.SGD, {"lr": 0.1})),
    "momentum": (SGD(0.9, False), lambda t: (t.optim.SGD, {"lr": 0.1, "momentum": 0.9})),
    "nesterov": (
        SGD(0.9, True),
        lambda t: (t.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ),
    "adam": (Adam(0.8, 0.99, 1e-30), lambda t: (
        t.optim.Adam, {"lr": 0.1, "betas": (0.8, 0.99), "eps": 1e-30})),
    "adamw": (AdamW(0.9, 0.999, 1e-30), lambda t: (
        t.optim.AdamW, {"lr": 0.1, "eps": 1e-30, "weight_decay": 0.3})),
    "rmsprop": (RMSprop(0.9, 1e-3), lambda t: (
        t.optim.RMSprop, {"lr": 0.1, "alpha": 0.9, "eps": 1e-3})),
    "adagrad": (Adagrad(1e-3), lambda t: (t.optim.Adagrad, {"lr": 0.1, "eps": 1e-3})),
}  # fmt: skip


@each("name", TORCH)
def test_a_rule_equals_torchs(name):
    torch = pytest.importorskip("torch", reason="compares with torch")
    rule, theirs = TORCH[name]
    make, options = theirs(torch)
    decay = options.pop("weight_decay", 0.0)
    start, gradients = setting()
    params = {k: torch.asarray(a.copy()) for k, a in start.items()}
    decays = {"weights": decay, "offsets": 0.0}
    groups = [
        {"params": [p], **({"weight_decay": decays[k]} if decay else {})} for k, p in params.items()
    ]
    optimizer = make(groups, **options)
    for grads in gradients:
        for k, p in params.items():
            p.grad = torch.asarray(grads[k])
        optimizer.step()
    got = run(rule, start, gradients, rates_of(rule), 0.1 * decay if decay else None)
    assert_close(got["params"], {k: p.numpy() for k, p in params.items()}, 1e-14)


def nadam(p, gradients, lr, beta_1, beta_2, epsilon):
    """Dozat's look-ahead, with one correction for the momentum's and the gradient's share."""
    m = v = 0.0
    for t, g in enumerate(gradients, start=1):
        m, v = beta_1 * m + (1 - beta_1) * g, beta_2 * v + (1 - beta_2) * g**2
        ahead = (beta_1 * m + (1 - beta_1) * g) / (1 - beta_1 ** (t + 1))
        p = p - lr * ahead / (np.sqrt(v / (1 - beta_2**t)) + epsilon)
    return p


def lion(p, gradients, lr, beta_1, beta_2, decay):
    """Chen et al. 2023, algorithm 2."""
    m = 0.0
    for g in gradients:
        p = p - lr * (np.sign(beta_1 * m + (1 - beta_1) * g) + decay * p)
        m = beta_2 * m + (1 - beta_2) * g
    return p


def test_nadam_and_lion_follow_their_formulas_step_by_step():
    start, gradients = setting()
    rule = Nadam(0.8, 0.95, 1e-30)  # ours adds epsilon to the uncorrected root
    got = run(rule, start, gradients, rates_of(rule))["params"]
    assert_close(
        got,
        {k: nadam(p, [g[k] for g in gradients], 0.1, 0.8, 0.95, 1e-30) for k, p in start.items()},
        1e-13,
    )
    rule = Lion()
    got = run(rule, start, gradients, rates_of(rule), 0.1 * 0.3)["params"]
    decays = {"weights": 0.3, "offsets": 0.0}
    assert_close(
        got,
        {
            k: lion(p, [g[k] for g in gradients], 0.1, 0.9, 0.99, decays[k])
            for k, p in start.items()
        },
        1e-13,
    )


def test_late_in_a_training_nadam_is_torchs_with_constant_momentum():
    torch = pytest.importorskip("torch", reason="compares with torch")
    start, gradients = setting()
    params = [torch.asarray(a.copy()) for a in start.values()]
    optimizer = torch.optim.NAdam(params, 0.1, (0.5, 0.9), 1e-30, momentum_decay=1e9)
    gradients *= 10
    for grads in gradients:
        for p, g in zip(params, grads.values()):
            p.grad = torch.asarray(g)
        before = [p.numpy().copy() for p in params]
        optimizer.step()
    theirs = [p.numpy() - old for p, old in zip(params, before)]
    rule = Nadam(0.5, 0.9, 1e-30)
    rates = rule.rates(0.1, np.arange(1, len(gradients) + 1))
    ends = [run(rule, start, gradients[:n], rates)["params"] for n in (len(gradients) - 1, None)]
    ours = [ends[1][k] - ends[0][k] for k in start]
    assert max(relative_error(a, b) for a, b in zip(ours, theirs)) < 1e-12


def test_every_rule_is_compared_with_torch_or_its_formula():
    rules = {type(rule) for rule, _ in TORCH.values()}
    assert rules | {Nadam, Lion} == set(RULES.values())  # torch's NAdam differs; it has no Lion


@each(
    "rule, theirs",
    [
        (Adam(0.9, 0.999, 1e-8), lambda p: AdamOptimizer(p, 0.1)),
        (Adam(0.5, 0.9, 1e-2), lambda p: AdamOptimizer(p, 0.1, 0.5, 0.9, 1e-2)),
        (SGD(0.9, True), lambda p: SGDOptimizer(p, 0.1, momentum=0.9)),
        (SGD(0.7, False), lambda p: SGDOptimizer(p, 0.1, momentum=0.7, nesterov=False)),
        (SGD(0.0), lambda p: SGDOptimizer(p, 0.1, momentum=0.0)),
    ],
)
def test_a_rule_equals_scikit_learns(rule, theirs):
    start, gradients = setting()
    params = list(COPY(start).values())
    optimizer = theirs(params)
    for grads in gradients:
        optimizer.update_params(params, list(grads.values()))
    got = run(rule, start, gradients, rates_of(rule))
    assert_close(got["params"], dict(zip(start, params)), 1e-14)


def test_momentum_meets_a_changing_rate_as_scikit_learns_does():
    start, gradients = setting()
    params = list(COPY(start).values())
    optimizer = SGDOptimizer(params, 0.1, momentum=0.9)
    rates = 0.1 / np.arange(1, STEPS + 1)
    for grads, rate in zip(gradients, rates):
        optimizer.learning_rate = rate
        optimizer.update_params(params, list(grads.values()))
    got = run(SGD(0.9), start, gradients, rates)
    assert_close(got["params"], dict(zip(start, params)), 1e-14)


def test_adams_rates_carry_the_bias_correction_in_float64():
    steps = np.asarray([1, 2, 10, 1000, 10**6])
    got = Adam(0.9, 0.999).rates(0.25, steps)
    want = [0.25 * (1 - 0.999 ** int(t)) ** 0.5 / (1 - 0.9 ** int(t)) for t in steps]
    assert got.dtype == np.float64
    assert np.abs(got / want - 1).max() < 1e-14
    assert SGD().rates(0.25, steps).tolist() == [0.25] * 5


@EVERY
def test_a_rule_gives_the_same_on_every_library_in_its_dtype(case, xp):
    rule = CASES[case]
    start, gradients = setting()
    want = run(rule, start, gradients, rates_of(rule), 0.01)

    def step(params, state, grads, rate, shrink):
        return update(rule, grads, state, params, rate, shrink, GROUPS, xp=xp.xp)

    for dtype in xp.floats:
        own = lambda a, dtype=dtype: xp.owned(a, dtype)
        params = map_tree(own, start)
        state = init_state(rule, params, xp=xp.xp)
        for grads, rate in zip(gradients, rates_of(rule)):
            params, state = xp.call(step, params, state, map_tree(own, grads), own(rate), own(0.01))
        made = {"params": params, "state": state}
        assert {dtype_name(a) for _, a in leaves(made)} == {dtype}
        assert_close(map_tree(xp.host, made), want, TOLERANCE[dtype])


@EVERY
@each("K", [3, 4, 6])
def test_members_side_by_side_equal_runs_one_by_one(case, K):
    rule = CASES[case]
    alone = [setting(seed) for seed in range(K)]
    lrs, shrinks = 0.1 * np.arange(1, K + 1), 0.01 * np.arange(K)
    each = [run(rule, *alone[k], rates_of(rule, lrs[k]), shrinks[k]) for k in range(K)]
    stack = lambda stores: {k: np.stack([store[k] for store in stores]) for k in SHAPES}
    start = stack([start for start, _ in alone])
    gradients = [stack(step) for step in zip(*(gradients for _, gradients in alone))]
    rates = np.stack([rates_of(rule, lr) for lr in lrs], axis=1)[..., None, None]
    got = run(rule, start, gradients, rates, shrinks[:, None, None])
    assert_close(got["params"], stack([made["params"] for made in each]), 1e-14)


@EVERY
def test_the_state_has_a_zero_of_its_own_for_each_slot_and_leaf(case, xp):
    rule = CASES[case]
    params = {k: xp.owned(np.ones((3, *shape)), "float32") for k, shape in SHAPES.items()}
    state = init_state(rule, params, xp=xp.xp)
    assert tuple(state) == tuple(rule.slots)
    for store in state.values():
        assert {k: tuple(a.shape) for k, a in store.items()} == {
            k: (3, *shape) for k, shape in SHAPES.items()
        }
        assert not any(xp.host(a).any() for a in store.values())
    made = [a for _, a in leaves([params, state])]
    assert len({id(a) for a in made}) == len(made)


@EVERY
def test_no_array_stands_twice_in_what_an_update_returns(case):
    start, gradients = setting()
    made = [a for _, a in leaves(run(CASES[case], start, gradients, [0.1] * STEPS, 0.01))]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(made) for b in made[:i])


def test_a_group_has_its_share_of_the_rate_and_its_decay():
    groups = {"weights": Group("weights", decay=True, rate=0.5), "offsets": OFFSETS}
    p = {k: np.ones(shape) for k, shape in SHAPES.items()}
    g = {k: np.ones(shape) for k, shape in SHAPES.items()}
    params, _ = update(SGD(0.0), g, {}, p, 0.1, 0.2, groups, xp=np)
    assert np.allclose(params["weights"], 1.0 - 0.2 - 0.05, rtol=1e-15)
    assert np.allclose(params["offsets"], 1.0 - 0.1, rtol=1e-15)


def test_schedules_walk_as_scikit_learns():
    for name, kind in (("constant", Constant), ("invscaling", InvScaling), ("adaptive", Adaptive)):
        theirs = SGDOptimizer([], 0.3, lr_schedule=name, power_t=0.4)
        ours, lr = make_schedule(name, power_t=0.4), 0.3
        assert isinstance(ours, kind)
        for n_seen in range(50, 500, 50):
            theirs.iteration_ends(n_seen)
            lr = ours.after_epoch(0.3, lr, n_seen)
            assert lr == pytest.approx(theirs.learning_rate, rel=1e-15)


def test_a_plateau_divides_the_adaptive_rate_until_it_is_tiny_as_scikit_learns():
    theirs = SGDOptimizer([], 0.3, lr_schedule="adaptive")
    lr, rates = 0.3, []
    while lr is not None:
        stop = theirs.trigger_stopping("", False)
        lr = Adaptive().on_plateau(lr)
        rates.append(lr)
        assert (lr is None) == stop
        assert lr is None or lr == pytest.approx(theirs.learning_rate, rel=1e-15)
    assert len(rates) == 9
    assert Adaptive().after_divergence(0.3) is None  # scikit-learn's repeats no epoch
    assert Constant().on_plateau(0.3) is None and InvScaling().on_plateau(0.3) is None


def test_make_rule_hands_over_what_a_rule_uses_and_refuses_unknown_names():
    assert make_rule("sgd", momentum=0.3, nesterovs_momentum=False) == SGD(0.3, False)
    assert make_rule("adam", beta_1=0.5, beta_2=0.6, epsilon=0.1) == Adam(0.5, 0.6, 0.1)
    assert make_rule("adamw", beta_1=0.5, beta_2=0.6, epsilon=0.1) == AdamW(0.5, 0.6, 0.1)
    assert make_rule("rmsprop", epsilon=0.1) == RMSprop(epsilon=0.1)
    assert make_rule("adagrad", epsilon=0.1) == Adagrad(0.1)
    assert make_rule("nadam", beta_1=0.5, beta_2=0.6, epsilon=0.1) == Nadam(0.5, 0.6, 0.1)
    assert make_rule("lion", beta_1=0.5, beta_2=0.6) == Lion()  # its paper's
    own = type("Own", (Rule,), {})()
    assert make_rule(own) is own
    assert make_rule("lbfgs") is None
    with pytest.raises(TypeError, match="no rule has an argument 'rho'"):
        make_rule("rmsprop", rho=0.5)
    assert Adam() != AdamW()  # an engine compiles equal records once
    with pytest.raises(ValueError, match="sgd, adam.*, lbfgs or a Rule, got 'newton'"):
        make_rule("newton")
    with pytest.raises(ValueError, match="constant, invscaling.*got 'linear'"):
        make_schedule("linear")


def test_a_rule_of_ones_own_needs_only_its_apply():
    class Sign(Rule):
        def apply(self, p, g, rate, *, xp):
            return (p - rate * xp.sign(g),)

    start, gradients = setting()
    got = run(Sign(), start, gradients[:1], [0.1])["params"]
    want = {k: start[k] - 0.1 * np.sign(g) for k, g in gradients[0].items()}
    assert max(relative_error(got[k], want[k]) for k in want) < 1e-15


@each(
    "rule, words",
    [
        (lambda: SGD(-0.1), "SGD needs momentum from 0 to 1"),
        (lambda: Adam(beta_1=1.0), "Adam needs beta_1 from 0 to 1"),
        (lambda: Nadam(beta_2=float("nan")), "Nadam needs beta_2"),
        (lambda: AdamW(epsilon=-1e-8), "AdamW needs epsilon from 0"),
        (lambda: RMSprop(rho=1.5), "RMSprop needs rho"),
        (lambda: Adagrad(float("inf")), "Adagrad needs epsilon"),
        (lambda: Lion(beta_1=-1), "Lion needs beta_1"),
    ],
)
def test_a_rule_refuses_numbers_out_of_range(rule, words):
    with pytest.raises(ValueError, match=words):
        rule()
