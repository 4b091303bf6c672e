"""What the checker makes of the forms: a line a form, and the misses."""

import time
from dataclasses import dataclass

HEAD = (
    "form", "right pass", "flagged", "named", "not known", "false", "located", "line mends",
    "any mends", "refused",
)  # fmt: skip


@dataclass(frozen=True)
class Rates:
    """Counts over the scripts of a form, or of several."""

    right: int = 0  # right scripts
    passed: int = 0
    wrong: int = 0  # wrong scripts; of these:
    flagged: int = 0
    named: int = 0
    unknown: int = 0
    false: int = 0
    located: int = 0
    line_mends: int = 0
    mended: int = 0  # by the line, or by the whole backward pass
    refused: int = 0

    def __add__(self, other):
        return Rates(*(a + b for a, b in zip(vars(self).values(), vars(other).values())))

    def row(self):
        """The counts as text, in the order of HEAD."""
        of_wrong = [self.flagged, self.named, self.unknown, self.false]
        of_wrong += [self.located, self.line_mends, self.mended]
        ratios = [f"{count}/{self.wrong}" for count in of_wrong]
        return [f"{self.passed}/{self.right}", *ratios, f"{self.refused}"]


def rates_of(script, outcome):
    """The counts of one script."""
    if not script.wrong:
        passed = outcome.word == "right"
        return Rates(right=1, passed=passed, refused=outcome.word == "refused")
    words = {word: outcome.word == word for word in ("right", "not known", "wrong", "refused")}
    return Rates(
        wrong=1,
        flagged=outcome.flagged,
        named=words["right"],
        unknown=words["not known"],
        false=words["wrong"] and outcome.flagged,
        located=outcome.located,
        line_mends=outcome.mended == "line",
        mended=bool(outcome.mended),
        refused=words["refused"],
    )


def print_rates(forms, wanted="", names=True):
    """Print a line a form and their sum; with names, also every script that is missed."""
    rows, total = [], Rates()
    for form in forms:
        if wanted not in form.name:
            continue
        here = Rates()
        for script in form.scripts:
            start = time.perf_counter()
            outcome = script.outcome()
            here += rates_of(script, outcome)
            if names:
                print_miss(script, outcome, time.perf_counter() - start)
        rows.append([form.name, *here.row()])
        total += here
    rows.append(["all", *total.row()])
    wide = [max(len(row[i]) for row in [HEAD, *rows]) for i in range(len(HEAD))]
    for row in [HEAD, *rows]:
        print("  ".join(f"{cell:<{size}}" for cell, size in zip(row, wide)).rstrip())


def print_miss(script, outcome, seconds):
    """Print what was said of a script that was not named rightly, or took more than a second."""
    if outcome.word != "right":
        print(f"- {outcome.word}: {script.name}\n  expected: {script.truth or 'nothing'}")
        print(f"  got: {outcome.named or outcome.text.splitlines()[0]}")
    elif script.wrong and not outcome.mended:
        print(f"- named, but nothing printed mends it: {script.name}")
    if seconds > 1:
        print(f"- {seconds:.1f} s: {script.name}")
