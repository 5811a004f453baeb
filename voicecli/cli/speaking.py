"""What the scripts of a demo have to be heard, made before anything begins."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from voicecli.demo.run import Sound, sound_of
from voicecli.demo.steps import (
    Interrupt,
    Noise,
    Press,
    RecordedSpeech,
    Say,
    Script,
    Speech,
    WavSpeech,
    Words,
)
from voicecli.errors import AudioDeviceError, ConfigError, VoicecliError

if TYPE_CHECKING:
    from voicecli.engine.voices.voices import HibariVoice
    from voicecli.recording.rerun.turns import User

_Thing = TypeVar("_Thing")

USER_VOICES: Final = ("echo", "shimmer")
"One of them speaks for the user: the one that is less like the assistant's."


@dataclass(frozen=True)
class Repertoire:
    """The sounds of one script; satisfies `demo.run.Sounds`."""

    _speech: Mapping[Speech, Sound] = field(repr=False)
    _noises: Mapping[Noise, bytes] = field(repr=False)

    def speech(self, speech: Speech) -> Sound:
        return self._speech[speech]

    def noise(self, noise: Noise) -> bytes:
        return self._noises[noise]


def prepare(scripts: Sequence[Script], voices: Sequence[str]) -> list[Repertoire]:
    """Make every sound of the scripts, with a bar at a terminal if there is much to do.

    Args:
        scripts: to be played.
        voices: of each script the assistant's, as far as it is known.

    Returns:
        The sounds of each script.

    Raises:
        VoicecliError: a file or a recording cannot be read, or the local voice is missing.
    """
    speeches = [_places(_speeches(script)) for script in scripts]
    noises = [_places(_noises(script)) for script in scripts]
    studio = _Studio()
    with _bar(sum(map(len, speeches)) + sum(map(len, noises))) as bar:
        made = []
        for script, voice, said, heard in zip(scripts, voices, speeches, noises, strict=True):
            speaker = script.user_voice or unlike(voice)
            sounds, rushing = {}, {}
            for speech in bar.passing(said):
                with _told_at(said[speech]):
                    sounds[speech] = studio.sound(speech, speaker)
            levels = [sound.pcm for sound in sounds.values()]
            for noise in bar.passing(heard):
                with _told_at(heard[noise]):
                    rushing[noise] = studio.noise(noise, levels)
            made.append(Repertoire(sounds, rushing))
    return made


def _places(used: Iterable[tuple[_Thing, str]]) -> dict[_Thing, str]:
    """What is used, once, and where that is the first time."""
    places: dict[_Thing, str] = {}
    for one, place in used:
        places.setdefault(one, place)
    return places


@contextmanager
def _told_at(place: str) -> Iterator[None]:
    """What goes wrong is told with its place, like every mistake in a script."""
    try:
        yield
    except VoicecliError as exc:
        exc.message = f"{place}: {exc.message}"
        raise


def unlike(voice: str) -> str:
    """A local voice for the user that differs from the assistant's."""
    from voicecli.engine.voices.voices import VOICES

    assistant = VOICES.get(voice, 1.0)
    return max(USER_VOICES, key=lambda name: abs(VOICES[name] - assistant))


def _speeches(script: Script) -> Iterator[tuple[Speech, str]]:
    """What is said, and where the script has it."""
    for step in script.steps:
        within, verb = "", step.verb
        if isinstance(verb, Interrupt):
            within, verb = "interrupt.", verb.act
        if isinstance(verb, Say | Press) and verb.speech is not None:
            key = "say" if isinstance(verb, Say) else "press.say"
            yield verb.speech, f"{step.place}: {within}{key}"


def _noises(script: Script) -> Iterator[tuple[Noise, str]]:
    """What noise there is, and where the script has it."""
    for step in script.steps:
        if isinstance(step.verb, Noise):
            yield step.verb, f"{step.place}: noise"


