"""The command `xpmlp`, also as ``python -m xpmlp``."""

import sys


def main():
    """Run the command line; it ends alike by Ctrl-C while it is still being loaded."""
    try:
        from .cli import main as run
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
