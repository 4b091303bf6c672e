"""The numbers that a regressor learns: checked, and standardised."""

import numpy as np

from ..model import NumberTargets, Scaling
from ..nn.losses import check_domain


def checked_numbers(y, known, loss):
    """Return a host array y as float64 (n, n_columns), and its targets, known or as y says."""
    y = y.reshape(len(y), -1).astype(np.float64)
    targets = known or NumberTargets(y.shape[1])
    if y.shape[1] != targets.n_columns:
        raise ValueError(
            f"y has {y.shape[1]} outputs, the model was fitted to {targets.n_columns}."
        )
    check_domain(loss, y)
    return y, targets


def measured_scaling(y, weights, dtype, link):
    """Return the statistics of y that standardise it: of its mean, where the link is exp."""
    if len(y) < 2:
        raise ValueError(
            "target_scale='auto' cannot be measured on one row: pass more in the first call."
        )
    scaling = Scaling.of_targets(y, weights, by_mean=link == "exp")
    _, _, mean, scale = scaling
    known, largest = np.finfo(dtype), np.abs(y).max()
    finite = np.isfinite(mean + scale).all() and largest < known.max
    if not finite or (scale < known.tiny).any():
        size = "large" if largest > 1 else "small"
        raise ValueError(f"y holds values too {size} for {dtype}: divide y by its scale.")
    varies = np.ptp(y, axis=0) > 8 * np.finfo(np.float64).eps * np.abs(mean[0])
    lost = (known.eps * np.abs(mean) > 1e-3 * scale)[0] & varies
    if lost.any():
        k = int(np.argmax(lost))
        wider = "pass dtype='float64', or " * (dtype == "float32")
        raise ValueError(
            f"column {k} of y varies by {scale[0, k]:.2g} around {mean[0, k]:.3g}, which "
            f"predictions in {dtype} cannot tell apart: {wider}subtract the mean."
        )
    return scaling
