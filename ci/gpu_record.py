"""The file that ci/gpu writes: what the parts found, and what that comes to for each tier."""

import json
import os
import re
import tempfile
import time

from gpu_parts import ROOT

FOLDER = ROOT / "ci" / "benchmarks" / "results"
TIERS = ("generic", "eager", "graph")
NOT_COVERED = (
    "one network per multiprocessor; tiny-cuda-nn beside narrow networks; launches by a profiler"
)
# Files of tests/standin whose tests bar a tier where they fail, and the tiers that these are.
NUMBERS = dict.fromkeys(
    ("cuda_kernels", "cuda_updates", "cuda_eager", "cuda_chains", "cuda_memory"), TIERS[1:]
) | {"cuda_graph": TIERS[2:]}
ALL = "the part ran"  # the check of a part that skips all others


class RecordError(Exception):
    """Why a file cannot be written, or added to, in a sentence."""


class Record:
    """What parts found, on disk after each.

    path: without one the first part names the file, by its card. keep: what a file that exists has
    of other parts stays. order: of the parts in the file.
    """

    def __init__(self, path, standin, keep, order):
        self.path, self.standin, self.keep, self.order = path, standin, keep, order
        self.date, self.parts = time.strftime("%Y-%m-%d"), {}
        _try_to_write(path or FOLDER / "result.json")
        if path:
            self._open(path)

    def _open(self, path):
        self.path = path
        if self.keep and path.exists():
            self.parts = _earlier(path, self.standin) | self.parts

    def add(self, name, outcome):
        """Add what a part found, and write the file anew."""
        self.parts[name] = outcome | {"date": self.date}
        if not self.path:
            card = re.sub(r"\W+", "-", str(outcome.get("card", "card"))).strip("-").lower()
            self._open(FOLDER / f"{self.date}-{card}.json")
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self.made(), indent=1) + "\n")
        os.replace(new, self.path)

    def made(self):
        """Return what is written."""
        order = [*self.order, *self.parts]  # tests have parts of their own
        parts = {name: self.parts[name] for name in sorted(self.parts, key=order.index)}
        return {
            "date": self.date,
            "standin": self.standin,
            "passed": all(part["passed"] for part in parts.values()),
            "tiers": verdicts(parts),
            "bar no tier": other_failures(parts),
            "not covered": NOT_COVERED,
            "parts": parts,
        }


def _try_to_write(path):
    """Raise where a file could not be written, before a card's time is spent on it."""
    try:
        if path.exists() and not path.is_file():
            raise RecordError(f"{path} is not a file that can be replaced")
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise RecordError(f"{path} cannot be written: {error}") from None


def _earlier(path, standin):
    """Return the parts of a file to which others are to be added."""
    try:
        record = json.loads(path.read_text())
        parts, before = record["parts"], record["standin"]
        summary(parts)  # all that is read of them
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise RecordError(f"{path} exists and is no record of ci/gpu: name another file") from None
    if before != standin:
        made = "on a stand-in" if before else "on a card"
        raise RecordError(f"{path} was made {made}, this would not be: name another file")
    return parts


# ---- What it comes to


def ending(found):
    """Return how a part ended, in a word or two."""
    cut = f"cut off {found['cut off']}" if "cut off" in found else "passed"
    return cut if found["passed"] else "FAILED"


def failures(found):
    """Return the checks of a part that failed, and why; "error" for a part that broke."""
    failed = {
        check: why for check, why in found["checks"].items() if why != "ok" and not _skipped(why)
    }
    return failed | ({"error": found["error"]} if "error" in found else {})


def last_line(why):
    """Return the last line of a traceback."""
    return why.strip().splitlines()[-1] if why.strip() else why


def _skipped(why):
    return why.startswith("skipped: ")


