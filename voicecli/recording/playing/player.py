"""A recording played: what is shown by a time, what is heard at it, and the way between times.

Theory. Two folds go through the same recording. One runs ahead, so far that all that sounds at a
time is known when that time is heard, and lays sound out block by block. The other is stepped when
its time comes, and its conversation is what the screen draws. What time it is, the outlet tells:
with a speaker it is the sample that has just left it, so what is seen and what is heard cannot
drift apart.

Nothing here waits: `Player.tick` is called again and again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

from voicecli.audio.pcm import WIRE_RATE_HZ, level_dbfs, samples_in
from voicecli.audio.playback import Heard
from voicecli.audio.stretch import Stretcher
from voicecli.conversation import Conversation
from voicecli.errors import RecordingError
from voicecli.recording.fold import Fold, Step
from voicecli.recording.format import Entry, frame_of
from voicecli.recording.heard import LATEST_S, HeardAudio, Piece, Side
from voicecli.recording.playing.pace import Idle, Route, Timeline
from voicecli.recording.playing.places import BEGINNING, Place, Places, Searchable
from voicecli.recording.playing.room import Room
from voicecli.recording.playing.sounding import Sounding
from voicecli.recording.shapes import DAMAGED_LINES
from voicecli.ui.meters import SILENCE_DBFS

QUEUED_S: Final = 0.25
"So much sound waits at the speaker: a loop that is late for less is not heard."

BLOCK_S: Final = 0.02

MOST_ENTRIES: Final = 1000
"Read in one tick at most, so that a long idle stretch does not hold up the keys."

NEAR_S: Final = 60.0
"Going forward no farther than this, nothing is left out of the transcript."

_BEFORE_VOICE_S: Final = 0.3
"The voice is noticed a little late; an idle stretch ends so long before."
_AFTER_SOUND_S: Final = 0.2
_AN_INSTANT_S: Final = 1e-6
"Less than a sample: sums of times are not exact."

State: TypeAlias = Literal["playing", "paused", "ended"]


class Outlet(Protocol):
    """Where what is played goes, and the clock that says how much of it has been."""

    def begin(self) -> None:
        """A new stretch begins; what was queued has been stopped."""

    def put(self, pcm: bytes, seconds: float) -> None:
        """Queue so many seconds; without sound `pcm` is empty."""

    def finish(self) -> None:
        """The stretch is complete."""

    def stop(self) -> float:
        """Fall silent; how much of the stretch has been played."""

    @property
    def played_s(self) -> float:
        """How much of the stretch has been played by now."""


class Recorded(Searchable, Protocol):
    """What is needed of a recording."""

    warnings: list[str]

    @property
    def duration_s(self) -> float: ...


# ------------------------------------------------------------------------------------- the folds


class Entries:
    """Entries one after the other, up to a time."""

    def __init__(self, entries: Iterator[Entry]) -> None:
        self._entries = entries
        self._next: Entry | None = None
        self._is_begun = False

    @property
    def next_at(self) -> float:
        """Time of the next one; infinity at the end."""
        if not self._is_begun:
            self._is_begun = True
            self._next = next(self._entries, None)
        return math.inf if self._next is None else self._next.at

    def until(self, at: float, most: int | None = None) -> Iterator[Entry]:
        """All up to a time, this included; no more than `most`."""
        while self.next_at <= at and (entry := self._next) is not None and most != 0:
            self._next = next(self._entries, None)
            most = None if most is None else most - 1
            yield entry


class Shown:
    """The fold whose conversation is seen.

    Args:
        recording: read from a place on.
        place: where to begin.
    """

    def __init__(self, recording: Recorded, place: Place = BEGINNING) -> None:
        self.place = place
        self.at = place.at
        self.lost_frames = 0
        self._recording = recording
        self._fold = place.fold(recording)
        self._sounding = Sounding()
        entries = recording.entries(place.position)
        self._entries = Entries(self._sounding.read_ahead(entries))
        self._frame: Entry | None = None

    @property
    def conversation(self) -> Conversation:
        return self._fold.conversation

    def until(self, at: float) -> Iterator[Step]:
        """Every step up to a time."""
        for entry in self._entries.until(at):
            if entry.code == "lost":
                self.lost_frames += int(entry.value(0) or 0)
            elif entry.code == "mic":
                self._frame = entry
            step = _taken(self._fold, entry, self._recording.warnings, audio=False)
            if step is not None:
                self._sounding.stepped(step.an_input)
                yield step
        self.at = max(self.at, at)

    def heard(self, at: float) -> tuple[Heard, ...]:
        """What has left the speaker by then."""
        return self._sounding.heard(at)

    @property
    def level_dbfs(self) -> float:
        """Of the microphone's last frame."""
        if self._frame is None:
            return SILENCE_DBFS
        pcm = self._recording.audio_of(self._frame)
        return level_dbfs(pcm) if pcm else SILENCE_DBFS


