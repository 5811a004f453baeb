"""The input audio buffer: what the client appended, where speech starts and ends in it.

There is one clock here: milliseconds of audio appended. How fast the audio came does not matter, so
a file sent at once has the same turns as a person who speaks. Audio is kept twice, at 24 kHz to be
retrieved and at 16 kHz to be understood; between turns only as much as the prefix padding and the
delay of the detection need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from voicecli.audio.pcm import WIRE_RATE_HZ
from voicecli.audio.resample import Resampler
from voicecli.audio.vad import SpeechDetector
from voicecli.audio.vad import SpeechStarted as DetectedStart
from voicecli.audio.vad import SpeechStopped as DetectedStop
from voicecli.audio.wire import WireDecoder
from voicecli.engine.dialogue.patience import Patience, Silence, Step
from voicecli.engine.dialogue.recoding import BYTES_PER_MS, EARS_RATE_HZ
from voicecli.engine.dialogue.session_state import TurnRules
from voicecli.protocol.settings import AudioFormat

EARLY_EARS_MS: Final = 120
"After so much silence in a turn the ears begin, in the hope that the turn is over."
MAX_TURN_MS: Final = 120_000
"A turn that lasts longer is ended here: endless noise must not fill the memory."
MAX_BUFFER_MS: Final = 600_000
"The most that is buffered for a commit by the client."

JUDGED_MS: Final = 8000
"How much of a turn the judge of its end looks at."

_FRAME_BYTES: Final = EARS_RATE_HZ // 50 * 2
_ONSET_MS: Final = 500
"Kept beside the prefix padding: detection looks back no further than this."


@dataclass(frozen=True)
class Clip:
    """A stretch of the user's audio."""

    audio: bytes = b""
    "In `format`."
    format: AudioFormat = "pcm"
    pcm16k: bytes = b""
    "The same for the ears, if there is that already."

    @property
    def duration_ms(self) -> int:
        """Rounded down."""
        return len(self.audio) // BYTES_PER_MS[self.format]


@dataclass(frozen=True)
class TurnStarted:
    """Speech began."""

    audio_start_ms: int


@dataclass(frozen=True)
class TurnPaused:
    """The turn may be over: the audio so far is worth recognising."""

    clip: Clip


@dataclass(frozen=True)
class TurnResumed:
    """It was not over."""


@dataclass(frozen=True)
class EndSuspected:
    """The turn may be over; what follows is not looked at until `Listener.judged` says more."""

    pcm16k: bytes
    "The newest of the turn, as much as a judge looks at."


@dataclass(frozen=True)
class TurnStopped:
    """The turn is over."""

    audio_end_ms: int
    clip: Clip


Heard: TypeAlias = TurnStarted | TurnPaused | TurnResumed | EndSuspected | TurnStopped


