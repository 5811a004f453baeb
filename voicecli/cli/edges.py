"""Choosing the edges of a talk: which microphone, which speaker, which kind of output."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Literal, TextIO

from voicecli import cli
from voicecli.config import Audio
from voicecli.errors import AudioDeviceError, ConfigError

if TYPE_CHECKING:
    from voicecli.audio.choosing import DeviceInfo, Kind
    from voicecli.audio.devices import AudioDevices
    from voicecli.audio.ports import Microphone, Speaker
    from voicecli.session import Screen

_OTHER_SOUND: Final = frozenset(
    {".aac", ".aif", ".aiff", ".flac", ".m4a", ".mka", ".mp3", ".mp4", ".oga", ".ogg", ".opus"}
    | {".webm", ".wma"}
)
"Files that are sound, but no WAV."

_NO_SOUND: Final = frozenset({".txt", ".md", ".json", ".pcm", ".raw"})
"Files that somebody may take for a microphone's by mistake, and no device's name ends like."


@dataclass(frozen=True)
class AudioEdges:
    """The two ends of the sound."""

    microphone: Microphone
    speaker: Speaker
    devices: AudioDevices | None = None
    "What one of them, or both, run on."


def is_wav(spec: str) -> bool:
    """Whether a microphone or speaker is meant to be a WAV file."""
    return spec.lower().endswith((".wav", ".wave"))


def is_file_like(spec: str) -> bool:
    """Whether a microphone comes to an end by itself."""
    return spec == "-" or is_wav(spec)


def is_device(spec: str) -> bool:
    """Whether a sound device is meant."""
    return spec != "none" and not is_file_like(spec)


@asynccontextmanager
async def open_audio(
    audio: Audio, microphone: Microphone | None = None, *, takes_back: bool = False
) -> AsyncIterator[AudioEdges]:
    """Open what the configuration names; devices are open (and heard) inside the block.

    Args:
        audio: the configuration.
        microphone: one that is there already, instead of the configured one, which is `none` then.
        takes_back: whether an interruption that was none is taken back.

    Raises:
        AudioDeviceError: a device or file cannot be opened.
    """
    devices = await _find_devices(audio, takes_back=takes_back)
    speaker = _speaker(audio.speaker, devices)
    edges = AudioEdges(microphone or _microphone(audio.mic, devices), speaker, devices)
    try:
        if devices is not None:
            await devices.open()
        yield edges
    finally:
        await edges.microphone.close()
        await edges.speaker.close()
        if devices is not None:
            await devices.close()
            if devices.is_abandoned:
                cli.leave_without_waiting()


async def _find_devices(audio: Audio, *, takes_back: bool) -> AudioDevices | None:
    if not (is_device(audio.mic) or is_device(audio.speaker)):
        return None
    from voicecli.audio.devices import DEFAULT_BLOCK_MS, NO_CANCELLER, AudioDevices
    from voicecli.audio.echo import choose_mode

    wanted = _wanted(audio)
    found = iter(await _found(audio, wanted))
    echo = choose_mode(audio.echo) if hears_itself(audio) else "off"
    devices = AudioDevices(
        next(found) if is_device(audio.mic) else None,
        next(found) if is_device(audio.speaker) else None,
        named=[kind for spec, kind in wanted if spec is not None],
        patience_s=audio.device_patience_s,
        block_ms=audio.block_ms or DEFAULT_BLOCK_MS,
        echo=echo,
        suppresses_noise=audio.noise_suppression and is_device(audio.mic),
        takes_back=takes_back,
    )
    if echo == "half-duplex" and audio.echo == "auto":
        devices.note(NO_CANCELLER)
    return devices


def _wanted(audio: Audio) -> list[tuple[int | str | None, Kind]]:
    """The devices that are meant, the microphone first."""
    wanted: list[tuple[int | str | None, Kind]] = []
    if is_device(audio.mic):
        wanted.append((_name(audio.mic), "input"))
    if is_device(audio.speaker):
        wanted.append((_name(audio.speaker), "output"))
    return wanted


async def _found(audio: Audio, wanted: Sequence[tuple[int | str | None, Kind]]) -> list[DeviceInfo]:
    from voicecli.audio.devices import find_devices

    _check_kinds(audio, _is_other_file)
    try:
        return await find_devices(*wanted)
    except AudioDeviceError:
        # A device's name may look like a path, so that devices come first.
        _check_kinds(audio, _may_be_file)
        raise


async def check_devices(audio: Audio) -> None:
    """See that the devices that are meant are there, without opening them.

    Raises:
        AudioDeviceError: one is not, or the sound server does not answer.
        ConfigError: a file is meant that is no WAV.
    """
    wanted = _wanted(audio)
    if wanted:
        await _found(audio, wanted)


def hears_itself(audio: Audio) -> bool:
    """Whether there may be an echo: files and pipes hear nothing."""
    return is_device(audio.mic) and is_device(audio.speaker)


def check_cleaning(audio: Audio) -> None:
    """See that there is what the microphone is to be cleaned with.

    Raises:
        ConfigError: it was asked for by name, and is not installed.
    """
    from voicecli.audio.echo import check_suppression, choose_mode

    if hears_itself(audio):
        choose_mode(audio.echo)
    if audio.noise_suppression and is_device(audio.mic):
        check_suppression()


def check_files(audio: Audio) -> None:
    """See that a microphone's file is there and is not the one that the speaker will write.

    Raises:
        AudioDeviceError: the file cannot be read.
        ConfigError: it would be overwritten, or a file is meant that is no WAV.
    """
    _check_kinds(audio, _is_other_file)
    if not is_wav(audio.mic):
        return
    heard = Path(audio.mic).expanduser()
    try:
        heard.open("rb").close()
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise AudioDeviceError(f"cannot read {str(heard)!r}: {reason}", "check the path") from exc
    written = Path(audio.speaker).expanduser()
    if is_wav(audio.speaker) and written.exists() and written.samefile(heard):
        raise ConfigError(
            f"{str(heard)!r} is both microphone and speaker", "it would be overwritten"
        )


def _check_kinds(audio: Audio, is_other: Callable[[str], bool]) -> None:
    """See that no file is meant that is no WAV.

    Raises:
        ConfigError: one is, as `is_other` has it.
    """
    if is_device(audio.mic) and is_other(audio.mic):
        raise ConfigError(f"the microphone {audio.mic!r} is no WAV file", _made_of(audio.mic))
    if is_device(audio.speaker) and is_other(audio.speaker):
        raise ConfigError(
            f"the speaker {audio.speaker!r} is no WAV file", _made_into(audio.speaker)
        )


def _is_other_file(spec: str) -> bool:
    """Whether it can only be a file: names of devices have no such ends and no such beginnings."""
    suffix = Path(spec).suffix.lower()
    is_path = spec.startswith(("/", "./", "../", "~")) and not spec.startswith("/dev/")
    if is_path or suffix in _OTHER_SOUND | _NO_SOUND:
        return True
    return suffix != "" and Path(spec).is_file()


def _may_be_file(spec: str) -> bool:
    """Whether a file may be meant where no device is called so."""
    is_path = "/" in spec or "\\" in spec
    return spec not in ("", "default") and (is_path or Path(spec).is_file())


def _made_of(spec: str) -> str:
    """How a file that is no WAV becomes a microphone."""
    path = Path(spec)
    if path.suffix.lower() not in _OTHER_SOUND:
        return "it takes a WAV file, a device by index or part of its name, - or none"
    wav = path.with_suffix(".wav")
    return f'make one: ffmpeg -i "{path}" "{wav}", or: sox "{path}" "{wav}"'


def _made_into(spec: str) -> str:
    """How the speaker's file becomes one that is no WAV."""
    path = Path(spec)
    if path.suffix.lower() not in _OTHER_SOUND:
        return "it takes a WAV file, a device by index or part of its name, - or none"
    wav = path.with_suffix(".wav")
    return f'name "{wav}", and then: ffmpeg -i "{wav}" "{path}", or: sox "{wav}" "{path}"'


