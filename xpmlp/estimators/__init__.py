"""scikit-learn-compatible estimators on any array library."""

from typing import TYPE_CHECKING

from ..protocols import Path
from . import types
from .classifier import MLPClassifier
from .model_file import read_model
from .regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "load_model"]


if TYPE_CHECKING:

    class Loaded(MLPClassifier, MLPRegressor):  # type: ignore[misc]
        """Either of the two: a type checker is to find misspelt names, but take those of both."""

        def predict(self, X: types.Rows, quantiles: types.Quantiles = None) -> types.Array: ...


def load_model(path: Path) -> "Loaded":
    """Read an estimator from a model file; needs NumPy only, wherever it was trained.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    MLPClassifier or MLPRegressor
        Fitted, its arrays in NumPy. The optimizer's state is not in the file.

    Raises
    ------
    ModelFileError
        When the file is missing, damaged, not an estimator's, or from a newer format.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from xpmlp import MLPRegressor, load_model
    >>> reg = MLPRegressor(solver="lbfgs", random_state=0).fit([[0.0], [1.0]], [1.0, 3.0])
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "line.safetensors"
    >>> reg.save(path)
    >>> load_model(path).predict([[1.0]]).round(2).tolist()
    [3.0]
    """
    return read_model(path, {kind.__name__: kind for kind in (MLPClassifier, MLPRegressor)})
