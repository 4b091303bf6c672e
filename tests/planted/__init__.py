"""Backprop written by hand, right and with planted mistakes: what a gradient checker must say.

`python -m tests.planted` prints how many are named rightly, and the misses;
`python -m tests.planted --forms` does so for whole scripts, by their form (see `form`).
"""

from collections import Counter
from importlib import import_module
from pathlib import Path

from . import askers_ab, askers_cd, correct, odd, several, single
from .case import Case, finite_differences, leaves
from .form import Form, Script

PARTS = (correct, askers_ab, askers_cd, single, several, odd)
CASES = [case for part in PARTS for case in part.CASES]


def forms_of(half):
    """The forms in the files of a half: "forms" (looked at while mending) or "unseen"."""
    files = sorted(Path(__file__).parent.glob(f"{half}_*.py"))
    return [form for f in files for form in import_module(f".{f.stem}", __name__).FORMS]


FORMS, UNSEEN = forms_of("forms"), forms_of("unseen")


def verdict(case):
    """The judgement of the checker's report on a case, and the report."""
    from xpmlp.testing import check_gradients

    report = check_gradients(*case.functions(), *case.arguments())
    return case.judge(report.ok, [(m.kind, m.layer) for m in report.mistakes]), report


def tally(verdicts):
    """One line on [(case, "right" | "not known" | "wrong")]."""
    counts = Counter(word for _, word in verdicts)
    return (
        f"named rightly: {counts['right']} of {len(verdicts)}; "
        f"not known: {counts['not known']}; wrong: {counts['wrong']}"
    )


__all__ = [
    "CASES", "FORMS", "PARTS", "UNSEEN", "Case", "Form", "Script", "finite_differences", "leaves",
    "tally", "verdict",
]  # fmt: skip
