"""The examples run, and show the figures that they are there to show."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the examples draw pictures")

FOLDER = Path(__file__).parents[1] / "examples"
MNIST = Path(__file__).parents[2] / "shared" / "data" / "mnist"


def example(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pictures(folder):
    assert all(path.stat().st_size > 10_000 for path in folder.iterdir())
    return sorted(path.name for path in folder.iterdir())


def test_3_5_5_1_gets_the_gradient_at_any_batch_size_and_noise_stays_noise(tmp_path, capsys):
    wrong, reports, scores, fitted, best = example("three_five_five_one").main(tmp_path)
    assert not wrong.ok and "(1,5)" in str(wrong)
    assert len(reports) == 6 and all(report.ok for report in reports)
    assert all(0.35 < score < 0.65 for score in scores.values()), scores
    assert fitted == best > 0.6
    assert pictures(tmp_path) == ["three_five_five_one.png"]
    assert "batches of  25" in capsys.readouterr().out


def test_the_flower_has_the_courses_costs_and_the_recipe_is_48_times_slower(tmp_path, capsys):
    (wrong, right), course, curves = example("flower").main(tmp_path, 7001, 1600)
    assert right.ok and len(wrong.mistakes) >= 4
    told = str(wrong)
    for what in ("lost its sign", "db1 is not summed over the samples", "elementwise"):
        assert what in told
    costs = [0.693048, 0.288083, 0.254385, 0.233864, 0.226792, 0.222644, 0.219731, 0.217504]
    np.testing.assert_allclose(course.loss_curve_[::1000], costs, atol=5e-7)
    out = capsys.readouterr().out
    assert " ".join(f"{cost:.6f}" for cost in costs) in out and "accuracy after 7001 steps" in out
    steps = [int(np.argmax(curve < 0.95)) for curve in curves.values()]
    assert all(steps)
    assert steps[1] / steps[0] == pytest.approx(48, rel=0.1)
    assert steps[2] == pytest.approx(steps[0], abs=5)
    assert pictures(tmp_path) == ["flower-boundary.png", "flower-cost.png"]


@pytest.mark.skipif(not MNIST.is_dir(), reason="MNIST does not lie beside the checkout")
def test_mnist_by_hand_gets_past_the_output_layer(tmp_path, capfd):
    (stuck, right), costs, scores = example("mnist_by_hand").main(
        MNIST, tmp_path, epochs=1, batches=150, rows=5000
    )
    assert right.ok and not stuck.ok and "d1 = d2 * a1 * (1 - a1)" in str(stuck)
    assert costs[-50:].mean() < 0.8 * costs[:50].mean()
    assert scores.pop("recipe") > 0.4
    assert all(curve[-1] > 0.5 for curve in scores.values()) and len(scores) == 3
    out = capfd.readouterr().out
    assert "it refuses to load 'os.system'" in out and "gotcha\n" not in out
    assert pictures(tmp_path) == ["mnist_by_hand.png"]


def test_the_sign_is_learned_by_all_seeds_with_biases_and_not_by_5_and_10_without(tmp_path):
    (remembers, wrong, right), stuck = example("sign").main(tmp_path, 10_000, 10_000)
    assert right.ok and not wrong.ok and "forward remembers the call before" in str(remembers)
    assert stuck[True, 10_000].tolist() == []
    assert stuck[False, 10_000].tolist() == [5, 10]
    assert pictures(tmp_path) == ["sign.png"]


def test_the_sine_is_fitted_by_8_units_from_ten_seeds_and_by_3_only_sometimes(tmp_path, capsys):
    sine = example("sine")
    (mixed, right), fits, same, steps = sine.main(tmp_path, seeds=1)
    assert right.ok and not mixed.ok and "squared error" in str(mixed)
    assert same == (True, True)

    def error(n_hidden, seed, how):
        return sine.rmse(sine.fit_sine(n_hidden, seed, **how).outputs(sine.x))

    assert all(error(8, seed, sine.LBFGS) < 0.02 for seed in range(10))
    assert sine.rmse(fits[3, "sgd"][0]) > 0.1
    assert error(3, 3, sine.DESCENT) < 0.02
    lost = {loss: 21 - len(np.unique(values)) for loss, values in steps.items()}
    assert lost["log_loss"] == 0 < lost["squared_error"]
    assert 4 * sine.rmse(steps["log_loss"]) < sine.rmse(steps["squared_error"])
    assert "use loss='log_loss', or a 0/1 column for each class" in capsys.readouterr().out
    assert pictures(tmp_path) == ["sine-classes.png", "sine.png"]
