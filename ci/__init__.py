"""What runs from a checkout only, and is in no wheel: `python -m ci.benchmarks` and scripts."""
