"""A program's steps as CUDA graphs: one launch a step, or for several."""

from contextlib import suppress

import cupy

from ...transfers import note

UNROLLED = 8  # steps in the longer of the two graphs


def capture(ops, steps):
    """Return the CUDA graph of so many steps. Nothing runs, and nothing may be allocated.

    What overlaps is launched on a stream of its own, which CUDA makes a branch of the graph.
    """
    main, side = (cupy.cuda.Stream(non_blocking=True) for _ in range(2))
    main.begin_capture()
    try:
        apart = False
        for op in ops * steps:
            if op.branch:
                side.wait_event(main.record())
                apart = True
            elif op.joins and apart:
                main.wait_event(side.record())
                apart = False
            with (main, side)[op.branch]:
                op.launch()
    except BaseException:
        with suppress(Exception):  # the first error is the one to tell
            main.end_capture()
        raise
    return main.end_capture()


class Player:
    """Plays a program's steps: the first by its launches, the others by graphs, where those work.

    The first step loads every kernel, which no capture may.
    """

    def __init__(self, program, graphs):
        self.program, self.ops = program, program.ops
        self.graphs, self.made = graphs, {}

    def __call__(self, n):
        """Run n steps on the current stream."""
        if self.graphs and n and not self.made:
            self._launch()
            n -= 1
            self._capture()
        for steps in sorted(self.made, reverse=True):
            for _ in range(n // steps):
                self.made[steps].launch(cupy.cuda.get_current_stream())
            note(launches=n // steps)
            n %= steps
        for _ in range(n):
            self._launch()

    def _launch(self):
        for op in self.ops:
            op.launch()
        note(launches=len(self.ops))

    def _capture(self):
        try:
            self.made = {steps: capture(self.ops, steps) for steps in (1, UNROLLED)}
        except Exception as error:  # whatever a driver refuses, the launches are there
            self.graphs = False
            reason = " ".join(str(error).split())
            text = f"no CUDA graph could be captured, so kernels are launched one by one: {reason}"
            self.program.remark(text)
