"""PyTorch on a card: eager, compiled and captured steps on batches that are gathered there."""

from copy import deepcopy
from functools import partial
from itertools import count, cycle

from .base import Contender, Ready, repeated, waited
from .torch import optimizer, parts, pure_step, trained


def by_events(call):
    """Call, wait for the card, and return its seconds between two events."""
    import torch

    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    call()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1e3


class Loop:
    """A model, its data and a place in an order of batches, all on the device.

    Products are as short as the case says, parameters float32.
    """

    def __init__(self, case, data, device):
        import torch

        exact = case.precision == "highest"
        torch.set_float32_matmul_precision("highest" if exact else "high")
        self.case, self.device = case, device
        self.model, self.data, self.loss = parts(case, data, device)
        self.order = torch.from_numpy(case.order()).to(device)
        self.place = torch.zeros(1, dtype=torch.int64, device=device)
        self.timer = waited if device == "cpu" else by_events

    def value(self, model, x, y):
        """Return the loss; products are bfloat16, by autocast, if the case says so."""
        import torch

        short = self.case.precision == "medium"
        with torch.autocast(self.device, torch.bfloat16, enabled=short):
            return self.loss(model(x), y)

    def take(self, rows):
        """Return rows of the data."""
        return [a.index_select(0, rows) for a in self.data]

    def batch(self):
        """Return the next batch. The host, which knows its number too, starts each epoch."""
        rows = self.order.index_select(0, self.place).squeeze(0)
        self.place.add_(1)
        return self.take(rows)

    def ready(self, call, units):
        """Return the calls made ready."""
        return Ready(repeated(call), units, lambda: trained(self.model), self.timer)


def _eager(loop):
    """Return (x, y) -> None: one step, with the optimizer's fused kernel."""
    rule = optimizer(loop.case, loop.model)

    def step(x, y):
        rule.zero_grad(set_to_none=True)
        loop.value(loop.model, x, y).backward()
        rule.step()

    return step


def _capturable(loop):
    """Return (x, y) -> None, a step that a graph may hold, and restart() to the first weights.

    For bfloat16 it keeps the weights' short copies itself: all in one kernel, where autocast makes
    one a weight, and rows are gathered as bfloat16.
    """
    import torch

    masters = list(loop.model.parameters())
    rule = optimizer(loop.case, loop.model, capturable=True)
    first = [p.detach().clone() for p in masters]
    short = loop.case.precision == "medium"
    model = deepcopy(loop.model).bfloat16() if short else loop.model
    used = list(model.parameters())
    if short:
        loop.data = loop.data[0].bfloat16(), loop.data[1]
        for p in masters:
            p.grad = torch.zeros_like(p)

    def step(x, y):
        model.zero_grad(set_to_none=True)
        if short:
            with torch.no_grad():
                torch._foreach_copy_(used, masters)
        loop.loss(model(x).float(), y).backward()
        if short:
            torch._foreach_copy_([p.grad for p in masters], [p.grad for p in used])
        rule.step()

    def restart():
        with torch.no_grad():
            torch._foreach_copy_(masters, first)
        for state in rule.state.values():
            for a in state.values():
                a.zero_()

    return step, restart


def _launched(loop, step, restart, at_once=1):
    """Return so many steps as one launch of a CUDA graph, made as PyTorch's notes on it say."""
    import torch

    def steps():
        for _ in range(at_once):
            step(*loop.batch())

    if loop.device == "cpu":
        return steps
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            loop.place.zero_()
            steps()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        steps()
    restart()
    return graph.replay


def _from_the_start(loop, launch, at_once=1):
    """Return a call of `launch` that begins each epoch at the first batch."""
    calls = count()

    def call():
        if next(calls) * at_once % loop.case.n_steps == 0:
            loop.place.zero_()
        launch()

    return call


def steps(case, data, device="cuda"):
    """Prepare eager steps."""
    loop = Loop(case, data, device)
    step, rows = _eager(loop), cycle(loop.order.unbind(0))
    return loop.ready(lambda: step(*loop.take(next(rows))), 1)


def compiled(case, data, device="cuda"):
    """Prepare steps of one graph: gather, loss, gradient and update.

    Without the marks it would copy all data in each step, and make no CUDA graph, as it changes
    what it was given.
    """
    import torch

    torch.compiler.reset()  # it keeps no more than eight of one function
    loop = Loop(case, data, device)
    step, changed = pure_step(case, loop.model, loop.value, loop.batch)
    for a in (*changed, *loop.data, loop.order, loop.place):
        torch._dynamo.mark_static_address(a)
    made = torch.compile(fullgraph=True, mode="reduce-overhead")(step)
    return loop.ready(_from_the_start(loop, made), 1)


def captured(case, data, device="cuda", at_once=1):
    """Prepare steps captured in a CUDA graph, one or several a launch."""
    loop = Loop(case, data, device)
    step, restart = _capturable(loop)
    launch = _launched(loop, step, restart, at_once)
    return loop.ready(_from_the_start(loop, launch, at_once), at_once)


def fit_slices(case, data, device="cuda"):
    """Prepare epochs of eager steps."""
    import torch

    loop = Loop(case, data, device)
    step = _eager(loop)

    def call():
        for _ in range(case.epochs):
            for rows in torch.randperm(case.rows, device=device).split(case.batch):
                step(*loop.take(rows))

    return loop.ready(call, case.epochs)


def fit_captured(case, data, device="cuda"):
    """Prepare epochs of one launch a step, and an eager one on the rows left over."""
    import torch

    loop, n_steps = Loop(case, data, device), case.rows // case.batch
    loop.order = torch.zeros(n_steps, case.batch, dtype=torch.int64, device=device)
    step, restart = _capturable(loop)
    launch = _launched(loop, step, restart)

    def call():
        for _ in range(case.epochs):
            rows = torch.randperm(case.rows, device=device)
            loop.order.copy_(rows[: loop.order.numel()].view_as(loop.order))
            loop.place.zero_()
            for _ in range(n_steps):
                launch()
            if len(tail := rows[loop.order.numel() :]):
                step(*loop.take(tail))

    return loop.ready(call, case.epochs)


def _on_card(name, kind, make, **options):
    return Contender(name, kind, make, ("torch",), device="cuda", **options)


CONTENDERS = (
    _on_card("torch eager", "steps", steps, launches=True),
    _on_card("torch.compile", "steps", compiled, slow=True),
    _on_card("torch graph", "steps", captured),
    _on_card("torch graph, 8 steps", "steps", partial(captured, at_once=8)),
    _on_card("torch, slices", "fits", fit_slices),
    _on_card("torch graph", "fits", fit_captured),
)
