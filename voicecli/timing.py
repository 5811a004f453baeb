"""When things happened: the latency of every turn, from timed facts.

All times are seconds on the session's clock. The end of the user's speech is taken from our own
microphone, not from the server: `speech_stopped` includes a silence whose length is the server's
business, and `audio_end_ms` counts audio sent.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from voicecli.audio.pcm import WIRE_RATE_HZ
from voicecli.audio.vad import SpeechDetector
from voicecli.reports import TurnReport


@dataclass
class Turn:
    """The points of one exchange; None until reached."""

    speech_end: float | None = None
    speech_stopped: float | None = None
    response_created: float | None = None
    first_delta: float | None = None
    first_sound: float | None = None
    item_id: str = ""

    def report(self) -> TurnReport:
        return TurnReport(
            item_id=self.item_id,
            speech_stopped_ms=self._since_speech(self.speech_stopped),
            response_created_ms=self._since_speech(self.response_created),
            first_delta_ms=self._since_speech(self.first_delta),
            first_sound_ms=self._since_speech(self.first_sound),
        )

    def _since_speech(self, at: float | None) -> int | None:
        if at is None or self.speech_end is None:
            return None
        return round((at - self.speech_end) * 1000)


@dataclass
class Timing:
    """The current turn and what was measured of those before it."""

    turn: Turn = field(default_factory=Turn)
    first_sounds_ms: list[int] = field(default_factory=list)

    def turn_ended(self, at: float, speech_end: float | None = None) -> None:
        """The user has finished; a new exchange begins.

        Args:
            at: when it was decided that the turn had ended.
            speech_end: when the voice itself ended; None when the turn was typed.
        """
        self.turn = Turn(speech_end=at if speech_end is None else speech_end, speech_stopped=at)

    def response_created(self, at: float) -> None:
        if self.turn.response_created is None:
            self.turn.response_created = at

    def delta_received(self, item_id: str, at: float) -> None:
        if self.turn.first_delta is None:
            self.turn.first_delta = at
            self.turn.item_id = item_id

    def sound_started(self, item_id: str, at: float) -> TurnReport | None:
        """The turn's report, the first time its own item is heard."""
        turn = self.turn
        if turn.first_sound is not None or item_id != turn.item_id or turn.speech_end is None:
            return None
        turn.first_sound = at
        report = turn.report()
        if report.first_sound_ms is not None:
            self.first_sounds_ms.append(report.first_sound_ms)
        return report

    @property
    def last_ms(self) -> int | None:
        return self.first_sounds_ms[-1] if self.first_sounds_ms else None

    @property
    def median_ms(self) -> int | None:
        """Of all turns so far."""
        ordered = sorted(self.first_sounds_ms)
        if not ordered:
            return None
        middle = len(ordered) // 2
        return round((ordered[middle] + ordered[~middle]) / 2)


class VoiceEnd:
    """Finds when the user's voice last sounded, in the microphone's own audio.

    Every third sample is enough for a yes or no about speech, and costs no rate conversion: what
    folds down from above 4 kHz is speech as well.
    """

    _DECIMATION = 3

    def __init__(self) -> None:
        self.at: float | None = None
        self._detector: SpeechDetector | None = None

    def push(self, pcm: bytes, at: float) -> None:
        """Take a frame of 20 ms, PCM16 at 24 kHz, that ended at `at`."""
        if self._detector is None:
            self._detector = SpeechDetector(rate_hz=WIRE_RATE_HZ // self._DECIMATION)
        self._detector.push(array("h", pcm)[:: self._DECIMATION].tobytes())
        if self._detector.speaking and self._detector.trailing_silence_ms == 0:
            self.at = at
