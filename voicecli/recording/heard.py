"""What could be heard in the room, on the time line of the session: both sides, sample by sample.

The assistant's side is what left the speaker, run by run, with the fade of an interruption: not
what the server sent. The user's side is what the microphone gave and the server was sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

from voicecli import inputs
from voicecli.actions import Play
from voicecli.audio.pcm import FRAME_SAMPLES, SAMPLE_BYTES, WIRE_RATE_HZ, samples_in
from voicecli.audio.playback import faded_out
from voicecli.recording.fold import Step
from voicecli.recording.format import frame_of

Side: TypeAlias = Literal["user", "assistant"]

LATEST_S: Final = 2.5
"A piece comes out at most so long after it began to sound: whoever plays reads so far ahead."

_TREMBLE_SAMPLES: Final = WIRE_RATE_HZ // 10
"The times of frames tremble; one that is less than 100 ms off follows the one before it."

_LATE_FRAMES: Final = 25
"Frames that come in a burst after a stall are late. When so many are, there was a gap."

_PARTS_KEPT: Final = 64

_AGAIN_SAMPLES: Final = WIRE_RATE_HZ // 2
"What a lost device held is played again on the next one: no device holds more than this."


class Piece(NamedTuple):
    """Sound of one side."""

    side: Side
    position: int
    "Of its first sample, in samples at 24 kHz since the connection opened; may be negative."
    pcm: bytes

    @property
    def end(self) -> int:
        """Position behind its last sample."""
        return self.position + samples_in(self.pcm)


@dataclass
class _Part:
    """Audio of a part that was queued and is not all heard yet."""

    pcm: bytearray = field(default_factory=bytearray)
    first_sample: int = 0
    "Of what is kept: what was heard is forgotten after a while."

    def taken(self, first_sample: int, samples: int) -> bytes:
        start = (first_sample - self.first_sample) * SAMPLE_BYTES
        end = start + samples * SAMPLE_BYTES
        piece = bytes(self.pcm[max(0, start) : end])
        forgotten = max(0, end // SAMPLE_BYTES - _AGAIN_SAMPLES)
        del self.pcm[: forgotten * SAMPLE_BYTES]
        self.first_sample += forgotten
        return piece


class HeardAudio:
    """Takes the steps of a fold in order; gives pieces of sound, each side in order of time."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, int], _Part] = {}
        self._user = _FrameClock()

    def step(self, step: Step) -> list[Piece]:
        """What this step lets us hear; most steps nothing."""
        for action in step.actions:
            if isinstance(action, Play):
                self._queue(action)
        match step.an_input:
            case inputs.MicFrame(pcm):
                return self._frame(step, pcm)
            case inputs.PartEmitted():
                return self._run(step.an_input)
            case inputs.PlaybackStopped():
                self._parts.clear()
        return []

    def _queue(self, play: Play) -> None:
        key = (play.item_id, play.content_index)
        if key not in self._parts and len(self._parts) >= _PARTS_KEPT:
            del self._parts[next(iter(self._parts))]
        self._parts.setdefault(key, _Part()).pcm += play.pcm

    def _run(self, run: inputs.PartEmitted) -> list[Piece]:
        part = self._parts.get((run.item_id, run.content_index))
        if part is None:
            return []
        pcm = run.gain.applied(part.taken(run.first_sample, run.samples))
        if run.fade_samples:
            cut = max(0, len(pcm) - run.fade_samples * SAMPLE_BYTES)
            pcm = pcm[:cut] + faded_out(pcm[cut:])
        position = round(run.sounds_at * WIRE_RATE_HZ)
        return [Piece("assistant", position, pcm)] if pcm else []

    def _frame(self, step: Step, pcm: bytes) -> list[Piece]:
        position = self._user.placed(round(step.at * WIRE_RATE_HZ))
        return [Piece("user", position, pcm)] if frame_of(step.entry).was_sent else []


class _FrameClock:
    """Where frames of the microphone belong: one behind the other, as they were captured.

    A frame is never there before it has been captured, but it may be delivered much later.
    """

    def __init__(self) -> None:
        self._end: int | None = None
        self._lateness: list[int] = []

    def placed(self, delivered: int) -> int:
        """Position of a frame that was delivered at `delivered`."""
        if self._end is None or self._end + FRAME_SAMPLES - delivered > _TREMBLE_SAMPLES:
            self._end = delivered - FRAME_SAMPLES
        late = delivered - FRAME_SAMPLES - self._end
        self._lateness = [*self._lateness, late] if late > _TREMBLE_SAMPLES else []
        if len(self._lateness) == _LATE_FRAMES:
            self._end += min(self._lateness)
            self._lateness = []
        self._end += FRAME_SAMPLES
        return self._end - FRAME_SAMPLES
