"""Runs of ci/gpu on the stand-ins."""

from pathlib import Path

ROOT = Path(__file__).parents[2]

TIERS = ("generic", "eager", "graph")


# ---- Verdicts


GOOD = {"checks": {"it is right": "ok"}}