def verdicts(parts):
    """Say of each tier which tests of its numbers failed, and what is not known of it."""
    return {
        tier: {
            "failed": [
                what for name in parts for what in _named(parts[name]) if _bars(name, what, tier)
            ],
            "did not run": [*_unknown(tier, parts)],
        }
        for tier in TIERS
    }


def other_failures(parts):
    """Name all that failed and says nothing against the numbers of any tier."""
    failed = [
        f"{name}: {what}"
        for name, found in parts.items()
        for what in _named(found)
        if not any(_bars(name, what, tier) for tier in TIERS)
    ]
    broken = [f"{name}: {last_line(f['error'])}" for name, f in parts.items() if "error" in f]
    return failed + broken


def _named(found):
    """Return the tests that failed in a part, or the checks, if it runs none or they broke."""
    return [what for what in found.get("failed") or failures(found) if what != "error"]


def _bars(name, what, tier):
    """Tell whether a check or test of a part compares numbers of a tier."""
    if name == "engine":  # a file that does not load is "::its name"
        file = re.match(r"[\w.]*?(cuda_\w+)", what)
        return file is not None and tier in NUMBERS.get(file[1], ())
    return name == tier or (name == "smoke" and what.startswith(f"{tier}: "))


def _unknown(tier, parts):
    """Yield the parts that did not come to their end for a tier, and why."""
    for name in ("smoke", tier, *(["engine"] if tier != "generic" else []), "benchmark"):
        if name not in parts:
            yield name
            continue
        mine = f"{tier}: " if name == "smoke" else ""
        checks = parts[name]["checks"].items()
        skips = [why for check, why in checks if check.startswith((mine, ALL)) and _skipped(why)]
        yield from (f"{name}, {why}" for why in dict.fromkeys(skips))
        left_out = parts[name].get("files_left_out", {}).items()
        yield from (f"{name}, {file}: {why}" for file, why in left_out)
        yield from (f"{name}, {why}" for why in _broken(name, parts[name], tier))
        if "cut off" in parts[name]:
            yield f"{name}, cut off {parts[name]['cut off']}"
    rows = parts.get("benchmark", {}).get("rows", ())
    rows = [row for row in rows if row["name"] == f"xpmlp {tier}"]
    for row in rows:
        # What the generic tier notes is that it heeds no precision.
        notes = row["notes"] if tier != "generic" else []
        told = [row["error"]] if row["error"] else notes
        yield from (f"benchmark, {row['case']}: {why}" for why in told)
    if not rows and "benchmark" in parts:
        yield "benchmark, no row of it"


def _broken(name, found, tier):
    """Yield why a part, or a file of its tests, broke."""
    tests = found.get("failed", {})
    for test, why in tests.items():
        file = test.rpartition(".")[2]
        if test.startswith("::") and tier in NUMBERS.get(file, ()):
            yield f"{file}.py: {last_line(why)}"
    failed = failures(found)
    if "error" in failed:
        yield last_line(failed["error"])
    elif name == "engine" and not tests:  # pytest itself
        yield from map(last_line, failed.values())


def summary(parts):
    """Return the table for people."""
    lines = [f"{'part':16}{'passed':10}{'seconds':>8}   checks"]
    for name, found in parts.items():
        counted = f"{len(found['checks'])}, {len(failures(found))} failed"
        passed = {"passed": "yes", "FAILED": "NO"}.get(ending(found), "cut off")
        lines.append(f"{name:16}{passed:10}{found['seconds']:8.1f}   {counted}")
    lines.append("")
    for tier, verdict in verdicts(parts).items():
        right = "none of the deciding tests failed"
        right += " of what ran" * bool(verdict["did not run"])
        lines.append(f"tier {tier:8} {'; '.join(verdict['failed']) or right}")
        lines += [f"    did not run: {reason}" for reason in verdict["did not run"]]
    lines += [f"failed, and bars no tier: {what}" for what in other_failures(parts)]
    return "\n".join([*lines, "", parts.get("benchmark", {}).get("table", "no benchmark")])
