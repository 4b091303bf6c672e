"""What the options of the estimators cost: one training each, beside PyTorch's own loop.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python ci/benchmarks/options.py [--rounds 7]

Digits as float32, layers 64-128-128-10, Adam, batches of 200, 20 epochs. Both sides take turns in
one process; a ratio is the median over the rounds of PyTorch's seconds by ours. PyTorch's loop is
the usual one, on rows in memory: a permutation an epoch, zero_grad, backward, step.
"""

import argparse
import statistics
import time
import warnings

import numpy as np
import torch
from sklearn.datasets import load_digits

from xpmlp import MLPClassifier

EPOCHS, BATCH, WIDTH = 20, 200, 128
X, Y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)

# Our arguments, and what PyTorch has for them.
OPTIONS: dict[str, tuple[dict, dict]] = {
    "plain": ({}, {}),
    "dropout": ({"dropout": 0.2}, {"dropout": 0.2}),
    "batch normalization": ({"normalization": "batch"}, {"norm": torch.nn.BatchNorm1d}),
    "layer normalization": ({"normalization": "layer"}, {"norm": torch.nn.LayerNorm}),
    "residual": ({"residual": True}, {"residual": True}),
    "max_grad_norm": ({"max_grad_norm": 1.0}, {"clip": 1.0}),
    "ema_decay": ({"ema_decay": 0.99}, {"ema": 0.99}),
    "label_smoothing": ({"label_smoothing": 0.1}, {"smoothing": 0.1}),
    "nadam": ({"solver": "nadam"}, {"rule": torch.optim.NAdam}),
    "cosine": ({"learning_rate": "cosine"}, {"cosine": True}),
}


def ours(**options):
    """Return the seconds of a fit."""
    start = time.perf_counter()
    MLPClassifier(
        (WIDTH, WIDTH),
        max_iter=EPOCHS,
        batch_size=BATCH,
        random_state=0,
        n_iter_no_change=EPOCHS,
        device="cpu",
        **options,
    ).fit(X, Y)
    return time.perf_counter() - start


class Skip(torch.nn.Sequential):
    """Layers whose input is added to their output."""

    def forward(self, x):
        """Return the sum."""
        return x + super().forward(x)


def theirs(
    dropout=0.0,
    norm=None,
    residual=False,
    clip=None,
    ema=None,
    smoothing=0.0,
    rule=torch.optim.Adam,
    cosine=False,
):
    """Return the seconds of PyTorch's loop."""
    start = time.perf_counter()
    x, y, n_in = torch.from_numpy(X), torch.from_numpy(Y), X.shape[1]
    layers: list = []
    for _ in range(2):
        block = [torch.nn.Linear(n_in, WIDTH), *([norm(WIDTH)] if norm else []), torch.nn.ReLU()]
        block += [torch.nn.Dropout(dropout)] if dropout else []
        layers += [Skip(*block)] if residual and n_in == WIDTH else block
        n_in = WIDTH
    model = torch.nn.Sequential(*layers, torch.nn.Linear(WIDTH, 10))
    optimizer, loss = rule(model.parameters()), torch.nn.CrossEntropyLoss(label_smoothing=smoothing)
    average = ema and torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(ema)
    )
    n_steps = EPOCHS * -(-len(x) // BATCH)
    schedule = cosine and torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    for _ in range(EPOCHS):
        order = torch.randperm(len(x))
        for i in range(0, len(x), BATCH):
            rows = order[i : i + BATCH]
            optimizer.zero_grad()
            loss(model(x[rows]), y[rows]).backward()
            if clip:
                torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            if schedule:
                schedule.step()
            if average:
                average.update_parameters(model)
    return time.perf_counter() - start


def main():
    """Print a row for each option."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    warnings.simplefilter("ignore")  # that nothing has converged
    print(f"{torch.get_num_threads()} threads of PyTorch's")
    print(f"{'option':22s}{'xpmlp':>9s}{'PyTorch':>9s}{'ratio':>8s}")
    for name, (own, other) in OPTIONS.items():
        ours(**own), theirs(**other)  # what is compiled once
        pairs = [(ours(**own), theirs(**other)) for _ in range(rounds)]
        mine, torchs = (statistics.median(side) for side in zip(*pairs))
        ratio = statistics.median(b / a for a, b in pairs)
        print(f"{name:22s}{mine:8.3f}s{torchs:8.3f}s{ratio:7.2f}x")


if __name__ == "__main__":
    main()