class Track:
    """The newest part of a stream of PCM16, addressed by milliseconds since its beginning."""

    def __init__(self, rate_hz: int) -> None:
        self._bytes_per_ms = rate_hz * 2 // 1000
        self._kept = bytearray()
        self._dropped = 0

    def add(self, pcm: bytes | bytearray) -> None:
        self._kept += pcm

    @property
    def start_ms(self) -> int:
        """The oldest moment still kept, rounded up."""
        return -(-self._dropped // self._bytes_per_ms)

    @property
    def end_ms(self) -> int:
        """The length of the stream so far, rounded down."""
        return (self._dropped + len(self._kept)) // self._bytes_per_ms

    def since(self, start_ms: int) -> bytes:
        """The audio from `start_ms`, or from the oldest kept, to the end; a copy."""
        start = max(0, start_ms * self._bytes_per_ms - self._dropped)
        return bytes(memoryview(self._kept)[start:])

    def forget_before(self, start_ms: int) -> None:
        """Drop what is older; a start after the end drops all."""
        drop = min(start_ms * self._bytes_per_ms - self._dropped, len(self._kept))
        if drop > 0:
            del self._kept[:drop]
            self._dropped += drop


class Listener:
    """The input buffer of one connection, with or without turn detection."""

    def __init__(self, audio_format: AudioFormat, rules: TurnRules | None) -> None:
        self._wire = Track(WIRE_RATE_HZ)
        self._ears = Track(EARS_RATE_HZ)
        self._to_ears = Resampler(WIRE_RATE_HZ, EARS_RATE_HZ)
        self._format = audio_format
        self._decoder = WireDecoder(audio_format)
        self._rules = rules
        self._buffer_start_ms = 0
        self._turn_start_ms: int | None = None
        self._paused = False
        self._silence: Silence | None = None
        "The silence that the running turn is in, when a judge is asked about it."
        self._awaits_verdict = False
        self._frames = bytearray()
        "Audio that is not looked at yet: part of a frame, or all that came during a judgement."
        self._detector_start_ms = 0
        self._detector: SpeechDetector | None = None
        self._restart_detector()

    def configure(self, audio_format: AudioFormat, rules: TurnRules | None) -> None:
        """Apply new settings from the next audio on.

        A running turn goes on unless the way of detecting it changes; then it is forgotten. So is
        what was buffered for a commit when turns become automatic.
        """
        if audio_format != self._format:
            self._format = audio_format
            self._decoder = WireDecoder(audio_format)
        if rules == self._rules:
            return
        before, self._rules = self._rules, rules
        if before is None or rules is None or _detects(before) != _detects(rules):
            self._turn_start_ms = None
            self._restart_detector()

    @property
    def now_ms(self) -> int:
        """Milliseconds of audio appended since the session began."""
        return self._wire.end_ms

    @property
    def in_turn(self) -> bool:
        """Whether the user is speaking, as far as turn detection says."""
        return self._turn_start_ms is not None

    @property
    def buffered_ms(self) -> int:
        """What a commit would take: the running turn, or all without turn detection."""
        if self._rules is None:
            return self.now_ms - max(self._buffer_start_ms, self._wire.start_ms)
        return 0 if self._turn_start_ms is None else self.now_ms - self._turn_start_ms

    def has_room(self, encoded_bytes: int) -> bool:
        """Whether so much more audio in the input format fits into the buffer.

        Turn detection keeps it short by itself.
        """
        if self._rules is not None:
            return True
        more_ms = encoded_bytes // BYTES_PER_MS[self._format]
        return self.buffered_ms + more_ms <= MAX_BUFFER_MS

    def append(self, encoded: bytes) -> list[Heard]:
        """Take audio in the session's input format; say what was heard in it, in order.

        After `EndSuspected` audio is only kept, until `judged` is called: so turns end at the same
        place however fast the audio comes and however slow the judge is.
        """
        pcm24k = self._decoder.decode(encoded)
        pcm16k = self._to_ears.process(pcm24k) if pcm24k else b""
        self._wire.add(pcm24k)
        if self._detector is None:
            self._ears.add(pcm16k)
            return []
        return self._detect(pcm16k)

    def judged(self, probability: float | None) -> list[Heard]:
        """Take the verdict on what was suspected; say what was heard since, in order.

        Args:
            probability: that the turn is over; None when nobody can say.
        """
        if not self._awaits_verdict or self._silence is None:
            return []
        self._awaits_verdict = False
        self._silence.judged(probability)
        # The silence may be long enough already; if not, its next frame will tell.
        return self._look_for_end(self._silence) + self._detect(b"")

    @property
    def turn_ms(self) -> int:
        """How much of the running turn was looked at; 0 when there is none."""
        return 0 if self._turn_start_ms is None else self._ears.end_ms - self._turn_start_ms

    def turn_so_far(self) -> bytes:
        """The running turn as PCM16 at 16 kHz, as far as it was looked at; a copy."""
        return b"" if self._turn_start_ms is None else self._ears.since(self._turn_start_ms)

    def take(self) -> Clip:
        """Empty the buffer: what a commit by the client makes an item of."""
        self._ears.add(self._frames)
        self._frames.clear()
        clip = self._clip(self._turn_start_ms if self.in_turn else self._buffer_start_ms)
        self.clear()
        return clip

    def clear(self) -> None:
        """Forget all that is not committed, a running turn included."""
        now_ms = self.now_ms
        self._buffer_start_ms = now_ms
        self._turn_start_ms = None
        self._restart_detector()
        self._wire.forget_before(now_ms)
        self._ears.forget_before(now_ms)

    def _restart_detector(self) -> None:
        self._paused = False
        self._silence = None
        self._awaits_verdict = False
        self._ears.add(self._frames)  # not a whole frame, but the clock counts it
        self._frames.clear()
        self._detector_start_ms = self._ears.end_ms
        self._detector = None
        if self._rules is not None:
            self._detector = SpeechDetector(
                EARS_RATE_HZ,
                threshold=self._rules.threshold,
                prefix_padding_ms=self._rules.prefix_padding_ms,
                silence_duration_ms=self._rules.silence_duration_ms,
            )

    def _detect(self, pcm16k: bytes) -> list[Heard]:
        heard: list[Heard] = []
        self._frames += pcm16k
        while len(self._frames) >= _FRAME_BYTES and not self._awaits_verdict:
            frame = bytes(self._frames[:_FRAME_BYTES])
            del self._frames[:_FRAME_BYTES]
            self._ears.add(frame)
            heard += self._hear(frame)
        if not self.in_turn:
            self._forget_silence()
        return heard

    def _hear(self, frame: bytes) -> list[Heard]:
        if self._detector is None:
            return []
        found = self._detector.push(frame)
        match found:
            case DetectedStart(audio_start_ms=start_ms):
                self._turn_start_ms = max(
                    self._detector_start_ms + start_ms, self._wire.start_ms, self._buffer_start_ms
                )
                return [TurnStarted(self._turn_start_ms)]
            case DetectedStop(audio_end_ms=end_ms):
                return self._end_turn(self._detector_start_ms + end_ms)
        return self._look_for_pause(self._detector)

    def _end_turn(self, end_ms: int) -> list[Heard]:
        if self._turn_start_ms is None:
            return []
        clip = self._clip(self._turn_start_ms, end_ms)
        self._turn_start_ms = None
        self._paused = False
        self._silence = None
        self._buffer_start_ms = end_ms
        return [TurnStopped(end_ms, clip)]

    def _look_for_pause(self, detector: SpeechDetector) -> list[Heard]:
        if self._turn_start_ms is None:
            return []
        if self._ears.end_ms - self._turn_start_ms >= MAX_TURN_MS:
            ended = self._end_turn(self._ears.end_ms)
            self._restart_detector()
            return ended
        paused = detector.trailing_silence_ms >= EARLY_EARS_MS
        heard: list[Heard] = []
        if paused != self._paused:
            self._paused = paused
            heard = [TurnPaused(self._clip(self._turn_start_ms))] if paused else [TurnResumed()]
            patience = None if self._rules is None else self._rules.patience
            self._silence = Silence(patience) if paused and patience is not None else None
        return heard + ([] if self._silence is None else self._look_for_end(self._silence))

    def _look_for_end(self, silence: Silence) -> list[Heard]:
        if self._turn_start_ms is None or self._detector is None:
            return []
        match silence.grown(self._detector.trailing_silence_ms):
            case Step.ASK:
                self._awaits_verdict = True
                newest_ms = max(self._turn_start_ms, self._ears.end_ms - JUDGED_MS)
                return [EndSuspected(self._ears.since(newest_ms))]
            case Step.END:
                return self._end_turn(self._detector_start_ms + self._detector.stop().audio_end_ms)
            case Step.WAIT:
                return []

    def _forget_silence(self) -> None:
        padding_ms = 0 if self._rules is None else self._rules.prefix_padding_ms
        oldest_ms = self._ears.end_ms - padding_ms - _ONSET_MS
        self._wire.forget_before(oldest_ms)
        self._ears.forget_before(oldest_ms)

    def _clip(self, start_ms: int | None, end_ms: int | None = None) -> Clip:
        start_ms = 0 if start_ms is None else start_ms
        audio, pcm16k = self._wire.since(start_ms), self._ears.since(start_ms)
        if end_ms is not None:
            length_ms = end_ms - start_ms
            audio = audio[: length_ms * WIRE_RATE_HZ * 2 // 1000]
            pcm16k = pcm16k[: length_ms * EARS_RATE_HZ * 2 // 1000]
        return Clip(audio, pcm16k=pcm16k)


def _detects(rules: TurnRules) -> tuple[float, int, int, Patience | None]:
    return (
        rules.threshold,
        rules.prefix_padding_ms,
        rules.silence_duration_ms,
        rules.patience,
    )