class Ahead:
    """The reader that runs ahead: finds what sounds, and when.

    Args:
        recording: read from a place on.
        place: where to begin.
        audible_from: what sounds before is not asked for.
        idle: learns when something is heard.
        with_sound: make the sound itself, too.
        only: leave the other side out.
    """

    def __init__(
        self,
        recording: Recorded,
        place: Place,
        audible_from: float,
        idle: Idle,
        *,
        with_sound: bool,
        only: Side | None,
    ) -> None:
        self.room = Room()
        self.read_s = place.at
        self.audible_from = audible_from
        self._warnings = recording.warnings
        self._entries = Entries(recording.entries(place.position))
        self._fold = place.fold(recording) if with_sound else None
        self._heard = HeardAudio()
        self._idle = idle
        self._only = only

    @property
    def known_s(self) -> float:
        """All that sounds before is known."""
        return math.inf if self._entries.next_at == math.inf else self.read_s - LATEST_S

    def read_until(self, at: float, most: int | None = None) -> None:
        """Read on up to a time."""
        for entry in self._entries.until(at, most):
            self.read_s = entry.at
            for side, begins, ends in _sounds(entry):
                if self._only in (None, side):
                    self._idle.active(begins, ends)
            if self._fold is not None:
                self._hear(entry)

    def forget(self, before_s: float) -> None:
        """What sounded before is not asked for any more."""
        self.audible_from = max(self.audible_from, before_s)
        self.room.forget(round(before_s * WIRE_RATE_HZ))
        self._idle.forget(before_s)

    def _hear(self, entry: Entry) -> None:
        assert self._fold is not None
        is_audible = entry.at >= self.audible_from
        step = _taken(self._fold, entry, self._warnings, audio=is_audible)
        for piece in [] if step is None else self._heard.step(step):
            if self._is_wanted(piece):
                self.room.put(piece)

    def _is_wanted(self, piece: Piece) -> bool:
        is_late_enough = piece.end > self.audible_from * WIRE_RATE_HZ
        return is_late_enough and self._only in (None, piece.side)


def _taken(fold: Fold, entry: Entry, warnings: list[str], *, audio: bool) -> Step | None:
    """One step; a line that is damaged beyond use is passed over, with a warning."""
    try:
        return fold.take(entry, audio=audio)
    except RecordingError:
        if DAMAGED_LINES not in warnings:
            warnings.append(DAMAGED_LINES)
        return None


def _sounds(entry: Entry) -> Iterator[tuple[Side | None, float, float]]:
    """When something is heard, or done, by what a line tells."""
    if entry.code == "mic":
        if frame_of(entry).voice:
            yield "user", entry.at - _BEFORE_VOICE_S, entry.at + _AFTER_SOUND_S
    elif entry.code == "emitted" and len(entry.values) >= 5:
        samples, sounds_at = entry.value(3), entry.value(4)
        yield "assistant", sounds_at, sounds_at + samples / WIRE_RATE_HZ + _AFTER_SOUND_S
    elif entry.code in ("typed", "key"):
        yield None, entry.at, entry.at


# ------------------------------------------------------------------------------------ the player


@dataclass(frozen=True)
class Wanted:
    """How a recording is to be played."""

    from_s: float = 0.0
    to_s: float | None = None
    speed: float = 1.0
    idle_limit_s: float | None = None
    only: Side | None = None
    stops_at_turns: bool = False


