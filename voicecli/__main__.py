"""`python -m voicecli` and the `voicecli` command."""

import sys

EXIT_INTERRUPTED = 130


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        from voicecli import cli

        cli.main()
    except KeyboardInterrupt:  # while the command line itself was being loaded
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
