"""Print the tally over the corpus and every miss: `python -m tests.planted [part of a name]`."""

import sys
import time
import traceback
import warnings

from . import PARTS, tally, verdict


def main(wanted=""):
    warnings.simplefilter("ignore")
    verdicts, planted = [], []
    for part in PARTS:
        here = []
        for case in part.CASES:
            if wanted not in case.name:
                continue
            start = time.perf_counter()
            try:
                word, report = verdict(case)
                got = " ".join(f"{m.kind}@{m.layer}" for m in report.mistakes)
                got = f"{'not ' * (not report.ok)}ok; {got}"
            except Exception:  # what the checker raises is a miss like any other
                word, got = "wrong", f"raised {traceback.format_exc().splitlines()[-1]}"
            here.append((case, word))
            seconds = time.perf_counter() - start
            if word != "right":
                print(f"- {word}: {case.name}\n  expected: {case.truth or 'nothing'}\n  got: {got}")
            if seconds > 1:
                print(f"- {seconds:.1f} s: {case.name}")
        print(f"# {part.__name__.rpartition('.')[2]}: {tally(here)}\n")
        verdicts += here
    planted = [(case, word) for case, word in verdicts if case.truth or case.odd]
    print(f"all: {tally(verdicts)}")
    print(f"planted: {tally(planted)}")


main(*sys.argv[1:])
