"""`python -m voicecli` and the `voicecli` command."""

import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    from voicecli.cli import run

    sys.exit(run())


if __name__ == "__main__":
    main()
