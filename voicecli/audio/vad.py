"""Where speech begins and ends in a stream of frames.

Theory. A frame is *voiced* when webrtcvad says so and it is loud enough: above a fixed floor, above
the room's noise, and not far below the speaker's own level. webrtcvad alone goes on for up to
200 ms after a word and takes hum and breath for speech; the level gate cuts that. Speech begins
when most frames of 100 ms are voiced, so a click or a 40 ms burst begins nothing; it ends when no
frame sustained it for `silence_duration_ms`. All time is counted in frames pushed: it is audio
time, and how fast the frames come does not matter.
"""

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from voicecli.audio.pcm import FLOOR_DBFS, FRAME_MS, SAMPLE_BYTES, level_dbfs, unpacked

_ONSET_WINDOW: Final = 5
_ONSET_FRAMES: Final = 4
"Frames of the window that must be voiced to begin."
_SUSTAIN_WINDOW: Final = 3
_SUSTAIN_FRAMES: Final = 2
"A lone voiced frame, such as a key press, does not prolong a turn."
_STAY_DB: Final = 3.0
"While somebody speaks the noise margin is lower by this: the ends of words are quiet."
_BELOW_SPEECH_DB: Final = 27.0
"Sound farther than this below the recent speech is its reverberation, or the room."
_SPEECH_DECAY_DB: Final = 0.1
"Per frame: after a shout a soft voice is heard again within a few seconds."
_NEAR_MARGIN_DB: Final = 9.0
"Of a voice above the room's noise, where nobody was speaking before."
_STEADY_FRAMES: Final = 8
_STEADY_DB: Final = 1.5
"Eight frames within so little are a tone or a hum."
_FULL_SCALE_DB: Final = 20.0 * math.log10(32768.0)
_HISS_DB: Final = 8.0
'An "s" is so much softer below 4 kHz than it is; noise of all pitches, like paper\'s, is not.'
_LONGEST_HISS_FRAMES: Final = 12
"No word hisses for longer; a tap does."
_OPEN_HZ: Final = 600.0
_HUMMED_DB: Final = 12.0
"A hummed yes has so much less above that; hardly an open vowel has so little there."
_QUIETEST_ROOM_DBFS: Final = -70.0
_LOUDEST_FIRST_ROOM_DBFS: Final = -40.0
"The first frame is taken for the room, up to this: somebody may be speaking already."
_ROOM_FALL: Final = 0.3
_ROOM_RISE_DB: Final = 0.4
_ROOM_RISE_IN_SPEECH_DB: Final = 0.06
"Per frame: a steady noise that webrtcvad calls speech is unmasked within some seconds."


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Somebody began to speak."""

    audio_start_ms: int
    "On the clock of frames pushed, the prefix padding already subtracted."


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """Nobody has spoken for the silence duration."""

    audio_end_ms: int
    "On the clock of frames pushed; the silence that was waited for is included."


class SpeechDetector:
    """Finds turns in 20 ms frames of PCM16 mono.

    Args:
        rate_hz: 8000, 16000, 32000 or 48000 (webrtcvad's rates).
        threshold: How sure to be, 0 to 1. It sets webrtcvad's mode (0 to 3, by rounding three times
            the threshold), the fixed floor (-65 dBFS at 0, -55 at 0.5, -45 at 1) and the distance
            kept from the room's noise (6 dB at 0, 9 at 0.5, 12 at 1).
        prefix_padding_ms: How much earlier than the first voiced frame a turn is said to begin.
        silence_duration_ms: How long nobody must speak for a turn to end.

    Raises:
        ValueError: a rate webrtcvad does not know, or a value out of range.
    """

    def __init__(
        self,
        rate_hz: int = 16_000,
        *,
        threshold: float = 0.5,
        prefix_padding_ms: int = 300,
        silence_duration_ms: int = 500,
    ) -> None:
        if rate_hz not in (8_000, 16_000, 32_000, 48_000):
            raise ValueError(f"webrtcvad does not know the rate {rate_hz}")
        if not 0 <= threshold <= 1 or prefix_padding_ms < 0 or silence_duration_ms < 0:
            raise ValueError("the threshold is 0 to 1, and durations are not negative")
        import webrtcvad

        self._webrtcvad = webrtcvad.Vad(int(3 * threshold + 0.5))
        self._rate_hz = rate_hz
        self._frame_bytes = rate_hz * FRAME_MS // 1000 * SAMPLE_BYTES
        self._prefix_padding_ms = prefix_padding_ms
        self._silence_frames = max(1, -(-silence_duration_ms // FRAME_MS))
        self._levels = _Levels(-65.0 + 20.0 * threshold, 6.0 + 6.0 * threshold)
        self._recent: deque[bool] = deque(maxlen=_ONSET_WINDOW)
        self._position_ms = 0
        self._last_end_ms = 0
        self._silent_frames = 0
        self.speaking = False

    @property
    def trailing_silence_ms(self) -> int:
        """Audio time since the last voiced frame of the turn; 0 while nobody speaks."""
        return self._silent_frames * FRAME_MS if self.speaking else 0

    def push(self, frame: bytes) -> SpeechStarted | SpeechStopped | None:
        """Take the next 20 ms; say whether a turn began or ended with it.

        Raises:
            ValueError: the frame is not 20 ms long.
        """
        if len(frame) != self._frame_bytes:
            raise ValueError(f"a frame of {len(frame)} bytes, not {self._frame_bytes}")
        self._position_ms += FRAME_MS
        speechlike = self._webrtcvad.is_speech(frame, self._rate_hz)
        self._recent.append(self._levels.push(level_dbfs(frame), speechlike, self.speaking))
        return self._sustain() if self.speaking else self._begin()

    def _begin(self) -> SpeechStarted | None:
        if not self._recent[-1] or sum(self._recent) < _ONSET_FRAMES:
            return None
        first = len(self._recent) - list(self._recent).index(True)
        start_ms = self._position_ms - first * FRAME_MS - self._prefix_padding_ms
        self.speaking = True
        self._silent_frames = 0
        return SpeechStarted(max(start_ms, self._last_end_ms))

    def _sustain(self) -> SpeechStopped | None:
        newest = list(self._recent)[-_SUSTAIN_WINDOW:]
        if newest[-1] and sum(newest) >= _SUSTAIN_FRAMES:
            self._silent_frames = 0
            return None
        self._silent_frames += 1
        if self._silent_frames < self._silence_frames:
            return None
        return self.stop()

    def stop(self) -> SpeechStopped:
        """End the turn here, because someone who knows better says so; nothing else is lost."""
        self.speaking = False
        self._recent.clear()
        self._last_end_ms = self._position_ms
        return SpeechStopped(self._position_ms)


class VoiceFrames:
    """Whether each single frame of 20 ms is a voice, for those who must know at once.

    webrtcvad at its strictest and the level gate. What stays at one level as no voice does, a beep
    or a mains hum, is a voice no longer after 160 ms.

    Args:
        rate_hz: one of webrtcvad's rates.
        floor_dbfs: a softer frame is no voice.
    """

    def __init__(self, rate_hz: int, *, floor_dbfs: float) -> None:
        import webrtcvad

        self._webrtcvad = webrtcvad.Vad(3)
        self._rate_hz = rate_hz
        self._levels = _Levels(floor_dbfs, _NEAR_MARGIN_DB)
        self._recent_dbfs: deque[float] = deque(maxlen=_STEADY_FRAMES)
        self._high = _HighPass(_OPEN_HZ, rate_hz)
        self.is_hummed = False
        "Whether the last frame was a voice with its mouth closed: there is little high in it."
        self.level_dbfs = FLOOR_DBFS
        "Of the last frame."

    def push(self, frame: bytes) -> bool:
        """Take the next 20 ms, PCM16 mono."""
        level = self.level_dbfs = level_dbfs(frame)
        self._recent_dbfs.append(level)
        speechlike = self._webrtcvad.is_speech(frame, self._rate_hz)
        is_voice = self._levels.push(level, speechlike, speaking=False)
        is_voice = is_voice and not self._is_steady
        self.is_hummed = is_voice and self._high.level_dbfs(frame) < level - _HUMMED_DB
        return is_voice

    @property
    def _is_steady(self) -> bool:
        recent = self._recent_dbfs
        return len(recent) == _STEADY_FRAMES and max(recent) - min(recent) < _STEADY_DB


class HissFrames:
    """Whether each single frame of 20 ms hisses, as many words begin: "stop", "so", "she".

    webrtcvad takes no hiss for a voice, and so hears such a word only 100 to 150 ms after it began.

    Args:
        floor_dbfs: a softer frame is no hiss.
    """

    def __init__(self, *, floor_dbfs: float) -> None:
        self._levels = _Levels(floor_dbfs, _NEAR_MARGIN_DB)
        self._lasting = 0

    def push(self, level_dbfs: float, low_dbfs: float) -> bool:
        """Take the next 20 ms.

        Args:
            level_dbfs: of the frame.
            low_dbfs: of what is left of it below 4 kHz.
        """
        is_high = level_dbfs - low_dbfs >= _HISS_DB
        is_hiss = self._levels.push(level_dbfs, is_high, speaking=False)
        self._lasting = self._lasting + 1 if is_hiss else 0
        return is_hiss and self._lasting <= _LONGEST_HISS_FRAMES


class _HighPass:
    """Four poles: the same Butterworth filter twice."""

    def __init__(self, corner_hz: float, rate_hz: int) -> None:
        turn = math.tan(math.pi * corner_hz / rate_hz)
        damping = math.sqrt(2.0) * turn
        scale = 1.0 + damping + turn * turn
        self._gain = 1.0 / scale
        self._feedback = (2.0 * (turn * turn - 1.0) / scale, 1.0 - 2.0 * damping / scale)
        self._state = (0.0, 0.0, 0.0, 0.0)

    def level_dbfs(self, pcm: bytes) -> float:
        """How loud the next samples are behind the filter."""
        gain, (back_1, back_2) = self._gain, self._feedback
        a_1, a_2, b_1, b_2 = self._state
        energy = 0.0
        samples = unpacked(pcm)
        for sample in samples:
            a = sample - back_1 * a_1 - back_2 * a_2
            b = gain * (a - 2.0 * a_1 + a_2) - back_1 * b_1 - back_2 * b_2
            out = gain * (b - 2.0 * b_1 + b_2)
            energy += out * out
            a_2, a_1, b_2, b_1 = a_1, a, b_1, b
        self._state = (a_1, a_2, b_1, b_2)
        return 10.0 * math.log10(max(energy / len(samples), 1e-2)) - _FULL_SCALE_DB


class _Levels:
    """The level gate: follows the room's noise and the speaker's loudness."""

    def __init__(self, floor_dbfs: float, margin_db: float) -> None:
        self._floor_dbfs = floor_dbfs
        self._margin_db = margin_db
        self._room_dbfs: float | None = None
        self._speech_dbfs = _QUIETEST_ROOM_DBFS

    def push(self, level_dbfs: float, speechlike: bool, speaking: bool) -> bool:
        """Whether a frame of this level is voiced."""
        room_dbfs = self._room_dbfs
        if room_dbfs is None:
            room_dbfs = min(max(level_dbfs, _QUIETEST_ROOM_DBFS), _LOUDEST_FIRST_ROOM_DBFS)
        margin_db = self._margin_db - (_STAY_DB if speaking else 0.0)
        gate_dbfs = max(
            self._floor_dbfs,
            room_dbfs + margin_db,
            self._speech_dbfs - _BELOW_SPEECH_DB,
        )
        voiced = speechlike and level_dbfs > gate_dbfs
        self._room_dbfs = _followed(room_dbfs, level_dbfs, speechlike)
        self._follow_speech(level_dbfs, voiced)
        return voiced

    def _follow_speech(self, level_dbfs: float, voiced: bool) -> None:
        self._speech_dbfs -= _SPEECH_DECAY_DB
        if voiced:
            self._speech_dbfs = max(self._speech_dbfs, level_dbfs)


def _followed(room_dbfs: float, level_dbfs: float, speechlike: bool) -> float:
    above_db = level_dbfs - room_dbfs
    if above_db < 0:
        return max(room_dbfs + _ROOM_FALL * above_db, _QUIETEST_ROOM_DBFS)
    return room_dbfs + min(_ROOM_RISE_IN_SPEECH_DB if speechlike else _ROOM_RISE_DB, above_db)
