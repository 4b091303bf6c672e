"""`python -m ci.reliability NAME ...` from a checkout: run matrices, print a line for each."""

import sys
from importlib import import_module

failed = False
for name in sys.argv[1:]:
    figures = import_module(f"{__package__}.{name}").run()
    print(figures.line(name), *figures.notes, sep="\n  ")
    failed = failed or bool(figures.notes)
sys.exit(failed)
