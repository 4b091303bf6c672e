"""The classifier."""

from numbers import Real
from typing import ClassVar, Self

from sklearn.utils._param_validation import Interval

from ..nn.losses import Loss, loss_names
from . import types
from .base import BaseMLP, fit_one_epoch
from .bases import ClassifierMixin, available_if
from .constraints import words
from .fit_result import known, threshold_part, view
from .fitted import answer
from .inputs import on_its_card, scored
from .types import Array, Rows, Weights


class MLPClassifier(ClassifierMixin, BaseMLP):
    """Multilayer perceptron classifier on arrays of any library.

    Arguments, defaults and fitted attributes are scikit-learn's where it has them; they may take
    more here. Each says its source, and why its default is what it is.

    Parameters
    ----------
    hidden_layer_sizes : int, or sequence of int and layers, default=(100,)
        Units of each hidden layer, or layers such as ``nn.Dense(30, "tanh")``; the output layer is
        added. Source: scikit-learn; layers in it: xpmlp. Why: one layer is enough for many tables.
    activation : str, ActivationFunction, or list with one for each hidden layer, default="relu"
        identity, logistic, tanh, relu, leaky_relu, elu, selu, gelu, gelu_tanh, silu, mish,
        softplus, softsign, hard_tanh, or your own. Source: scikit-learn; more of them, and lists:
        PyTorch, Keras. Why: cheap, and does not saturate.
    solver : str or an update rule of `optim`, default="adam"
        adam, sgd, adamw, nadam, lion, rmsprop, adagrad, or lbfgs: batches of all rows. Source:
        scikit-learn; adamw, nadam, lion, rmsprop, adagrad: PyTorch, Keras. Why: works with the
        default rate on most data.
    alpha : float, default=1e-4
        L2 penalty: alpha / 2 times the sum of W**2, over the batch's sum of sample weights.
        Source: scikit-learn. Why: nearly nothing, since the right penalty has to be searched.
    batch_size : int or "auto", default="auto"
        Rows of a step; "auto" is min(200, n_samples). Source: scikit-learn. Why: steps of a useful
        size, and many an epoch.
    learning_rate : str, schedule of `optim`, or function, default="constant"
        constant, invscaling, adaptive (these two for sgd); plateau, cosine, one_cycle, step,
        warmup; or the function of the epoch, from 0, that learning_rate_init is multiplied by.
        Source: scikit-learn; cosine, one_cycle, step, plateau, warmup: PyTorch, Keras. Why: adam
        adapts by itself; a schedule needs a known end.
    learning_rate_init : float, default=1e-3
        Learning rate at the start; sgd often wants 0.1, lion 1e-4. Source: scikit-learn; Kingma &
        Ba 2015. Why: the paper's, for adam.
    power_t : float, default=0.5
        For invscaling: the rate is divided by the count of samples to this power. Source:
        scikit-learn. Why: used by invscaling alone.
    max_iter : int, default=200
        Epochs of one call at most (lbfgs: iterations); schedules with an end reach it there.
        Source: scikit-learn. Why: enough for small data; a warning says when it was not.
    shuffle : bool, default=True
        Whether each epoch has an order of rows of its own. Source: scikit-learn. Why: sorted rows
        make one-sided batches.
    random_state : int, RandomState or None, default=None
        The seed of weights, split, order and masks: of what scikit-learn draws too, it gives the
        same, so the same model. Source: scikit-learn. Why: each fit draws one (`fit_report_`).
    tol : float, default=1e-4
        Training ends after more than n_iter_no_change epochs in a row in which the loss (with
        early_stopping: the validation score) did not improve by tol. Source: scikit-learn. Why:
        small in units of most losses; 0 trains on.
    verbose : bool or {0, 1, 2}, default=False
        1 shows a bar with losses and the time left on a terminal or in a notebook, else
        scikit-learn's lines; 2 adds a line an epoch: losses, validation score, learning rate.
        Source: scikit-learn. Why: a library is silent unless asked.
    warm_start : bool, default=False
        Whether `fit` starts from the weights of the last one. Source: scikit-learn. Why: each `fit`
        starts again.
    momentum : float, default=0.9
        Share of the last update that is added to the next, for sgd. Source: scikit-learn. Why: used
        by sgd alone.
    nesterovs_momentum : bool, default=True
        Whether sgd takes the gradient where the momentum leads. Source: scikit-learn; Sutskever et
        al. 2013. Why: used by sgd alone; no worse than without.
    early_stopping : bool, default=False
        Whether the validation score ends the training, and the best weights are restored. Source:
        scikit-learn. Why: holding rows out leaves fewer to train on.
    validation_fraction : float, default=0.1
        Share of the rows held out for early_stopping where no X_val is given. Source: scikit-learn.
        Why: a tenth of the rows is missed little.
    beta_1 : float, default=0.9
        Decay of the average of gradients, for adam, adamw, nadam. Source: scikit-learn; Kingma & Ba
        2015. Why: the paper's.
    beta_2 : float, default=0.999
        Decay of the average of their squares, for adam, adamw, nadam. Source: scikit-learn; Kingma
        & Ba 2015. Why: the paper's.
    epsilon : float, default=1e-8
        What these, rmsprop and adagrad add to the root. Source: scikit-learn; Kingma & Ba 2015.
        Why: the paper's.
    n_iter_no_change : int or inf, default=10
        Epochs without an improvement that end the training: see tol. Source: scikit-learn. Why:
        outlasts the noise of a few epochs.
    max_fun : int, default=15000
        Evaluations of the loss at most, for lbfgs. Source: scikit-learn, from SciPy. Why: used by
        lbfgs alone; max_iter ends it first.
    loss : {"log_loss", "binary_log_loss", "squared_error", "focal"} or Loss, default="log_loss"
        "log_loss": softmax cross-entropy (logistic for two classes and multilabel);
        "binary_log_loss": independent sigmoids; "squared_error": half the squared error of logistic
        outputs; "focal": cross-entropy times (1 - p)^2; or your own record. Source: scikit-learn
        (fixed there); Nielsen 2015, Lin et al. 2017 (focal). Why: probabilities that mean what they
        say.
    class_weight : dict, "balanced", or list with one for each label, default=None
        Weights of classes, times the rows'; "balanced" is n_samples / (n_classes n_in_the_class).
        Source: scikit-learn's other classifiers. Why: weights shift probabilities: only when asked
        for.
    label_smoothing : float, default=0.0
        Share of each target that is spread evenly over all classes. Source: PyTorch, Keras; Szegedy
        et al. 2016. Why: it biases probabilities.
    init : str, initializer or (coefs, intercepts), default="auto"
        "auto" belongs to the activation; glorot_uniform, glorot_normal, he_uniform, he_normal,
        lecun_uniform, lecun_normal, glorot_logistic, orthogonal, uniform, zeros; "normal" is N(0,
        1), weights and biases. Source: xpmlp; Glorot & Bengio 2010, He et al. 2015, LeCun et al.
        1998. Why: what suits the activation; for scikit-learn's four its own rule.
    out_activation : str, default="auto"
        Activation of the outputs; each loss takes only those that it goes with. Source: xpmlp. Why:
        the one that the loss is made for.
    weight_decay : float, default=None
        Decoupled decay of the weights, times the learning rate; None is 0.01 for adamw, else 0.
        Source: PyTorch; Loshchilov & Hutter 2019. Why: adamw gets the rate that PyTorch gives it.
    dropout : float, or list with one for each hidden layer (and the input, first), default=0.0
        Share of the outputs of hidden layers given by size that is dropped while training. Source:
        PyTorch, Keras; Srivastava et al. 2014. Why: scikit-learn has none; small data often want
        0.1 to 0.5.
    normalization : {"batch", "layer", "rms"}, default=None
        Normalize between the units and the activation of hidden layers given by size. Source:
        PyTorch, Keras; Ioffe & Szegedy 2015, Ba et al. 2016, Zhang & Sennrich 2019. Why: two or
        three layers train well without.
    residual : bool, default=False
        Whether a hidden layer given by size adds its input to its output where widths agree.
        Source: He et al. 2016. Why: it helps deep networks only.
    max_norm : float, default=None
        Bound of the norm of each unit's incoming weights, after each step. Source: Keras;
        Srivastava et al. 2014. Why: it goes with dropout; 3 or 4 where used.
    max_grad_norm : float, default=None
        Bound of the norm of all gradients together, which are scaled down to it. Source: PyTorch,
        Keras; Pascanu et al. 2013. Why: it hides what diverges; 1 where used.
    ema_decay : float, default=None
        Predict with a moving average of the parameters; the share that stays in each step. Source:
        Keras; Polyak & Juditsky 1992. Why: it costs a copy of the weights; 0.99 to 0.999 where
        used.
    scoring : str or callable, default=None
        Validation score: "loss", a scorer's name in scikit-learn, ``f(estimator, X, y)``, or None:
        accuracy (regressor: R^2, for quantiles the loss). Source: scikit-learn's
        HistGradientBoosting. Why: accuracy or R^2, as scikit-learn stops.
    categorical_features : {"auto", "from_dtype"}, list or None, default="auto"
        Columns of categories, by names, indices or a mask; "auto" (the same as "from_dtype"): those
        of a data frame (pandas, polars, pyarrow) that hold text or a categorical type. Up to 64
        values become 0/1 columns, more a learnt vector each; missing and unknown values have a code
        of their own. A data frame with text, dates or missing values is encoded by the model
        (`encoder_`, measured on all rows of X); `predict` takes the same columns in order. Source:
        scikit-learn's HistGradientBoosting. Why: the types of a data frame say which.
    feature_scale : {"auto", "robust", "standard", "global"} or None, default="auto"
        How numbers are scaled: "robust" by median and quartiles, then clipped smoothly to (-3, 3),
        missing ones to the median, with an indicator; "auto" does that to tables that have to be
        encoded, and leaves numbers alone as they are; None never does. Of arrays of numbers:
        "standard" to mean 0 and deviation 1 by column, "global" by one mean and deviation of all
        columns, as for pixels; `partial_fit` measures them on its first rows. Source: Holzmueller
        et al. 2024. Why: tables need it; numbers alone stay as scikit-learn takes them.
    n_bins : int, default=None
        Encode each number also by its place among at most so many bins: half of their edges are
        quantiles of its values, half of its different values, which coincide where none repeats.
        That lets a network follow steps and bends that it hardly finds in one number. Source:
        Gorishniy et al. 2022. Why: it makes many more columns; 32 to 64 help tables of numbers
        most.
    device : {"auto", "cpu", "cuda", "cuda:1", ...}, default="auto"
        "auto" trains where X is. Host arrays go to a GPU (CuPy) where that pays: where a step takes
        half the time at most, and a fit of max_iter epochs saves more than the start costs, as
        timed on that GPU once a process; `fit_report_` says why. So equal scripts may end on
        different devices, with other last bits: name the device for results that repeat. "cuda"
        always moves host arrays, once; results come back as NumPy arrays. Rows that do not fit the
        GPU's memory stay in pinned host memory, where it reads them. A fitted model stays where it
        is until `to` moves it; the first `partial_fit` decides, by its one epoch. Source: PyTorch;
        the rule of "auto": xpmlp. Why: no copy is made that does not pay.
    dtype : {"float32", "float64"}, default=None
        Compute dtype; None is that of X. Source: NumPy, PyTorch. Why: results as exact as X;
        "float32" is about twice as fast.
    matmul_precision : {"highest", "high", "medium"}, default="highest"
        A permission: matrix products of float32 may be computed in TF32 ("high") or in bfloat16
        with float32 sums ("medium"), where library and device can: PyTorch on CPUs with bfloat16
        units; PyTorch, JAX and CuPy on GPUs. Weights, gradients and updates stay float32. Source:
        PyTorch, JAX. Why: shorter numbers change results.
    accelerate : {"auto", "generic", "eager", "graph"}, default="auto"
        How steps run on a CUDA GPU (CuPy arrays; torch tensors where CuPy is installed): plain
        array operations ("generic"), fused kernels ("eager"), CUDA graphs with products by cuBLASLt
        ("graph"). "auto" on CuPy arrays is the graph where its first steps equal those of plain
        operations to rounding; they are tried before the fit, once a process for each network,
        batch size, dtype and GPU. Else it is plain operations, and a note says why. On torch
        tensors "auto" is torch's own engine; on NumPy arrays "generic" leaves out the compiled
        code, to compare with. Source: xpmlp. Why: the fastest way that has proven itself equal to
        plain operations.
    deterministic : bool, default=False
        On a GPU, choose algorithms by rule, not by time, and none that adds in a varying order: two
        fits are equal to the last bit. Elsewhere they are so anyway, for one number of threads.
        Source: PyTorch. Why: matters on a GPU alone, and costs speed there.
    callbacks : function or list of functions, default=None
        Each is called with an `xpmlp.callbacks.Epoch` after every epoch, and stops the training by
        returning something true; an error in one ends the fit and leaves the estimator as it was.
        A clone has copies of objects and the same functions; model files leave them out.
        scikit-learn's callbacks, such as its ProgressBar, go to ``set_callbacks``. Source: Keras.
        Why: nothing is called.
    checkpoint : str, Path or Checkpoint, default=None
        Folder that keeps what `fit` does, for ``fit(..., resume=True)``; one fit at a time may
        write to it. Source: Keras. Why: nothing is written.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    coefs_ : list of arrays (n_in, n_out)
    intercepts_ : list of arrays (n_out,)
        Both can be read, assigned, assigned by item and written in place.
    history_ : dict of lists
        loss, validation_loss, validation_score, learning_rate, seconds: an entry an epoch (lbfgs:
        an iteration, without learning_rate; validation: with X_val or early_stopping).
    fit_report_ : dict
        Of the last `fit` or `partial_fit`: device, why (it was chosen), engine, matmul_precision,
        dtype, seed, versions; bytes_to_device, bytes_to_host, host_reads (the host waited for a
        device's numbers), launches (of kernels; None where not counted), proof (what
        ``accelerate="auto"`` concluded on a GPU, and the seconds that it took in this call; else
        None), notes (of what was not as asked), seconds.
    best_epoch_ : int
        The epoch whose weights the model has, of loss ``history_["loss"][best_epoch_ - 1]``: with
        early_stopping the first of the best validation score, else the last; 0 before the first.
    n_iter_total_ : int
        Epochs (lbfgs: iterations) since the weights were initialised; `n_iter_`: of the last call.
    result_ : FitResult
        What the last fit made, as one value; the other fitted attributes are views of it.
    model_, state_ : Model, State
        The fitted model, which can be set, and its training's state, for `partial_fit`; a model
        with arrays of other shapes begins a training.
    threshold_ : float
        Of two classes: the second is predicted where its probability is above it. It can be set,
        and is 0.5 after a fit from the start.
    network_, device_ : Network, str
        The network, and where the model lives.
    loss_, best_loss_, loss_curve_, validation_scores_, best_validation_score_, n_iter_, t_,
    n_layers_, n_outputs_, out_activation_, n_features_in_, feature_names_in_
        As scikit-learn's.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from xpmlp import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = MLPClassifier((16,), solver="lbfgs", max_iter=500, random_state=1).fit(X, y)
    >>> clf.score(X, y) > 0.95
    True
    """

    _parameter_constraints: ClassVar[dict] = BaseMLP._parameter_constraints | {
        "loss": [words(*loss_names("classification")), Loss],
        "class_weight": [words("balanced"), dict, list, None],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(
        self,
        hidden_layer_sizes: types.Sizes = (100,),
        activation: types.Activations = "relu",
        *,
        solver: types.Solver = "adam",
        alpha: float = 1e-4,
        batch_size: types.BatchSize = "auto",
        learning_rate: types.LearningRate = "constant",
        learning_rate_init: float = 1e-3,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: types.Seed = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        loss: types.ClassLoss = "log_loss",
        class_weight: types.ClassWeight = None,
        label_smoothing: float = 0.0,
        init: types.Init = "auto",
        out_activation: types.OutActivation = "auto",
        weight_decay: float | None = None,
        dropout: types.Rates = 0.0,
        normalization: types.Normalization = None,
        residual: bool = False,
        max_norm: float | None = None,
        max_grad_norm: float | None = None,
        ema_decay: float | None = None,
        scoring: types.Scoring = None,
        categorical_features: types.Columns = "auto",
        feature_scale: types.FeatureScale = "auto",
        n_bins: int | None = None,
        device: str = "auto",
        dtype: types.DType = None,
        matmul_precision: types.MatmulPrecision = "highest",
        accelerate: types.Accelerate = "auto",
        deterministic: bool = False,
        callbacks: types.Callbacks = None,
        checkpoint: types.Kept = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.loss = loss
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.init = init
        self.out_activation = out_activation
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.normalization = normalization
        self.residual = residual
        self.max_norm = max_norm
        self.max_grad_norm = max_grad_norm
        self.ema_decay = ema_decay
        self.scoring = scoring
        self.categorical_features = categorical_features
        self.feature_scale = feature_scale
        self.n_bins = n_bins
        self.device = device
        self.dtype = dtype
        self.matmul_precision = matmul_precision
        self.accelerate = accelerate
        self.deterministic = deterministic
        self.callbacks = callbacks
        self.checkpoint = checkpoint

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    classes_ = view(lambda r: known(r.model.targets.classes, "classes"), "Class labels, sorted.")
    threshold_ = threshold_part()

    @available_if(lambda self: self.solver != "lbfgs")
    def partial_fit(
        self, X: Rows, y: Rows, sample_weight: Weights = None, classes: Weights = None
    ) -> Self:
        """Train for one epoch over the given rows, from where the last call ended.

        Parameters
        ----------
        X, y, sample_weight : arrays
            As in `fit`.
        classes : array of shape (n_classes,), optional
            All classes that will ever come; needed in the first call, except for multilabel y.

        Returns
        -------
        self
        """
        return fit_one_epoch(self, X, y, sample_weight, (classes,))

    @on_its_card
    def predict(self, X: Rows) -> Array:
        """Return labels of shape (n_samples,) or, multilabel, (n_samples, n_labels) for X.

        They are in X's library, on its device; text labels come as a NumPy array.
        """
        return answer(self, "predict", X)

    @on_its_card
    def predict_proba(self, X: Rows) -> Array:
        """Return probabilities of shape (n_samples, n_classes) for X, columns as in `classes_`.

        Independent outputs (binary_log_loss or squared_error over several classes) are divided by
        the sum of their row; multilabel ones are not.
        """
        return answer(self, "predict_proba", X)

    @on_its_card
    def predict_log_proba(self, X: Rows) -> Array:
        """Return the logarithm of `predict_proba`; that of 0 is -inf."""
        return answer(self, "predict_log_proba", X)

    @on_its_card
    def decision_function(self, X: Rows) -> Array:
        """Return logits for X: (n_samples,) for two classes, else (n_samples, n_outputs)."""
        return answer(self, "decision_function", X)

    @on_its_card
    def score(self, X: Rows, y: Rows, sample_weight: Weights = None) -> float:
        """Return the accuracy for X and y; multilabel: the share of rows with all labels right."""
        from sklearn.metrics import accuracy_score

        return scored(accuracy_score, self, X, y, sample_weight)
