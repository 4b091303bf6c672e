"""Print the tally over the corpus and every miss: `python -m tests.planted [part of a name]`.

`--forms [part of a form's name]` prints rates by form instead; of the unseen half `--names` tells
the misses too, which nobody should ask who mends the checker.
"""

import sys
import time
import traceback
import warnings

from . import FORMS, PARTS, UNSEEN, tally, verdict
from .rates import print_rates


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


def forms(*words):
    warnings.simplefilter("ignore")
    (wanted,) = [word for word in words if not word.startswith("--")] or ("",)
    print("# the half that is looked at")
    print_rates(FORMS, wanted)
    print("\n# the half that is not")
    print_rates(UNSEEN, wanted, names="--names" in words)


if "--forms" in sys.argv:
    forms(*sys.argv[1:])
else:
    main(*sys.argv[1:])
