"""The examples run, and print the figures that they are there to show."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the examples draw pictures")

FOLDER = Path(__file__).parents[1] / "examples"
MNIST = Path(__file__).parents[2] / "shared" / "data" / "mnist"
RIGHT = "the gradients agree with the differences of the forward pass"


def example(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def output(tmp_path, capfd):
    """Run an example's main in a folder; return what it prints and the pictures it draws there."""

    def run(name, *args, **options):
        example(name).main(*args, tmp_path, **options)
        assert all(path.stat().st_size > 10_000 for path in tmp_path.iterdir())
        return capfd.readouterr().out, sorted(path.name for path in tmp_path.iterdir())

    return run


def numbers(pattern, text):
    """Return the numbers in the groups of every match."""
    found = [[float(n) for n in match.groups()] for match in re.finditer(pattern, text)]
    assert found, f"{pattern} is not in what the example prints"
    return np.array(found)


def test_3_5_5_1_has_the_gradient_at_any_batch_size_and_depth_and_noise_stays_noise(output):
    out, pictures = output("three_five_five_one")
    assert "dZ2 = (dZ3 @ W3^T) * f'(Z2)   (1,1) (5,1)^T -> (1,5)" in out
    assert out.count("right gradient for 1, 25, 400 rows: [True, True, True]") == 2
    assert "The labels are coin tosses" in out
    untaught = numbers(r"test rows right: (\d+)%", out)
    ((fitted, best, others),) = numbers(r"by heart: (\S+)% .* of (\S+)% .*\s.* (\d+)% right", out)
    assert fitted == best > 60
    assert np.all(np.abs(np.append(untaught, others) - 50) < 15)
    assert pictures == ["three_five_five_one.png"]


def test_the_flower_has_the_courses_costs_and_the_recipe_is_48_times_slower(output):
    out, pictures = output("flower", steps=7001)
    for what in ("lost its sign", "db1 is not summed over the", "elementwise", RIGHT):
        assert what in out
    costs = "0.693048 0.288083 0.254385 0.233864 0.226792 0.222644 0.219731 0.217504"
    assert f"costs: {costs}\n" in out
    assert numbers(r"accuracy after 7001 steps: (\S+)%", out) > 89
    course, recipe, faster = numbers(r"5 % less after +(\d+) steps", out)[:, 0]
    assert recipe / course == pytest.approx(48, rel=0.1)
    assert faster == pytest.approx(course, abs=5)
    assert "48 = 6 (the rate) * 2 (" in out
    assert pictures == ["flower-boundary.png", "flower-cost.png"]


@pytest.mark.skipif(not MNIST.is_dir(), reason="MNIST does not lie beside the checkout")
def test_mnist_by_hand_gets_past_the_output_layer(output):
    options = {"epochs": 1, "batches": 150, "n_train": 5000}
    out, pictures = output("mnist_by_hand", MNIST, **options)
    assert "d1 = d2 * a1 * (1 - a1)" in out and "(5,10) (30,10)^T -> (5,30)" in out and RIGHT in out
    ((first, last, right),) = numbers(r"cost (\S+) at first, (\S+) in the end, (\S+)% right", out)
    assert last < 0.8 * first and right > 40
    nielsen = numbers(r"epochs (\S+)% \(the book, of 30: (\S+) %", out)
    assert nielsen[:, 1].tolist() == [95.42, 96.49, 97.92] and np.all(nielsen[:, 0] > 50)
    assert pictures == ["mnist_by_hand.png"]


def test_the_sign_is_learned_by_all_seeds_with_biases_and_not_by_5_and_10_without(output):
    out, pictures = output("sign", long=100)
    for what in ("forward remembers the call before", "dW2 is dZ2 * A1: an elementwise", RIGHT):
        assert what in out
    assert "10000 points, use_bias=True: 12 of 12 seeds learn it" in out
    stuck = r"10000 points, use_bias=False: 10 of 12 .* stuck: \[ 5 10\] .* \[(\S+) +(\S+)\]"
    np.testing.assert_allclose(numbers(stuck, out), 11.5, atol=0.2)
    assert "The stuck ones start with all W1 < 0" in out
    assert all(np.all(np.random.default_rng(seed).normal(size=3) < 0) for seed in (5, 10))
    assert pictures == ["sign.png"]


def test_the_sine_is_fitted_by_8_units_from_ten_seeds_and_by_3_only_sometimes(output):
    out, pictures = output("sine", seeds=(0, 3))
    assert "A - Y times a (1 - a) is that of a squared error" in out and RIGHT in out
    assert "1-3-1 by sgd: RMSE < 0.02 for 1 of 2 seeds; 0.158 0.003\n" in out
    assert "1-8-1 by lbfgs: RMSE < 0.02 for 2 of 2 seeds" in out
    sine = example("sine")
    assert all(sine.rmse(sine.fit(8, seed, **sine.LBFGS)) < 0.02 for seed in range(10))
    assert "trained twice, the same bits: True" in out and "asked twice, the same bits: True" in out
    classes = numbers(r"classes, \w+: (\d+)% right, (\d+) never used, RMSE (\S+)", out)
    (right, lost, error), (fewer, gone, larger) = classes
    assert right > 85 > 60 > fewer and lost == 0 < gone and 4 * error < larger
    assert "use loss='log_loss', or a 0/1 column for each class" in out
    assert pictures == ["sine-classes.png", "sine.png"]