class _Studio:
    """Speaks and reads; nothing is made twice."""

    def __init__(self) -> None:
        self._voice: HibariVoice | None = None
        self._sounds: dict[tuple[Speech, str], Sound] = {}
        self._users: dict[str, User] = {}
        self._babble = b""

    def sound(self, speech: Speech, speaker: str) -> Sound:
        key = (speech, speaker)
        if key not in self._sounds:
            self._sounds[key] = self._made(speech, speaker)
        return self._sounds[key]

    def _made(self, speech: Speech, speaker: str) -> Sound:
        match speech:
            case Words(text, voice):
                return sound_of(self._spoken(text, voice or speaker))
            case WavSpeech(path):
                return sound_of(_wav(path))
            case RecordedSpeech(recording, turn):
                return self._recorded(recording, turn)

    def _spoken(self, text: str, voice: str) -> bytes:
        if self._voice is None:
            from voicecli.engine.voices.voices import HibariVoice

            self._voice = HibariVoice()
        pcm = b"".join(self._voice.speak(text, voice=voice))
        if not pcm:
            raise ConfigError(f"the local voice cannot speak {text!r}", "write it in English words")
        return pcm

    def _recorded(self, name: str, turn: int) -> Sound:
        from voicecli.cli.library import library
        from voicecli.demo.transcribed import spoken_turns
        from voicecli.recording.files import Recording
        from voicecli.recording.rerun.turns import user_of
        from voicecli.recording.shelf.library import find

        path = find(name, library())
        with Recording.open(path) as recording:
            key = str(path)
            if key not in self._users:
                self._users[key] = user_of(recording)
            turns = spoken_turns(self._users[key])
            if turn > len(turns):
                raise ConfigError(
                    f"the recording {name!r} has no turn {turn} that was spoken",
                    f"it has {len(turns)}",
                )
            wanted = turns[turn - 1]
            pcm = b"".join(map(recording.user_sound, wanted.sounds))
        return Sound(pcm, wanted.lead_s, wanted.voice_s)

    def noise(self, noise: Noise, speech: Sequence[bytes]) -> bytes:
        """The noise as loud as it is to be."""
        from voicecli.demo import noises

        match noise.kind:
            case "off":
                return b""
            case "white":
                pcm = noises.white()
            case "pink":
                pcm = noises.pink()
            case "cough":
                pcm = noises.cough()
            case "babble":
                pcm = self._babbling()
            case "wav":
                pcm = _wav(noise.path) if noise.once else noises.looped(_wav(noise.path))
        return noises.scaled(pcm, speech, noise.snr_db)

    def _babbling(self) -> bytes:
        from voicecli.demo import noises

        if not self._babble:
            self._babble = noises.babble(
                [self._spoken(text, voice) for voice, text in noises.BABBLE]
            )
        return self._babble


def _wav(path: str) -> bytes:
    from voicecli.audio.pcm import WIRE_RATE_HZ
    from voicecli.audio.resample import convert
    from voicecli.audio.wav import decode_wav

    try:
        sound = decode_wav(Path(path).read_bytes())
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise AudioDeviceError(f"cannot read {path!r}: {reason}", "check the path") from exc
    except ValueError as exc:
        raise AudioDeviceError(f"cannot read {path!r}: {exc}", "it is to be a WAV file") from exc
    return convert(sound.pcm, sound.rate_hz, WIRE_RATE_HZ)


@dataclass(frozen=True)
class _Bar:
    """Shows how much has been made."""

    advance: Callable[[], None]

    def passing(self, ones: Iterable[_Thing]) -> Iterator[_Thing]:
        for one in ones:
            yield one
            self.advance()


@contextmanager
def _bar(count: int) -> Iterator[_Bar]:
    """Calls what makes a sound, and shows how many there are still to make."""
    if count < 2 or not sys.stderr.isatty():
        yield _Bar(lambda: None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("[dim]learning the lines"), BarColumn(bar_width=24))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=count)
        yield _Bar(lambda: progress.advance(task))


def local_voices() -> tuple[str, ...]:
    """The names that a script may give to a voice."""
    from voicecli.engine.voices.voices import VOICES

    return tuple(VOICES)
