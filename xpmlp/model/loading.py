"""`load` reads a model file without scikit-learn."""

from .container import read_container
from .record import Model
from .saving import as_model_file_error, unpack_model


def load(path):
    """Read the model in a model file, with NumPy and safetensors alone.

    Neither scikit-learn nor SciPy is imported (numba, where it is installed, imports SciPy when the
    model predicts); `load_model` gives the estimator, of a file that an estimator has saved.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    Model
        Its arrays in NumPy.

    Raises
    ------
    ModelFileError
        When the file is missing, damaged, not a model, or from a newer format.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from xpmlp import MLPRegressor, load
    >>> reg = MLPRegressor(solver="lbfgs", random_state=0).fit([[0.0], [1.0]], [1.0, 3.0])
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "line.safetensors"
    >>> reg.save(path)
    >>> load(path).predict([[1.0]]).round(2).tolist()
    [3.0]
    """
    arrays, meta = read_container(path)
    with as_model_file_error(path):
        return Model.of(*unpack_model(arrays, meta))
