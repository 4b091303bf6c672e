"""Two and three mistakes at once, in lines that do not hide each other."""

from .case import down, everywhere
from .net import Net
from .single import COLUMN_BIAS, COLUMNS, FLAT, OUT_IN, PAIRS, ROWS, SPLIT, WORDS

# fmt: off
ROWS_OF_CASES = [
    (("3-4-1", "tanh sigmoid", "bce"), ROWS,
     ["dz2:  / n -> ", "db1 = dz1"],
     f"{everywhere('missing_mean', 2)} | missing_mean@2 & not_summed@1"),
    (("3-4-2", "sigmoid linear", "mse"), COLUMNS,
     ["dW1 = ({}).T", "dW2 = -({})"], "transposed@1 | wrong_order@1 & sign@2"),
    (("3-4-5-2", "tanh relu linear", "sum_mean"), OUT_IN,
     ["dz1 = da1", "dW3 = 2 * ({})"], "derivative_missing@1 & factor@3 | accumulated@3"),
    (("4-5-3", "tanh softmax", "ce"), COLUMNS,
     ["dz2: (a2 - y) -> np.abs(a2 - y)", "dW1 = ({}).T"],
     "absolute@2 & transposed@1 | wrong_order@1"),
    (("3-4-4-1", "tanh tanh sigmoid", "bce"), ROWS,
     ["dz2: (z2) -> (a2)", "dW2: a1 -> z1"],
     "derivative_at_activation@2 & wrong_input@2"),
    (("3-4-4-1", "tanh sigmoid linear", "half_mean"), COLUMN_BIAS,
     ["da1: W2.T -> W2", "db3 = np.zeros_like(b3)"],
     "wrong_weights@1 | wrong_order@1 & zero@3"),
    (("3-4-4-4-2", "tanh tanh sigmoid linear", "half"), COLUMNS,
     ["da1: dz2 -> dz3", "dz3 = da3"], "layer_skipped@1 & derivative_missing@3"),
    (("2-3-4-3-4-2", "tanh tanh sigmoid tanh linear", "sum"), SPLIT,
     ["dW5 = ({}).T", "db3: axis={s} -> axis={u}", "dW1 = -({})"],
     "transposed@5 | wrong_order@5 & wrong_axis@3 & sign@1"),
    (("3-4-2", "tanh sigmoid", "half_mean"), ROWS,
     ["dz2 = da2", "dz1 = da1"],
     "other_loss@2 | derivative_missing@2 & derivative_missing@1"),
    (("3-4-2", "tanh sigmoid", "bce"), FLAT,
     ["dW2:  / n -> ", "dz1: (z1) -> (a1)"],
     "missing_mean@2 & derivative_at_activation@1"),
    (("3-5-5-1", "sigmoid sigmoid sigmoid", "half"), PAIRS,
     ["dz2 = da2", "dz1 = da1", "db1 = dz1"],
     "derivative_missing@2 & derivative_missing@1 & not_summed@1"),
    (("3-4-1", "tanh sigmoid", "bce"), ROWS,
     ["after dW2: W2 = W2 - 0.1 * dW2", "dW1 = ({}).T"],
     "updated_weights@1 & transposed@1 | wrong_order@1"),
    (("3-4-3", "tanh softmax", "ce_labels"), COLUMNS,
     ["dz2 = ({}) / n", "db2 = dz2"],
     f"{everywhere('extra_mean', 2)} | extra_mean@1 & not_summed@2"),
    (("3-4-4-2", "relu tanh linear", "mse"), WORDS,
     ["dW3: / y.size -> / n", "dz1: da1 -> -da1"], "factor@3 | accumulated@3 & sign@1"),
    (("2-3-4-3-2", "tanh tanh sigmoid linear", "half_mean"), ROWS,
     ["dz3 = -({})", "dW4: a3 -> z3", "db1 = dz1.sum()"],
     f"{down('sign', 3)} | sign@3 sign@2 & wrong_input@4 & wrong_axis@1"),
    (("3-4-1", "relu sigmoid", "bce"), COLUMNS,
     ["dz2 = ({}) * d_sigmoid(z2)", "db1 = dz1"], "other_loss@2 & not_summed@1"),
    (("3-4-2", "tanh linear", "half_mean"), COLUMNS,
     ["dz1: d_tanh(z1) -> (1 - np.tanh(z1))", "dW2 = 2 * ({})", "db2 = -({})"],
     "derivative_formula@1 & factor@2 | accumulated@2 & sign@2"),
]
PARAMETERS = [  # what is updated is returned, and not all of it is right
    (("3-4-2", "tanh sigmoid", "half_mean"), ROWS,
     ["after dW1: dW1 = W1 - 0.1 * dW1", "after db1: db1 = b1 - 0.1 * db1",
      "after dW2: dW2 = W2 - 0.1 * dW2", "after db2: db2 = b2 - 0.1 * db2 / 2"],
     "updated_weights & factor@2"),
    (("3-4-4-1", "tanh tanh sigmoid", "bce"), COLUMNS,
     ["dz1 = da1", *(f"after d{v}: d{v} = {v} - 0.3 * d{v}" for v in
                     ("W3", "b3", "W2", "b2", "W1", "b1"))],
     "updated_weights & derivative_missing@1"),
]
DECAYED = [
    (("3-4-1", "tanh sigmoid", "bce"), ROWS,
     ["dW1:  + lam * W1 -> ", "db2 = {} + lam * b2"],
     "regularisation_missing@1 & regularisation_on_bias@2"),
    (("3-4-4-2", "tanh sigmoid linear", "sum_mean"), COLUMNS,
     ["dW2:  + lam * W2 -> ", "dz1 = da1"], "regularisation_missing@2 & derivative_missing@1"),
    (("4-5-3", "tanh softmax", "ce"), OUT_IN,
     ["dW1: + lam -> + 2 * lam", "db1 = dz1"], "regularisation_factor@1 & not_summed@1"),
]
# fmt: on


def planted(network, style, edits, truth, **options):
    net = Net(*network, **style, **options)
    name = f"{len(edits)} at once: {truth.split('|')[0]} ...: {network}, {net.way}"
    return net.case(name, edits, truth)


CASES = [planted(*row, seed=seed) for seed, row in enumerate([*ROWS_OF_CASES, *PARAMETERS])]
CASES += [planted(*row, seed=seed, l2="half") for seed, row in enumerate(DECAYED)]
