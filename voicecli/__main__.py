"""`python -m voicecli` and the `voicecli` command."""


def main() -> None:
    """Run the command line and leave with its exit code."""
    from voicecli import cli

    cli.main()


if __name__ == "__main__":
    main()
