"""Each backward pass of the page "Your backprop is wrong here" has the mistake that it tells of."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs/your_backprop_is_wrong_here.md"
FIRST, *FORMS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.S | re.M)
MENDED = [  # in the order of the page: what is wrong, and what is right
    [("self.layer1 * (1 - self.layer1)", "(1 - self.layer1**2)")],
    [('grads["W1"] = ', 'grads["W1"] += ')],
    [("dZ1 @ X.T", "dZ1 @ X.T / m"), ("np.sum(dZ1, axis=1, keepdims=True)", "{} / m")],
    [("(probs - Y) * probs * (1 - probs)", "(probs - Y)")],
    [('grad_y_pred @ p["W2"].T', "{} * (h > 0)")],
    [("delta3 @ Theta2[:, 1:]", "{} * a2[:, 1:] * (1 - a2[:, 1:])")],
    [('p["W2"].T @ (output - target)', 'p["W2"].T @ output_delta')],
    [("* (1 - h**2)", "{} * mask")],
    [
        ('dz = dh * p["gamma"] / std', 'dx = dh * p["gamma"]; dz = dx - dx.mean(axis=0)'),
        ("    return {", "    dz = (dz - x_hat * np.mean(dx * x_hat, axis=0)) / std\n{}"),
    ],
    [("(out - y)", "(out - y[:, None])")],
]


@pytest.mark.parametrize("form", range(len(MENDED)))
def test_a_form_of_the_page_is_right_but_for_its_mistake(form, capsys):
    code, names = FORMS[form], {}
    exec(FIRST + code, names)
    assert "the gradients agree" not in capsys.readouterr().out
    for wrong, right in MENDED[form]:
        before, found, after = code.rpartition(wrong)
        assert found
        code = before + right.replace("{}", wrong) + after
    exec(FIRST + code, names)
    assert "the gradients agree" in capsys.readouterr().out


def test_every_form_of_the_page_is_mended():
    assert len(FORMS) == len(MENDED) == 10
