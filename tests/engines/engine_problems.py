"""Sizes and plans of the trainings that engines are compared on."""

from xpmlp.training.plan import epoch_order, make_plan

N, D, C, ROWS = 22, 4, 3, 5  # rows of data, inputs, outputs, rows a batch: the last is padded
ALPHA, DECAY = 0.5, 0.1


def host_plan(rule, epoch, seed=0, lr=0.02, n=N):
    options = {"batch_size": ROWS, "lr": lr, "seed": seed, "first_step": 5 * epoch}
    options |= {"rule_step": 5 * epoch, "alpha": ALPHA, "weight_decay": DECAY}
    return make_plan(rule, epoch_order(n, seed=seed, epoch=epoch, shuffle=True), **options)
