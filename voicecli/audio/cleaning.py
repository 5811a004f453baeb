"""The microphone as it is sent: what was played taken out, noise too, and silence where need be.

One `Cleaner` serves one microphone beside one speaker. It is given what each of their streams had,
with its times, and makes of every frame that was captured one that is sent: 10 ms late, and by what
its caller waits for what was played. It is no part of an audio thread's work: there is arithmetic
in it.
"""

from typing import Final

from voicecli.audio.echo import LEAD_MS, EchoMode, Processor
from voicecli.audio.echo_watch import EchoWatch
from voicecli.audio.far_end import FarEnd, TimeLine
from voicecli.audio.half_duplex import HalfDuplexGate
from voicecli.audio.pcm import (
    FRAME_SAMPLES,
    SILENT_FRAME,
    WIRE_RATE_HZ,
    is_digital_silence,
    level_dbfs,
    packed,
    samples_in,
    samples_of_ms,
    unpacked,
)
from voicecli.audio.resample import Resampler
from voicecli.audio.residual import ResidualGate

_PLAYED_JUMP_MS: Final = 6.0
_PLAYED_TOLD_MS: Final = 3.0
"Underflows are told of in which nothing is lost; what is lost is half a block at the least."
_CAPTURED_JUMP_MS: Final = 30.0
"Times of capture tremble by up to 12 ms either way where a sound server stands between."
_LEAD_SAMPLES: Final = samples_of_ms(LEAD_MS)
_AUDIBLE_DBFS: Final = -60.0
_FRAME_S: Final = FRAME_SAMPLES / WIRE_RATE_HZ


class Cleaner:
    """Makes what is sent of what is captured.

    Args:
        mode: how echo is kept out.
        suppresses_noise: whether steady noise is taken out as well.
        watches: whether to look for what is left of the echo.
        gate_lasts: whether what the canceller leaves is turned down after the first seconds too.
    """

    def __init__(
        self,
        mode: EchoMode,
        *,
        suppresses_noise: bool = False,
        watches: bool = True,
        gate_lasts: bool = True,
    ) -> None:
        self.mode = mode
        cancels = mode == "aec"
        self._processor: Processor | None = None
        if cancels or suppresses_noise:
            self._processor = Processor(cancels_echo=cancels, suppresses_noise=suppresses_noise)
        self._lead_samples = _LEAD_SAMPLES if cancels else 0
        self._residual = ResidualGate(lasts=gate_lasts) if cancels else None
        self._gate = HalfDuplexGate() if mode == "half-duplex" else None
        self._watch = EchoWatch() if watches else None
        self._far = FarEnd()
        self._played_line = TimeLine(_PLAYED_JUMP_MS, _PLAYED_TOLD_MS)
        self._captured_line = TimeLine(_CAPTURED_JUMP_MS)
        self._to_wire = Resampler(WIRE_RATE_HZ, WIRE_RATE_HZ)
        self.resets = 0
        "How often the way from the speaker to the microphone had to be learned anew."

    @property
    def has_found_echo(self) -> bool:
        """Whether what is sent was once seen to resemble what was played."""
        return self._watch is not None and self._watch.has_told

    def speaker_changed(self, rate_hz: int) -> None:
        """What is played from now on comes from another stream."""
        self._to_wire = Resampler(rate_hz, WIRE_RATE_HZ)
        self._played_line.restart(is_another=True)
        self._begin_anew(is_same_way=False)

    def microphone_changed(self) -> None:
        """What is captured from now on comes from another stream."""
        self._captured_line.restart(is_another=True)
        self._begin_anew(is_same_way=False)

    def playback_broke(self) -> None:
        """The speaker may have lost samples."""
        self._played_line.restart()

    def capture_broke(self) -> None:
        """The microphone may have lost samples."""
        self._captured_line.restart()

    def played(self, block: bytes, dac_at: float) -> None:
        """Take what the device was given.

        Args:
            block: at the rate of the speaker's stream; zeros where nothing was to be heard.
            dac_at: when its first sample leaves the device.
        """
        pcm = self._to_wire.process(block)
        samples = samples_in(pcm)
        if not samples:
            return
        # What was lost on its way out is a silence, here as in the room: nothing slips by it, but
        # for what the times are off by.
        self._far.put(self._played_line.place(dac_at, samples), pcm)
        if self._played_line.has_slipped and self._residual is not None:
            self._residual.slipped()
        if self._gate is not None and level_dbfs(pcm) > _AUDIBLE_DBFS:
            self._gate.played(dac_at, dac_at + samples / WIRE_RATE_HZ)

    def lacks_played(self, adc_at: float) -> bool:
        """Whether not all is here yet that a frame has to be held against to cancel its echo.

        A device with short buffers is given what it plays hardly sooner than that.
        """
        end = self._captured_line.expected(adc_at) + self._lead_samples + FRAME_SAMPLES
        return self._residual is not None and self._far.end < end

    def cleaned(self, frame: bytes, adc_at: float) -> bytes:
        """What is to be sent for a frame.

        Args:
            frame: 20 ms as captured.
            adc_at: when its first sample came to the device.
        """
        index = self._captured_line.place(adc_at, FRAME_SAMPLES) + self._lead_samples
        if self._captured_line.has_slipped:
            self._begin_anew()
        far = self._far.read(index, FRAME_SAMPLES)
        sent = frame if self._processor is None else self._processor.process(frame, far)
        far_dbfs = level_dbfs(far)
        if self._residual is not None:
            down_db = self._residual.push(far_dbfs, level_dbfs(frame), level_dbfs(sent))
            sent = turned_down(sent, down_db)
        if self._gate is not None and self._gate.is_closed(adc_at, adc_at + _FRAME_S):
            sent = SILENT_FRAME
        if self._watch is not None:
            self._watch.push(far_dbfs, level_dbfs(sent))
        return sent

    def _begin_anew(self, *, is_same_way: bool = True) -> None:
        """A reference that slipped is worse than none."""
        self.resets += 1
        if self._processor is not None:
            self._processor.reset()
        if self._residual is not None:
            if is_same_way:
                self._residual.slipped()
            else:
                self._residual.reset()
        if self._watch is not None:
            self._watch.reset()


def turned_down(pcm: bytes, decibels: float) -> bytes:
    """`pcm` softer by so much."""
    if decibels <= 0 or is_digital_silence(pcm):
        return pcm
    gain = 10 ** (-decibels / 20)
    samples = unpacked(pcm)
    for position, sample in enumerate(samples):
        samples[position] = int(sample * gain)
    return packed(samples)
