"""What is said of mistyped words, wherever they are given: the nearest, and what there is."""

import numpy as np
import pytest
from each import each

from xpmlp import MLPClassifier, MLPRegressor, nn, train
from xpmlp.cli import main

X = np.random.default_rng(0).normal(size=(20, 3))
Y = X[:, 0]
WORDS = {
    "activation": ("rellu", "relu"),
    "solver": ("Adam", "adam"),
    "learning_rate": ("cosin", "cosine"),
    "loss": ("squared_eror", "squared_error"),
    "init": ("he_norml", "he_normal"),
    "normalization": ("bath", "batch"),
    "scoring": ("r_2", "r2"),
    "feature_scale": ("robst", "robust"),
    "target_scale": ("atuo", "auto"),
    "categorical_features": ("from_dtypes", "from_dtype"),
    "matmul_precision": ("higest", "highest"),
    "accelerate": ("Graph", "graph"),
}


def mean(words):
    given, meant = words
    return f"{given!r}", f": did you mean {meant!r}?"


@each("argument, words", list(WORDS.items()))
def test_an_estimator_names_the_nearest_word(argument, words):
    with pytest.raises(ValueError) as told:
        MLPRegressor(**{argument: words[0]}).fit(X, Y)
    assert all(text in str(told.value) for text in mean(words))


@each("argument, words", [(k, WORDS[k]) for k in ("solver", "learning_rate", "loss", "accelerate")])
def test_train_names_the_nearest_word(argument, words):
    with pytest.raises(ValueError) as told:
        train(nn.Network([nn.Dense(1)]), X, Y[:, None], **{argument: words[0]})
    assert all(text in str(told.value) for text in mean(words))


def test_layers_name_the_nearest_word():
    for layer in (lambda: nn.Dense(3, "rellu"), lambda: nn.Activation("rellu")):
        with pytest.raises(ValueError, match="got 'rellu': did you mean 'relu'"):
            layer()
    with pytest.raises(ValueError, match="got 'he_norml': did you mean 'he_normal'"):
        nn.Dense(3, initializer="he_norml")


@each("option", ["--solver Adam", "--activation rellu", "--learning-rate cosin", "--loss log_los"])
def test_the_command_line_names_the_nearest_word(option, capsys):
    with pytest.raises(SystemExit, match="[12]"):
        main(["train", "iris", "--quiet", *option.split()])
    assert "did you mean" in capsys.readouterr().err


def test_words_are_listed_in_their_order_which_a_set_has_not():
    with pytest.raises(ValueError, match="{'sgd', 'adam', 'adamw', 'nadam', 'lion', 'rmsprop', "):
        MLPClassifier(solver="zzz").fit(X, Y > 0)


def test_a_regressor_says_that_loss_comes_first_where_it_gets_layers():
    for sizes in ((64,), [64, 32], 64):
        with pytest.raises(ValueError) as told:
            MLPRegressor(sizes).fit(X, Y)
        end = f"loss comes first, as in scikit-learn; did you mean hidden_layer_sizes={sizes!r}?"
        assert str(told.value).endswith(end)
    with pytest.raises(ValueError, match=r"Got \(64,\) instead\.$"):
        MLPClassifier(loss=(64,)).fit(X, Y > 0)
