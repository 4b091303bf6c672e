"""The examples run, and print the figures that they are there to show."""

import importlib.util
import os
import re
import runpy
import subprocess
import sys
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


def test_the_raw_tables_of_people_are_what_their_script_writes(tmp_path):
    example("people").main(tmp_path)
    for name in ("people.csv", "new_people.csv"):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()


def test_the_picture_of_the_readme_is_drawn(output):
    out, pictures = output("overview")
    assert numbers(r"moons: (\S+)%", out) > 95 and abs(numbers(r"sine: (\d+)%", out) - 90) < 4
    assert pictures == ["overview.png"]


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
    for what in ("forward remembers the call before", "dW2 equals dZ2 * A1: an elementwise", RIGHT):
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
    assert "1-3-1 by sgd: RMSE < 0.02 for 1 of 2 seeds; 0.107 0.003\n" in out
    assert "1-8-1 by lbfgs: RMSE < 0.02 for 2 of 2 seeds" in out
    sine = example("sine")
    assert all(sine.rmse(sine.fit(8, seed, **sine.LBFGS)) < 0.02 for seed in range(10))
    assert "trained twice, the same bits: True" in out and "asked twice, the same bits: True" in out
    classes = numbers(r"classes, \w+: (\d+)% right, (\d+) never used, RMSE (\S+)", out)
    (right, lost, error), (fewer, gone, larger) = classes
    assert right > 75 > 60 > fewer and lost == 0 < gone and 4 * error < larger
    assert "use loss='log_loss', or a 0/1 column for each class" in out
    assert pictures == ["sine-classes.png", "sine.png"]


# Recipes ---------------------------------------------------------------------------


@pytest.fixture
def recipe(tmp_path, monkeypatch, capfd):
    """Run a recipe in a folder; return what it prints and the pictures it draws there."""

    def run(name):
        monkeypatch.chdir(tmp_path)
        runpy.run_path(str(FOLDER / "recipes" / f"{name}.py"), run_name="__main__")
        pictures = {path.name for path in tmp_path.glob("*.png") if path.stat().st_size > 10_000}
        return capfd.readouterr().out, pictures

    return run


def test_weights_of_classes_find_more_of_the_rare_class_and_focal_loss_some_more(recipe):
    out, pictures = recipe("imbalanced_classes")
    found, right, accuracy = numbers(r"(\d+)% +(\d+)% +(\S+)", out).T
    assert np.all(np.diff(found) > 0) and found[-1] > 2 * found[0]
    assert right[0] - right[1] < 5 and np.all(np.diff(right[1:]) < 0) and accuracy.argmax() == 3
    assert pictures == {"imbalanced.png"}


def test_the_band_of_quantiles_holds_nine_of_ten_and_grows_with_the_noise(recipe):
    out, pictures = recipe("quantile_bands")
    ((share, wide, narrow),) = numbers(r"(\S+)% of new[^\n]*\n.* (\d+) wide .* (\d+) where", out)
    assert 86 < share < 94
    assert wide > 8 * narrow  # the noise: 20 times
    assert pictures == {"quantiles.png"}


def test_early_stopping_on_f1_ends_early_and_keeps_the_best_epoch(recipe):
    out, pictures = recipe("stop_on_a_metric")
    ((epochs, best, score, new),) = numbers(r"(\d+) ep.* (\d+): (\S+)\n.* (\S+)\n", out)
    assert epochs == best + 16 < 500
    assert score > 0.97 and new > 0.95
    assert pictures == {"stop.png"}


def test_a_loss_of_ones_own_is_right_and_moves_the_fit_to_its_quantile(recipe):
    out, pictures = recipe("own_loss")
    assert RIGHT in out
    short = numbers(r": (\d+)% of the pred", out)[:, 0]
    assert abs(short[0] - 50) < 5 and short[1] < 30
    assert pictures == {"own_loss.png"}


def test_a_search_over_a_pipeline_stays_on_tensors():
    pytest.importorskip("torch")
    # SciPy reads the switch when it is imported: a process of its own.
    options = {"capture_output": True, "text": True, "env": os.environ | {"SCIPY_ARRAY_API": "1"}}
    options |= {"timeout": 300}
    done = subprocess.run([sys.executable, FOLDER / "recipes/search_on_tensors.py"], **options)
    assert not done.stderr
    assert "<class 'torch.Tensor'> cpu" in done.stdout
    assert numbers(r"\n(\S+) right", done.stdout) > 0.9


def test_two_hidden_units_tell_the_digits_apart(recipe):
    out, pictures = recipe("hidden_features")
    assert "(450, 64) -> (450, 2): mlpclassifier0, mlpclassifier1\n" in out
    assert numbers(r"plane: (\S+)% right", out) > 85
    assert pictures == {"hidden.png"}


def test_sparse_rows_of_words_tell_the_module(recipe):
    out, _ = recipe("sparse_text")
    ((sparse, dense, right),) = numbers(r": (\S+) MB, dense (\d+) MB\n(\d+)%", out)
    assert dense > 100 * sparse
    assert right > 70


def test_the_suggested_learning_rate_beats_the_default_and_a_large_one(recipe):
    out, pictures = recipe("learning_rate")
    default, suggested, large = numbers(r"loss (\S+) after 20", out)[:, 0]
    assert suggested < 0.2 * default < large
    assert pictures == {"rates.png"}


def test_a_callback_ends_the_training_once_its_rule_holds(recipe):
    out, _ = recipe("callbacks")
    epochs = numbers(r"(\d+),\d+,\S+?,(\S+?),(\S+)", out)
    assert epochs[-1, 0] < 200
    good = (epochs[:, 1] < 0.2) & (epochs[:, 2] > 0.95)
    assert good.tolist() == [False, False, True]


def test_a_model_moves_and_a_hidden_copy_is_named(recipe):
    pytest.importorskip("torch")
    out, _ = recipe("moving")
    assert out.startswith("cpu tensor([") and "\ndevice1 [" in out
    assert "moving.py:26 makes a hidden copy of X (4800 bytes) from numpy on cpu to " in out


def test_a_divergence_says_where_and_what_helps_and_that_helps(recipe):
    out, _ = recipe("divergence")
    assert "In epoch 1, step " in out and " went non-finite first" in out
    assert "Try: standardise y (target_scale='auto'); standardise X (StandardScaler); lower" in out
    assert numbers(r"R\^2 (\S+)", out) > 0.99
