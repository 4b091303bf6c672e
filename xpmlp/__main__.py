"""``python -m xpmlp``."""

from .cli import main

main()
