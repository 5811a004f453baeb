"""The command line: one file a command; it parses, opens edges, wires them, and maps errors.

Nothing heavy is imported before a command runs, so that `voicecli --help` is instant.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Final, NoReturn

import typer

from voicecli.cli.config import config_command
from voicecli.cli.demo import demo_command
from voicecli.cli.devices import devices_command
from voicecli.cli.doctor import doctor_command
from voicecli.cli.models import app as models_app
from voicecli.cli.recordings import app as recordings_app
from voicecli.cli.replay import replay_command
from voicecli.cli.serve import serve_command
from voicecli.cli.talk import talk_command
from voicecli.errors import VoicecliError

app = typer.Typer(
    name="voicecli",
    help="Talk to a machine from a shell.",
    epilog="Start with: voicecli talk. Without an API key it runs on your own machine.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("talk")(talk_command)
app.command("replay")(replay_command)
app.command("demo")(demo_command)
app.command("serve")(serve_command)
app.command("devices")(devices_command)
app.command("doctor")(doctor_command)
app.command("config")(config_command)
app.add_typer(recordings_app, name="recordings")
app.add_typer(models_app, name="models")


def _show_version(wanted: bool) -> None:
    if wanted:
        from voicecli import __version__

        typer.echo(f"voicecli {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Show the traceback of an error.", envvar="VOICECLI_DEBUG"),
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    del version
    # `VOICECLI_DEBUG=0` is no debugging either.
    os.environ.pop("VOICECLI_DEBUG", None)
    if debug:
        os.environ["VOICECLI_DEBUG"] = "1"


def run() -> int:
    """Run the command that the arguments name; gives the exit code."""
    _open_what_is_closed()
    _let_write_all_text(os.environ)
    try:
        try:
            app(args=with_empty_values(sys.argv[1:]))
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except OSError as exc:
        return _output_failed(exc)
    except VoicecliError as exc:
        if os.environ.get("VOICECLI_DEBUG"):
            _show_traceback()
        tell_error(exc)
        return exc.exit_code
    except SystemExit as exc:  # typer leaves so, after Ctrl-C (130) and a closed pipe (1) too
        return exc.code if isinstance(exc.code, int) else 1
    return 0


def _open_what_is_closed() -> None:
    """Give streams that the program was started without a place where nothing is kept.

    The first file opened would take the stream's number otherwise, and get what is meant for it.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def _let_write_all_text(environ: Mapping[str, str]) -> None:
    """No word and no name may be too strange for stdout and stderr.

    What Windows writes to pipes and files knows some two hundred characters, and JSON has to be
    UTF-8. Elsewhere the locale decides, and what it lacks becomes a question mark.
    """
    chosen = bool(environ.get("PYTHONIOENCODING"))
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper) or stream.encoding.lower() == "utf-8":
            continue
        # The second is what Python chooses where the locale is C.
        errors = "replace" if stream.errors in ("strict", "surrogateescape") else stream.errors
        if sys.platform == "win32" and not chosen:
            stream.reconfigure(encoding="utf-8", errors=errors)
        else:
            stream.reconfigure(errors=errors)


def _output_failed(exc: OSError) -> int:
    """Stdout could not be written: a full disk, a closed descriptor. Other errors are raised."""
    if sys.platform == "win32" and exc.errno == _WINDOWS_READER_IS_GONE and exc.filename is None:
        sys.stdout = None
        return 1  # As typer leaves where this is a broken pipe.
    if exc.errno not in _OUTPUT_ERRORS or exc.filename is not None:
        raise exc
    # What is left of it must not fail again when the interpreter ends.
    sys.stdout = None
    tell_error(VoicecliError(f"cannot write the output: {exc.strerror}"))
    return VoicecliError.exit_code


_WINDOWS_READER_IS_GONE: Final = errno.EINVAL
_OUTPUT_ERRORS: Final = frozenset({errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EBADF, errno.EPIPE})

_MAY_STAND_ALONE: Final = frozenset({"--record"})


def with_empty_values(arguments: Sequence[str]) -> list[str]:
    """The arguments, with an empty value for each option that may stand without one.

    What follows such an option is its value, unless it is an option itself.
    """
    given: list[str] = []
    for position, argument in enumerate(arguments):
        following = arguments[position + 1 : position + 2]
        given.append(argument)
        stands_alone = not following or (following[0].startswith("-") and following[0] != "-")
        if argument in _MAY_STAND_ALONE and stands_alone:
            given.append("")
    return given


_is_hanging = False


def leave_without_waiting() -> None:
    """From now on the end of the program waits for no thread: one hangs in a sound server."""
    global _is_hanging
    _is_hanging = True


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    code = run()
    if _is_hanging:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _show_traceback() -> None:
    import traceback

    from voicecli.ui.clean import clean

    sys.stderr.write("".join(f"{clean(line)}\n" for line in traceback.format_exc().splitlines()))


def tell_error(error: VoicecliError) -> None:
    """The fact and what to do about it, on stderr; text from outside is made harmless."""
    from voicecli.ui.clean import clean

    sys.stderr.write(f"voicecli: {clean(error.message, one_line=True)}\n")
    if error.hint:
        sys.stderr.write(f"  {clean(error.hint, one_line=True)}\n")