class Player:
    """Plays one recording.

    Args:
        recording: read by both folds.
        wanted: how.
        outlet: where it is played, and the clock of it.
        with_sound: whether the outlet wants sound.
    """

    def __init__(
        self, recording: Recorded, wanted: Wanted, outlet: Outlet, *, with_sound: bool
    ) -> None:
        self._recording = recording
        self._wanted = wanted
        self._outlet = outlet
        self._with_sound = with_sound
        self._places = Places(recording)
        self.speed = wanted.speed
        self.state: State = "paused"
        self.ends_at = min(recording.duration_s, _or(wanted.to_s, math.inf))
        self.shown = Shown(recording, self._place_for(wanted.from_s))
        self._ahead: Ahead | None = None
        self._idle = Idle(wanted.idle_limit_s)
        self._began_at = _on_sample(min(wanted.from_s, self.ends_at))
        self._timeline = Timeline(self._began_at, self.speed)
        self._stretcher = Stretcher(self.speed)
        self._queued_s = 0.0
        self._is_laid = False
        self._goes_until = math.inf
        "Where it stops by itself before the end: at the next turn."

    @property
    def route(self) -> Route:
        """The turns, to go along."""
        return self._places.route

    @property
    def at(self) -> float:
        """The recorded time that is heard now."""
        if self.state == "playing":
            return self._timeline.recorded(self._outlet.played_s)
        return self._began_at if self.state == "paused" else self.ends_at

    def replace_outlet(self, outlet: Outlet, *, with_sound: bool) -> None:
        """Go on elsewhere: the speaker has come, or is gone. Only while it is paused."""
        self._outlet = outlet
        self._with_sound = with_sound
        self._ahead = None

    # ---------------------------------------------------------------------------------- the keys

    def play(self) -> None:
        """Go on from where it stands."""
        if self.state == "playing":
            return
        if self._began_at >= self.ends_at - BLOCK_S / 2:
            self.state = "ended"
            return
        self._timeline = Timeline(self._began_at, self.speed)
        self._stretcher = Stretcher(self.speed)
        self._queued_s = 0.0
        self._is_laid = False
        self._goes_until = math.inf
        if self._wanted.stops_at_turns:
            self._goes_until = _or(self.route.following(self._began_at), math.inf)
        self._ready_ahead(self._began_at)
        self.state = "playing"
        self._outlet.begin()

    def pause(self) -> None:
        """Fall silent, and stand still."""
        if self.state == "playing":
            at = self._timeline.recorded(self._outlet.stop())
            self.state = "paused"
            self._began_at = _on_sample(at)

    def set_speed(self, speed: float) -> None:
        """Go on at another speed."""
        was_playing = self.state == "playing"
        self.pause()
        self.speed = speed
        if was_playing:
            self.play()

    def seek(self, at: float) -> bool:
        """Go elsewhere, and stand still there.

        Returns:
            Whether the transcript was begun anew: rows that were shown before are not in it.
        """
        self.pause()
        self.state = "paused"
        self._began_at = _on_sample(min(max(0.0, at), self.ends_at))
        place = self._place_for(self._began_at)
        is_near = self.shown.at <= self._began_at < self.shown.at + NEAR_S
        if is_near or place.at <= self.shown.at <= self._began_at:
            return False
        self.shown = Shown(self._recording, place)
        return True

    def catch_up(self) -> Iterator[Step]:
        """The steps of the shown fold up to where it stands."""
        yield from self.shown.until(self.at)

    # ---------------------------------------------------------------------------------- the ticks

    def tick(self) -> None:
        """Queue what comes next; at the end, stop."""
        if self.state != "playing":
            return
        while self._queued_s - self._outlet.played_s < QUEUED_S and self._lay():
            pass
        if self._ahead is not None:
            self._ahead.forget(self.at - BLOCK_S)
        if self._is_laid and self._outlet.played_s >= self._queued_s - _AN_INSTANT_S:
            self._arrived()

    def _arrived(self) -> None:
        at = self._timeline.laid_s
        self._outlet.stop()
        self._began_at = _on_sample(at)
        self.state = "paused" if at < self.ends_at - BLOCK_S / 2 else "ended"

    def _lay(self) -> bool:
        """Lay one block out; False if it has to wait, or there is none."""
        if self._is_laid or self._ahead is None:
            return False
        end = min(self.ends_at, self._goes_until)
        laid = self._timeline.laid_s
        self._ahead.read_until(laid + LATEST_S + QUEUED_S + BLOCK_S, MOST_ENTRIES)
        following = self._next_kept(laid, end)
        if following > laid and following >= min(self._ahead.known_s, end):
            # Nothing that is known is worth hearing: look further.
            self._ahead.read_until(math.inf, MOST_ENTRIES)
            following = self._next_kept(laid, end)
        known = self._ahead.known_s
        if following > laid:
            self._timeline.cut_to(following)
        samples = round(min(BLOCK_S, end - following) * WIRE_RATE_HZ)
        if samples <= 0:
            self._is_laid = True
            self._put(self._stretcher.finish(), 0.0)
            self._outlet.finish()
            return False
        if known < following + BLOCK_S:
            return False
        seconds = samples / WIRE_RATE_HZ
        sound = b""
        if self._with_sound:
            mixed = self._ahead.room.mixed(round(following * WIRE_RATE_HZ), samples)
            sound = self._stretcher.push(mixed)
        self._timeline.lay(seconds)
        self._put(sound, seconds)
        return True

    def _next_kept(self, laid: float, end: float) -> float:
        assert self._ahead is not None
        known = min(self._ahead.known_s, end)
        return _on_sample(self._idle.next_kept(laid, self._began_at, known))

    def _put(self, sound: bytes, seconds: float) -> None:
        played = samples_in(sound) / WIRE_RATE_HZ if self._with_sound else seconds / self.speed
        if played:
            self._queued_s += played
            self._outlet.put(sound, played)

    def _ready_ahead(self, at: float) -> None:
        """Have a reader that knows what sounds from here on."""
        ahead = self._ahead
        is_near = ahead is not None and ahead.audible_from <= at <= ahead.read_s + NEAR_S
        if ahead is None or not is_near:
            self._idle = Idle(self._wanted.idle_limit_s)
            place = self._places.before(at) if at > 0 else BEGINNING
            ahead = self._ahead = Ahead(
                self._recording,
                place,
                at,
                self._idle,
                with_sound=self._with_sound,
                only=self._wanted.only,
            )
        ahead.read_until(at)

    def _place_for(self, at: float) -> Place:
        return self._places.before(at) if at > 0 else BEGINNING


def _on_sample(seconds: float) -> float:
    """The time of the nearest sample."""
    return round(seconds * WIRE_RATE_HZ) / WIRE_RATE_HZ


def _or(value: float | None, other: float) -> float:
    return other if value is None else value
