"""The command `xpmlp`, also as ``python -m xpmlp``."""

import sys

from .signals import ending_at_once


def main():
    """Run the command line; by Ctrl-C or a signal it ends alike while it is still being loaded."""
    try:
        with ending_at_once():
            from .cli import main as run
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
