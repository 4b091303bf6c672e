"""One contender's process: JSON lines in, JSON lines out.

{"contender": [device, kind, name], "threads": n} comes first, then {"case": {...}} makes a case
ready and {"seconds": s, "least": n} times it for about so long and at least so many units; answered
by the seconds a unit, or {"error": reason}.
"""

import gc
import json
import os
import sys
import time
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_info

from .cases import Case
from .peers import CONTENDERS

STATUS = Path("/proc/self/status")


def main():
    """Answer requests until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    contender, calls = _start(**json.loads(sys.stdin.readline())), 0
    ready: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "case" in request:
                ready = None
                gc.collect()
                ready, answer = prepare(contender, Case(**request["case"]))
                calls = calls_for(ready, request["seconds"], request["least"])
            else:
                if calls >= 10:
                    timed(ready, calls // 10)  # whoever ran last has the caches
                names, units = ("seconds", "device_seconds"), calls * ready.units
                answer = {k: s and s / units for k, s in zip(names, timed(ready, calls))}
        except Exception as error:  # told by the parent, which goes on without this contender
            text = " ".join(str(error).split()) or type(error).__name__
            answer = {"error": text[:200]}
        quiet()
        print(json.dumps(answer), file=answers)


def _start(contender, threads):
    """Find the contender, and hold its library to so many threads."""
    found = next(c for c in CONTENDERS if [c.device, c.kind, c.name] == contender)
    if found.device == "cuda":  # while others do, as here are processors to spare
        for name in found.needs:
            import_module(name)
    if "torch" in found.needs:
        import torch

        torch.set_num_threads(threads)
    return found


def prepare(contender, case):
    """Return the case made ready, and what the process then holds."""
    measured = case.epochs and contender.device == "cpu"  # of a card nobody says a process's peak
    if measured:  # loads and compiles what every fit needs, so that a fit's memory is its own
        hidden = (size // 2 for size in case.sizes[1:-1])
        sizes = (case.sizes[0], *hidden, case.sizes[-1])
        small = replace(case, rows=2 * case.batch, sizes=sizes, source=None)
        contender.make(small, small.data()).run(1)
    before = memory("VmRSS")
    data = case.data()
    if measured:
        memory("VmHWM", reset=True)
    ready = contender.make(case, data)
    timed(ready, 1)
    peak = memory("VmHWM") - before if measured and before else None
    keys = ("internal_api", "version", "num_threads")
    pools = [{key: pool.get(key) for key in keys} for pool in threadpool_info()]
    return ready, {"pools": pools, "peak": peak, **ready.about()}


def memory(field, reset=False):
    """Return our resident bytes (VmRSS) or their peak (VmHWM), 0 where the system does not say."""
    if not STATUS.exists():
        return 0
    gc.collect()
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return 1024 * int(line.split()[1])


def timed(ready, calls):
    """Return the seconds that so many calls take: by the clock, and by the card if it says so."""
    start = time.perf_counter()
    on_card = ready.timer(partial(ready.run, calls))
    return time.perf_counter() - start, on_card


def calls_for(ready, seconds, least=1):
    """Return how many calls take about so long, and make so many units. The first has been made."""
    calls = 1
    while (took := timed(ready, calls)[0]) < seconds / 2:
        calls = max(calls + 1, int(calls * min(10.0, 0.8 * seconds / took)))
    return max(-(-least // ready.units), round(calls * seconds / took))


def quiet():
    """Wait until our threads have stopped spinning: the next contender has the cores to itself."""
    for _ in range(100):
        before = time.process_time()
        time.sleep(0.03)
        if time.process_time() - before < 1e-3:
            return