def _name(spec: str) -> int | str | None:
    if spec in ("", "default"):
        return None
    return int(spec) if spec.isdecimal() else spec


def _microphone(spec: str, devices: AudioDevices | None) -> Microphone:
    if devices is not None and is_device(spec):
        return devices.microphone
    from voicecli.audio import files

    if spec == "-":
        return files.PipeMicrophone(_stdin())
    if spec == "none":
        return files.SilentMicrophone()
    return files.WavMicrophone(Path(spec).expanduser())


def _speaker(spec: str, devices: AudioDevices | None) -> Speaker:
    if devices is not None and is_device(spec):
        return devices.speaker
    from voicecli.audio import files

    # The one that microphones and timers go by, also where it does not run by itself.
    clock = asyncio.get_running_loop().time
    if spec == "-":
        return files.PipeSpeaker(_own_end(sys.stdout, "wb"), clock=clock)
    if spec == "none":
        return files.NullSpeaker(clock=clock)
    return files.WavSpeaker(Path(spec).expanduser(), clock=clock)


def _stdin() -> BinaryIO:
    if sys.platform != "win32":
        return _own_end(sys.stdin, "rb")
    from voicecli.audio.stdin import take_stdin

    return open(take_stdin(), "rb", closefd=False)


def _own_end(stream: TextIO, mode: Literal["rb", "wb"]) -> BinaryIO:
    """Another file on the same pipe.

    A thread may wait in it for ever. The interpreter flushes its own streams at the end, and aborts
    when a thread is inside one of them.
    """
    return open(stream.fileno(), mode, closefd=False)


def open_screen(*, as_json: bool, speaker: str) -> Screen:
    """Where the talk is shown: JSON lines, a drawn screen, or plain lines.

    Audio on stdout leaves stderr for everything else.

    Raises:
        ConfigError: JSON and audio both want stdout.
    """
    from voicecli.ui.lines import JsonLines, PlainLines, can_be_drawn_on

    if as_json and speaker == "-":
        raise ConfigError("--json and --speaker - both want stdout", "leave one of them out")
    if as_json:
        return JsonLines(sys.stdout.buffer)
    if speaker == "-":
        return PlainLines(sys.stderr, sys.stderr)
    if can_be_drawn_on(sys.stdout, os.environ):
        from voicecli.ui.screen import TerminalScreen

        return TerminalScreen()
    return PlainLines(sys.stdout, sys.stderr)
