"""`voicecli replay`: a recorded talk once more: seen and heard, checked, or held with another."""

from __future__ import annotations

import math
import sys
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from voicecli.cli.library import RecordingNames, library
from voicecli.errors import ConfigError

if TYPE_CHECKING:
    from voicecli.cli.replaying import Sound
    from voicecli.recording.files import Recording
    from voicecli.recording.playing.player import Wanted

_PLAY = "Playing"
_CHECK = "Checking"
_AGAINST = "Against another server"


def _option(*names: str, help: str, panel: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False, **more)


def replay_command(
    recordings: RecordingNames,
    speaker: Annotated[
        str | None,
        _option(
            "--speaker",
            panel=_PLAY,
            help="A device by index or part of its name, a WAV file, - (raw PCM16 24 kHz on "
            "stdout), or none. Default: the default device, if there is one.",
        ),
    ] = None,
    no_audio: Annotated[
        bool, _option("--no-audio", panel=_PLAY, help="Play without sound, in its time.")
    ] = False,
    speed: Annotated[
        float,
        _option(
            "--speed", panel=_PLAY, min=0.5, max=8.0, help="0.5 to 8 times as fast; pitch is kept."
        ),
    ] = 1.0,
    begin: Annotated[
        str | None,
        _option("--from", panel=_PLAY, metavar="TIME", help="Begin there: seconds or m:ss."),
    ] = None,
    end: Annotated[
        str | None, _option("--to", panel=_PLAY, metavar="TIME", help="End there.")
    ] = None,
    turn: Annotated[
        int | None, _option("--turn", panel=_PLAY, help="Begin at this turn of the user's.")
    ] = None,
    idle_limit: Annotated[
        float | None,
        _option(
            "--idle-limit",
            panel=_PLAY,
            min=0.0,
            metavar="SECONDS",
            help="Where nobody speaks and nothing is heard for longer, go on after so long.",
        ),
    ] = None,
    only: Annotated[
        str | None, _option("--only", panel=_PLAY, help="Hear one side: user or assistant.")
    ] = None,
    step: Annotated[
        bool, _option("--step", panel=_PLAY, help="Stop before each turn; space goes on.")
    ] = False,
    check: Annotated[
        bool,
        _option(
            "--check",
            panel=_CHECK,
            help="Compute everything again and compare: exit code 1 if anything differs.",
        ),
    ] = False,
    as_json: Annotated[
        bool,
        _option(
            "--json",
            panel=_CHECK,
            help="The lines of talk --json (docs/json.md), as fast as possible.",
        ),
    ] = False,
    against: Annotated[
        str | None,
        _option(
            "--against",
            panel=_AGAINST,
            metavar="SERVER",
            help="Let the recorded user talk to this server; as talk --server takes it.",
        ),
    ] = None,
    model: Annotated[str | None, _option("--model", panel=_AGAINST, help="Its model.")] = None,
    timing: Annotated[
        str | None,
        _option(
            "--timing",
            panel=_AGAINST,
            help="turns: the user waits for each answer, as then (the default); original: the "
            "recorded clock.",
        ),
    ] = None,
    jobs: Annotated[
        int | None, _option("--jobs", panel=_AGAINST, min=1, help="Talks at the same time.")
    ] = None,
    fast: Annotated[
        bool,
        _option(
            "--fast",
            panel=_AGAINST,
            help="As fast as the machine can, with the same results: --against local only. "
            "Latencies are without the models' time.",
        ),
    ] = False,
    expect: Annotated[
        Path | None,
        _option(
            "--expect",
            panel=_AGAINST,
            metavar="SCRIPT",
            help="What is expected of the new talk: the expectations of a demo script. Default: "
            "expect.toml in the recording's folder, if there is one.",
        ),
    ] = None,
    record: Annotated[
        str | None,
        _option(
            "--record",
            panel=_AGAINST,
            metavar="[PATH]",
            help="Where the new talks are recorded: a folder, or among your recordings.",
        ),
    ] = None,
    profile: Annotated[
        str | None, _option("--profile", panel=_AGAINST, help="A profile of the configuration.")
    ] = None,
    config: Annotated[
        Path | None, _option("--config", panel=_AGAINST, help="A configuration file of its own.")
    ] = None,
) -> None:
    """Play a recording: the same screen, both sides heard. RECORDING may be `last`.

      voicecli replay last --turn 3 --speed 1.5

    Keys: space pause, left and right 5 s, up and down by turn, n p by marker, + - speed, ? help, q
    quit. In a pipe the lines of the talk are printed at once.
    """
    from voicecli.recording.shelf.library import find_all

    paths = find_all(recordings, library())
    if check and against is not None:
        raise ConfigError(
            "--check and --against exclude each other", "check what --against has recorded"
        )
    if check or against is not None:
        _refuse_playing(
            "--check" if check else "--against", speaker=speaker if check else None,
            no_audio=no_audio, speed=speed != 1.0, begin=begin, end=end, turn=turn,
            idle_limit=idle_limit, only=only, step=step,
        )  # fmt: skip
    if against is not None:
        _check_timing(timing)
        from voicecli.cli.against import run_against

        code = run_against(
            paths, server=against, model=model, timing=timing or "turns", jobs=jobs or 1,
            record=record, speaker=speaker, as_json=as_json, is_fast=fast, expect=expect,
            profile=profile, config=config,
        )  # fmt: skip
        raise typer.Exit(code)
    _refuse_without_against(
        model=model, timing=timing, jobs=jobs, fast=fast or None, expect=expect, record=record
    )
    if check:
        from voicecli.cli.checking import check_all

        raise typer.Exit(check_all(paths, as_json=as_json))
    if len(paths) > 1:
        raise ConfigError(
            "one recording is played at a time", "several go with --check and with --against"
        )
    if no_audio and speaker not in (None, "none"):
        raise ConfigError("--no-audio and --speaker exclude each other", "leave one of them out")
    from voicecli.recording.files import Recording

    with Recording.open(paths[0]) as recording:
        wanted = _wanted(
            recording, begin=begin, end=end, turn=turn, speed=speed, idle_limit=idle_limit,
            only=only, step=step,
        )  # fmt: skip
        _replay(recording, wanted, "none" if no_audio else speaker, profile, config, as_json)


