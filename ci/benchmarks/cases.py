"""What is timed: networks with a batch (steps), with rows and epochs (fits), with rows (predict).

On a card a step gathers its batch out of resident rows; rows, permutation and labels lie there.
"""

from dataclasses import dataclass, replace

import numpy as np

from xpmlp.errors import DataError


@dataclass(frozen=True)
class Case:
    """A network and what is done with it. Parameters are float32, without penalty or dropout.

    sizes: units a layer, inputs first; rows: of the data, `batch` of them a step. The learning
    rate of steps is tiny, so that ever more steps on one batch stay those of a young network: one
    that has learnt its batch by heart has gradients that are denormal numbers, which are slow.
    """

    name: str
    sizes: tuple[int, ...]
    batch: int
    activation: str
    loss: str
    rule: str
    rows: int
    lr: float = 1e-6
    epochs: int = 0  # of a fit
    source: str | None = None  # a data set, instead of random rows
    precision: str = "highest"  # of products: `matmul_precision` of xpmlp
    floor: float | None = None  # microseconds a step on an H100: products and update at its rates
    goal: float | None = None  # microseconds for ours, there
    quick: bool = False  # in a quick run on a card
    compiled: bool = False  # there also by contenders that are slow to make ready, at its end

    @property
    def output(self):
        """The activation of the last layer; a softmax is inside its loss."""
        logistic = self.loss == "squared_error" and self.activation == "logistic"
        return "logistic" if logistic else "identity"

    @property
    def stretch(self):
        """Steps that make an epoch of 60 000 rows, or fewer: so many that a call takes 0.1 s."""
        weights = sum(a * b for a, b in zip(self.sizes, self.sizes[1:]))
        return max(1, min(60_000 // self.batch, 10_000, int(2e10 / (6 * self.batch * weights))))

    @property
    def n_steps(self):
        """Steps on gathered batches that a call may make: an epoch or less, a multiple of 8."""
        return max(8, min(self.rows // self.batch, 500) // 8 * 8)

    def order(self):
        """Return the rows (n_steps, batch) of such steps: a permutation, repeated where short."""
        rows = np.random.default_rng(2).permutation(self.rows)
        return np.resize(rows, (self.n_steps, self.batch))

    @property
    def heavy(self):
        """Whether a step computes so long (1e11 operations) that launches cost nothing beside."""
        weights = sum(a * b for a, b in zip(self.sizes, self.sizes[1:]))
        return 6 * self.batch * weights > 1e11

    @property
    def peak_goal(self):
        """Bytes that a fit may take: data, 6 x parameters, 2 batches of activations."""
        params = sum((n_in + 1) * n_out for n_in, n_out in zip(self.sizes, self.sizes[1:]))
        data = self.rows * (self.sizes[0] + self.sizes[-1])
        return 4 * (data + 6 * params + 2 * self.batch * sum(self.sizes))

    def data(self):
        """Return x (rows, D) and targets (rows, C): 0/1 columns, or normal numbers."""
        if self.source is not None:
            return _images(self)
        rng, shape = np.random.default_rng(0), (self.rows, self.sizes[0])
        x = rng.standard_normal(shape, np.float32)
        if self.sizes[0] == 784:  # pixels: about 80 % are zero
            np.clip(x - np.float32(0.85), 0, 1, out=x)
        if self.output == "identity" and self.loss == "squared_error":
            return x, rng.standard_normal((self.rows, self.sizes[-1]), np.float32)
        codes = rng.integers(max(2, self.sizes[-1]), size=self.rows)
        return x, _columns(codes, self.sizes[-1])

    def weights(self):
        """Return the initial [(W, b), ...], after Glorot & Bengio 2010."""
        rng, params = np.random.default_rng(1), []
        for n_in, n_out in zip(self.sizes, self.sizes[1:]):
            bound = np.sqrt(6 / (n_in + n_out))
            W, b = (rng.uniform(-bound, bound, shape) for shape in ((n_in, n_out), (n_out,)))
            params.append((W.astype(np.float32), b.astype(np.float32)))
        return params


def _columns(codes, n):
    """Return codes (rows,) as 0/1 columns (rows, n); two classes may share one."""
    shown = codes[:, None] == (np.arange(n) if n > 1 else np.ones(1))
    return shown.astype(np.float32)


def _images(case):
    from xpmlp.tables.datasets import load_dataset

    found = load_dataset(case.source)
    x, y = found.X[: case.rows].astype(np.float32), found.y[: case.rows]
    fits = x.shape == (case.rows, case.sizes[0]) and y.dtype.kind == "i"
    if not fits or y.min() < 0 or y.max() >= case.sizes[-1]:
        got = f"{case.source} holds {found.X.shape[0]} rows of {found.X.shape[1]} features"
        wanted = f"{case.rows} of {case.sizes[0]} with labels below {case.sizes[-1]}"
        raise DataError(f"{got}, expected {wanted}: leave --data out for random images.")
    return x, _columns(y, case.sizes[-1])


def _cell(name, sizes, batch, activation, loss, rule):
    return Case(name, sizes, batch, activation, loss, rule, rows=batch)


CELLS = (
    _cell("planar", (2, 4, 1), 400, "logistic", "squared_error", "sgd"),
    _cell("single", (3, 5, 5, 1), 1, "logistic", "squared_error", "sgd"),
    _cell("seed-mnist", (784, 30, 10), 20, "logistic", "squared_error", "sgd"),
    _cell("medium", (784, 256, 128, 10), 128, "relu", "log_loss", "adam"),
    _cell("large", (784, 1024, 1024, 10), 512, "relu", "log_loss", "adam"),
    _cell("tabular", (100, 256, 256, 1), 1024, "relu", "squared_error", "adam"),
)
SEED_MNIST, MEDIUM, LARGE, TABULAR = CELLS[2:]


def _predict(cell, words, rows):
    return replace(cell, name=f"{cell.name} {words}", rows=rows)


def _on_card(name, sizes, batch, loss, precision, floor, goal, rows=60_000, compiled=False):
    options = {"floor": floor, "goal": goal, "quick": True, "compiled": compiled}
    return Case(name, sizes, batch, "relu", loss, "adam", rows, precision=precision, **options)


GIANT = (1024, 4096, 4096, 1000), 4096, "log_loss"
KINDS = {
    "steps": CELLS,
    "fits": (
        replace(_cell("tiny", (4, 8, 3), 200, "relu", "log_loss", "adam"), epochs=100, lr=1e-3),
        replace(SEED_MNIST, rows=60_000, epochs=2, lr=0.1),
        replace(MEDIUM, rows=60_000, epochs=2, lr=1e-3),
    ),
    "predict": (
        _predict(TABULAR, "1", 1),
        _predict(TABULAR, "1k", 1000),
        _predict(TABULAR, "1M", 1_000_000),
        _predict(MEDIUM, "1", 1),
        _predict(MEDIUM, "1k", 1000),
    ),
}


# Those of a quick run first, by what is learnt of them: a time limit cuts off the rest.
CUDA_KINDS = {
    "steps": (
        *(replace(cell, rows=60_000, quick=True) for cell in (MEDIUM, LARGE, TABULAR)),
        _on_card("narrow", (784, 30, 10), 20, "log_loss", "highest", 0.3, 25),
        _on_card("tabular", (100, 256, 256, 1), 1024, "squared_error", "high", 1.8, 41),
        _on_card("mnist-512", (784, 512, 512, 10), 256, "log_loss", "high", 5.5, 47, compiled=True),
        _on_card("giant", *GIANT, "high", 1680, 1780, rows=32_768),
        _on_card("giant", *GIANT, "medium", 990, 1180, rows=32_768),
        *(replace(cell, rows=60_000) for cell in CELLS[:3]),
    ),
    "fits": (replace(MEDIUM, rows=60_000, epochs=10, lr=1e-3, quick=True),),
}
DEVICES = {"cpu": KINDS, "cuda": CUDA_KINDS}


def cases_of(kind: str, cells=(), *, device="cpu", quick=False, source=None) -> list[Case]:
    """Return the cases of a kind whose networks are asked for; all if none is.

    quick: fits of one epoch, no more than 100 000 rows, on a card those marked so;
    source: the data set of the fits of images.
    """
    cases = [c for c in DEVICES[device][kind] if not cells or c.name.partition(" ")[0] in cells]
    if quick:
        cases = [replace(c, epochs=min(c.epochs, 1)) for c in cases if c.rows <= 100_000]
    if quick and device == "cuda" and not cells:
        cases = [c for c in cases if c.quick]
    images = [c.epochs > 0 and c.sizes[0] == 784 for c in cases]
    return [replace(c, source=source) if one else c for c, one in zip(cases, images)]