def _check_timing(timing: str | None) -> None:
    if timing not in (None, "turns", "original"):
        raise ConfigError(f"unknown --timing {timing!r}", "it is one of turns, original")


_PLAYED_NAMES = {"begin": "from", "end": "to"}


def _refuse_playing(instead: str, **given: object) -> None:
    """Refuse what says how to play a recording where none is played."""
    for name, value in given.items():
        if value is not None and value is not False:
            option = _PLAYED_NAMES.get(name, name).replace("_", "-")
            raise ConfigError(
                f"--{option} is for playing, and {instead} plays nothing", "leave one of them out"
            )


def _refuse_without_against(**given: object) -> None:
    for name, value in given.items():
        if value is not None:
            raise ConfigError(
                f"--{name} goes with --against only",
                "name the server that the recorded user shall talk to: --against SERVER",
            )


def _wanted(
    recording: Recording,
    *,
    begin: str | None,
    end: str | None,
    turn: int | None,
    speed: float,
    idle_limit: float | None,
    only: str | None,
    step: bool,
) -> Wanted:
    """What was asked for, checked against the recording."""
    from voicecli.recording.playing.pace import clock_text, seconds_of
    from voicecli.recording.playing.places import Places
    from voicecli.recording.playing.player import Wanted

    if only not in (None, "user", "assistant"):
        raise ConfigError(f"unknown --only {only!r}", "it is one of user, assistant")
    if math.isnan(speed) or (idle_limit is not None and math.isnan(idle_limit)):
        raise ConfigError("--speed and --idle-limit want a number", "nan is none")
    if begin is not None and turn is not None:
        raise ConfigError("--from and --turn exclude each other", "leave one of them out")
    from_s = 0.0 if begin is None else seconds_of(begin, "--from")
    if turn is not None:
        from_s = Places(recording).route.turn(turn)
    to_s = None if end is None else seconds_of(end, "--to")
    duration = recording.duration_s
    if from_s > 0 and from_s >= duration:
        raise ConfigError(f"--from {begin} is behind the end", f"it ends at {clock_text(duration)}")
    if to_s is not None and to_s <= from_s:
        raise ConfigError(
            f"--to {end} is before the beginning", f"it begins at {clock_text(from_s)}"
        )
    return Wanted(
        from_s=from_s,
        to_s=to_s if to_s is not None and to_s < duration else None,
        speed=speed,
        idle_limit_s=idle_limit,
        only=cast("Literal['user', 'assistant'] | None", only),
        stops_at_turns=step,
    )


def _replay(
    recording: Recording,
    wanted: Wanted,
    speaker: str | None,
    profile: str | None,
    file: Path | None,
    as_json: bool,
) -> None:
    """Play it, or tell it, whatever suits where it goes."""
    import asyncio
    import os

    from voicecli.cli import replaying
    from voicecli.cli.edges import open_screen
    from voicecli.recording.playing.ending import ending_of
    from voicecli.ui.lines import can_be_drawn_on

    is_drawn = not as_json and speaker != "-" and can_be_drawn_on(sys.stdout, os.environ)
    if is_drawn:
        from voicecli.ui.replay_screen import ReplayScreen

        sound = _sound(speaker, profile, file)
        _run_with(sound, replaying.play(recording, wanted, sound, ReplayScreen()))
    else:
        view = replaying.LinesView(open_screen(as_json=as_json, speaker=speaker or "none"))
        if speaker is None or speaker == "none":
            asyncio.run(replaying.tell_all(recording, wanted, view))
            for warning in recording.warnings:
                replaying.warn(warning)
        else:
            sound = replaying.Sound(speaker, is_asked_for=True)
            # Without a keyboard it could not go on.
            wanted = replace(wanted, stops_at_turns=False)
            _run_with(sound, replaying.play(recording, wanted, sound, view))
    error = ending_of(recording).error
    if error and wanted.to_s is None:
        replaying.warn(f"the talk had ended with an error: {error}")


def _sound(speaker: str | None, profile: str | None, file: Path | None) -> Sound:
    """What was asked for; else the speaker of the configuration, if that is a device."""
    from voicecli import config
    from voicecli.cli.edges import is_device
    from voicecli.cli.replaying import Sound

    if speaker is not None:
        return Sound(speaker, is_asked_for=True)
    usual = config.load({}, path=file, profile=profile).config.audio.speaker
    return Sound(usual if is_device(usual) else "none")


def _run_with(sound: Sound, work: Coroutine[Any, Any, None]) -> None:
    """Run a replay; what C libraries print must not get into its picture."""
    import asyncio
    from contextlib import ExitStack

    from voicecli.cli.edges import is_device

    with ExitStack() as stack:
        if is_device(sound.speaker):
            from voicecli.audio.devices import quiet_stderr

            stack.enter_context(quiet_stderr())
        asyncio.run(work)
