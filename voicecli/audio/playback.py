"""The ledger of playback: what is queued, what was handed to the device, what was heard.

Theory. Audio comes in parts, each named by (item id, content index), and is played in the order it
came. The device takes blocks ahead of time; each block is logged with the *DAC time* of its first
sample, the moment that sample leaves the device. From the log follows what has been heard at any
moment, to the sample. Silence given because nothing was queued is in no part and never counts.

What is played can be turned down, and turned down to nothing: then playback pauses, and goes on
with the next sample when it is turned up again. Soft audio is heard; what waits is not.

A part is *over* when it is closed (finished by the caller, or followed by another part) and its
last sample has left the device. Every other part is open, and belongs into a truncation.

There is no lock, no clock and no I/O here: whoever shares a `Playout` between threads locks it.
"""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from voicecli.audio.pcm import (
    SAMPLE_BYTES,
    WIRE_RATE_HZ,
    ms_of_samples,
    packed,
    samples_in,
    unpacked,
)

FADE_SAMPLES: Final = 96
"4 ms at 24 kHz: short enough not to be heard as speech, long enough not to click."

RAMP_SAMPLES: Final = 120
"5 ms at 24 kHz: how long it takes to turn playback up or down."

_MEMORY_S: Final = 2.0
"How long a block is remembered after its DAC time; more than any device's latency."


class Gain(NamedTuple):
    """How loud consecutive samples are: from one factor to another, then there.

    Sample `k` of the ramp has the factor `before + (after - before) * (k + 1) / ramp_samples`.
    """

    before: float
    after: float
    ramp_samples: int

    @property
    def is_full(self) -> bool:
        """Whether samples stay as they are."""
        return self.after == 1.0 and (self.before == 1.0 or not self.ramp_samples)

    def at(self, samples: int) -> float:
        """The factor of the last one of so many samples."""
        if samples >= self.ramp_samples:
            return self.after
        return self.before + (self.after - self.before) * samples / self.ramp_samples

    def later(self, samples: int) -> "Gain":
        """What holds for the samples that follow so many."""
        if samples >= self.ramp_samples:
            return Gain(self.after, self.after, 0)
        return Gain(self.at(samples), self.after, self.ramp_samples - samples)

    def applied(self, pcm: bytes, first: int = 0) -> bytes:
        """`pcm`, whose first sample is the one at `first`, as loud as it is to be."""
        if self.is_full or not pcm:
            return pcm
        samples = unpacked(pcm)
        for position in range(min(len(samples), max(0, self.ramp_samples - first))):
            samples[position] = int(samples[position] * self.at(first + position + 1))
        after = self.after
        for position in range(max(0, self.ramp_samples - first), len(samples)):
            samples[position] = int(samples[position] * after)
        return packed(samples)


FULL_LEVEL: Final = Gain(1.0, 1.0, 0)


@dataclass(frozen=True, slots=True)
class Heard:
    """How much of one part has left (or certainly will leave) the speaker."""

    item_id: str
    content_index: int
    received_samples: int
    "At 24 kHz: all audio of the part that was queued."
    emitted_samples: int
    "At 24 kHz: never more than `received_samples`."

    @property
    def heard_ms(self) -> int:
        """`emitted_samples` in whole milliseconds, rounded down: safe as `audio_end_ms`."""
        return ms_of_samples(self.emitted_samples)

    @property
    def received_ms(self) -> int:
        """`received_samples` in whole milliseconds, rounded down."""
        return ms_of_samples(self.received_samples)


@dataclass(frozen=True, slots=True)
class Started:
    """The first sample of a part leaves the device at `at`."""

    item_id: str
    content_index: int
    at: float


@dataclass(frozen=True, slots=True)
class Finished:
    """The last sample of a closed part leaves the device by `at`: it was heard whole."""

    item_id: str
    content_index: int
    at: float


@dataclass(frozen=True, slots=True)
class Drained:
    """All that was queued leaves the device by `at`; silence follows until more is queued."""

    at: float


@dataclass(frozen=True, slots=True)
class Emitted:
    """Samples of one part that leave the device without a gap: told when they end, or each second.

    All of them together are exactly what is heard: put at their times, with the gain and then the
    fade applied, they give the sound of the device again, sample by sample.
    """

    item_id: str
    content_index: int
    first_sample: int
    "Counted in the part, at 24 kHz."
    samples: int
    at: float
    "When the first of them leaves the device."
    fade_samples: int = 0
    "How many at the end were faded out, because of an interruption."
    gain: Gain = FULL_LEVEL
    "From the first of them on."


PlayoutEvent = Started | Finished | Drained | Emitted

RUN_SAMPLES: Final = WIRE_RATE_HZ
"A run that goes on is told every second, so that a crash loses no more of it."


@dataclass(slots=True, eq=False)
class _Part:
    item_id: str
    content_index: int
    received: int = 0
    handed: int = 0
    closed: bool = False
    told_finished: int = 0
    "Samples handed out when `Finished` was last said."
    sounding_until: float = -math.inf
    "DAC time of the end of the last sample handed out."

    def is_over(self, at: float) -> bool:
        return self.closed and self.handed == self.received and self.sounding_until <= at


@dataclass(frozen=True, slots=True)
class _Span:
    """Consecutive samples of one part in one block."""

    part: _Part
    begins_at: float
    ends_at: float
    samples: int
    pcm: bytes
    "As it was queued: a device that is lost gives it back."


@dataclass(slots=True)
class _Run:
    """What will be an `Emitted`, as it grows."""

    part: _Part
    first_sample: int
    at: float
    gain: Gain
    samples: int = 0

    def emitted(self, fade_samples: int = 0) -> Emitted:
        part = self.part
        return Emitted(
            part.item_id,
            part.content_index,
            self.first_sample,
            self.samples + fade_samples,
            self.at,
            fade_samples,
            self.gain,
        )


@dataclass(slots=True)
class _Chunk:
    part: _Part
    pcm: bytes
    start: int = field(default=0)
    "Byte position of the first sample not yet handed out."


class Playout:
    """A queue of parts, and the account of what became of each sample.

    Args:
        rate_hz: Rate of all audio in and out, and of the sample counts given back.
        hold_samples: A part begins when this much is queued, or it is closed, or it waited so long.
        rebuffer_samples: After the queue ran empty inside a part, the same for going on: fewer gaps
            when audio arrives at the pace of real time with jitter.
    """

    def __init__(
        self, rate_hz: int = WIRE_RATE_HZ, *, hold_samples: int = 0, rebuffer_samples: int = 0
    ) -> None:
        self._rate_hz = rate_hz
        self._hold_samples = hold_samples
        self._rebuffer_samples = rebuffer_samples
        self._parts: dict[tuple[str, int], _Part] = {}
        self._last: _Part | None = None
        self._queue: deque[_Chunk] = deque()
        self._queued = 0
        self._fade = b""
        self._spans: deque[_Span] = deque()
        self._flowing: _Part | None = None
        self._run: _Run | None = None
        self._gain = FULL_LEVEL
        "Of the next run."
        self._held_samples = 0
        "Silence given while something was queued and held back."
        self._sounding = False
        self._sounding_until = -math.inf
        self._events: list[PlayoutEvent] = []
        self.underflows = 0

    @property
    def pending_samples(self) -> int:
        """Samples queued (the fade of a flush included) and not yet handed out."""
        return self._queued + samples_in(self._fade)

    @property
    def has_events(self) -> bool:
        """Whether `drain_events` would give anything."""
        return bool(self._events)

    def is_idle(self, at: float) -> bool:
        """Whether nothing is queued and everything handed out has left the device at `at`."""
        return not self.pending_samples and self._sounding_until <= at

    def drain_events(self) -> list[PlayoutEvent]:
        """What happened since the last call, in the order in which it was seen; forgets it."""
        events, self._events = self._events, []
        return events

    def enqueue(self, item_id: str, content_index: int, pcm: bytes) -> None:
        """Queue `pcm` at the end; it is kept, not copied. O(1), unbounded, drops nothing.

        Raises:
            ValueError: `pcm` does not hold whole samples.
        """
        if len(pcm) % SAMPLE_BYTES:
            raise ValueError(f"{len(pcm)} bytes are not whole samples")
        if not pcm:
            return
        part = self._part(item_id, content_index)
        part.received += samples_in(pcm)
        self._queued += samples_in(pcm)
        self._queue.append(_Chunk(part, pcm))

    def finish(self, item_id: str, content_index: int) -> None:
        """Close a part: no more of it will come. A part that is not known is ignored."""
        part = self._parts.get((item_id, content_index))
        if part is not None:
            self._close(part)

    def set_gain(self, gain: float) -> None:
        """Go on this loud, from the next sample handed out, with a ramp of a few milliseconds.

        Args:
            gain: 1.0 is full level; at 0.0 playback pauses, and goes on with the next sample when
                it is turned up again.
        """
        run = self._run
        now = self._gain.before if run is None else run.gain.at(run.samples)
        # What does not sound need not be turned down slowly; after a pause it has to come up so.
        is_silent = self._flowing is None and now > 0.0
        needs_ramp = gain != now and not is_silent
        ramp_samples = RAMP_SAMPLES * self._rate_hz // WIRE_RATE_HZ if needs_ramp else 0
        wanted = Gain(now if needs_ramp else gain, gain, ramp_samples)
        if run is not None:
            self._go_on(run).gain = wanted
        self._gain = wanted

    @property
    def is_paused(self) -> bool:
        """Whether nothing is handed out because playback was turned down to nothing."""
        gain = self._gain if self._run is None else self._run.gain.later(self._run.samples)
        return gain.after == 0.0 and not gain.ramp_samples

    def take(self, samples: int, dac_at: float) -> bytes:
        """Hand out the next block: exactly `samples`, filled up with silence.

        Args:
            samples: Length of the block.
            dac_at: When the block's first sample leaves the device.
        """
        self._forget(dac_at - _MEMORY_S)
        if not self._queue and not self._fade:
            if not self.is_paused:
                self._run_dry(dac_at)
            return bytes(samples * SAMPLE_BYTES)
        pieces = [self._take_fade(samples, dac_at)] if self._fade else []
        filled = samples_in(pieces[0]) if pieces else 0
        while filled < samples and self._may_flow():
            piece = self._take_chunk(samples - filled, dac_at + filled / self._rate_hz)
            pieces.append(piece)
            filled += samples_in(piece)
        if filled == samples:
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if self.is_paused and not self._fade:
            self._end_run()
        else:
            self._run_dry(dac_at + filled / self._rate_hz)
        if self._queue:
            self._held_samples += samples - filled
        pieces.append(bytes((samples - filled) * SAMPLE_BYTES))
        return b"".join(pieces)

    def flush(self, at: float, fade_samples: int = FADE_SAMPLES) -> list[Heard]:
        """Drop what is queued; say how much of each open part will finally have been heard.

        What the device took already will be heard, and so will a fade-out over the next
        `fade_samples` of the part being played, which the next `take` hands out first. Audio of a
        flushed part must not be queued again; what is queued next is played at full level.

        Args:
            at: Now, on the clock of `take`'s DAC times: parts that are over by then are left out.
            fade_samples: Length of the fade-out; 0 for none.
        """
        # Between runs nothing sounds: it was held.
        playing = None if self.is_paused or self._run is None else self._flowing
        fade = b"" if self._fade or playing is None else self._next_of(playing, fade_samples)
        if self._run is not None:
            fade = self._run.gain.applied(fade, self._run.samples)
        heard = []
        for part in self._parts.values():
            if not part.is_over(at):
                emitted = part.handed + (samples_in(fade) if part is playing else 0)
                heard.append(self._heard(part, emitted))
        self._end_run(samples_in(fade))
        if fade:
            self._fade = faded_out(fade)
        self._queue.clear()
        self._queued = 0
        self._parts.clear()
        self._spans.clear()
        self._last = self._flowing = None
        self._held_samples = 0
        self._gain = FULL_LEVEL
        return heard

    def rewind(self, at: float) -> None:
        """Take back what had not left the device at `at`, because the device is gone.

        Each part goes on with the sample after the last that left, whenever the next block is
        taken. What was told of it before stays told: a part that was said to be finished counts as
        heard, and a run may begin where the one before it had not ended. A fade-out is dropped.

        Args:
            at: at most 2 s ago, on the clock of `take`'s DAC times.
        """
        self._fade = b""
        while self._spans and self._spans[-1].ends_at > at:
            self._take_back(self._spans.pop(), at)
        run = self._run
        if run is not None:
            run.samples = max(0, min(run.samples, run.part.handed - run.first_sample))
        self._end_run()
        self._flowing = None
        self._held_samples = 0
        self._sounding_until = min(self._sounding_until, at)

    def _take_back(self, span: _Span, at: float) -> None:
        part = span.part
        left = min(span.samples, max(0, self._samples_between(span.begins_at, at)))
        if left:
            ends_at = span.begins_at + left / self._rate_hz
            pcm = span.pcm[: left * SAMPLE_BYTES]
            self._spans.append(_Span(part, span.begins_at, min(ends_at, at), left, pcm))
        if left < span.samples:
            part.handed -= span.samples - left
            self._queued += span.samples - left
            self._queue.appendleft(_Chunk(part, span.pcm, left * SAMPLE_BYTES))
        part.sounding_until = min(part.sounding_until, at)

    def heard(self, at: float) -> list[Heard]:
        """How much of each open part has left the device at `at`, which is at most 2 s ago."""
        in_device: dict[int, int] = {}
        for span in reversed(self._spans):
            if span.ends_at <= at:
                break
            elapsed = max(0, self._samples_between(span.begins_at, at))
            key = id(span.part)
            in_device[key] = in_device.get(key, 0) + span.samples - min(elapsed, span.samples)
        return [
            self._heard(part, part.handed - in_device.get(id(part), 0))
            for part in self._parts.values()
            if not part.is_over(at)
        ]

    def _samples_between(self, begins_at: float, at: float) -> int:
        # Rounded down, but not for what is only a float's error.
        return math.floor((at - begins_at) * self._rate_hz + 1e-3)

    def _part(self, item_id: str, content_index: int) -> _Part:
        key = (item_id, content_index)
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = _Part(item_id, content_index)
        if self._last is not None and self._last is not part:
            self._close(self._last)
        self._last = part
        return part

    def _close(self, part: _Part) -> None:
        part.closed = True
        self._tell_if_finished(part)

    def _tell_if_finished(self, part: _Part) -> None:
        if part.closed and part.handed == part.received != part.told_finished:
            part.told_finished = part.handed
            self._events.append(Finished(part.item_id, part.content_index, part.sounding_until))

    def _heard(self, part: _Part, emitted: int) -> Heard:
        return Heard(part.item_id, part.content_index, part.received, emitted)

    def _may_flow(self) -> bool:
        """Whether the head of the queue may be played now, by the two holds."""
        if not self._queue or self.is_paused:
            return False
        part = self._queue[0].part
        if part is self._flowing or part.closed:
            return True
        needed = self._rebuffer_samples if part.handed else self._hold_samples
        return self._queued + self._held_samples >= needed

    def _take_chunk(self, most_samples: int, dac_at: float) -> bytes:
        chunk = self._queue[0]
        part = chunk.part
        if self._run is not None and self._run.part is not part:
            self._end_run()
        gain, done = self._gain, 0
        if self._run is not None:
            gain, done = self._run.gain, self._run.samples
        if gain.after == 0.0:
            most_samples = min(most_samples, gain.ramp_samples - done)
        end = chunk.start + most_samples * SAMPLE_BYTES
        piece = chunk.pcm[chunk.start : end]
        if end >= len(chunk.pcm):
            self._queue.popleft()
        else:
            chunk.start = end
        if not part.handed:
            self._events.append(Started(part.item_id, part.content_index, dac_at))
        elif part is not self._flowing:
            self.underflows += 1
        self._flowing = part
        self._held_samples = 0
        self._account(part, piece, dac_at)
        return gain.applied(piece, done)

    def _account(self, part: _Part, piece: bytes, dac_at: float) -> None:
        samples = samples_in(piece)
        ends_at = dac_at + samples / self._rate_hz
        self._run_on(part, samples, dac_at)
        part.handed += samples
        part.sounding_until = ends_at
        self._queued -= samples
        self._spans.append(_Span(part, dac_at, ends_at, samples, piece))
        self._sounds_until(ends_at)
        self._tell_if_finished(part)

    def _run_on(self, part: _Part, samples: int, dac_at: float) -> None:
        run = self._run
        if run is None:
            run = self._run = _Run(part, part.handed, dac_at, self._gain)
        run.samples += samples
        if run.samples >= RUN_SAMPLES:
            self._go_on(run)

    def _go_on(self, run: _Run) -> _Run:
        """Tell of a run, and let another one follow it without a gap."""
        self._end_run()
        # On the time line of the samples: a device's own times tremble.
        at = run.at + run.samples / self._rate_hz
        self._run = _Run(run.part, run.first_sample + run.samples, at, self._gain)
        return self._run

    def _end_run(self, fade_samples: int = 0) -> None:
        run, self._run = self._run, None
        if run is not None:
            self._gain = run.gain.later(run.samples)
        if run is not None and (run.samples or fade_samples):
            self._events.append(run.emitted(fade_samples))

    def _take_fade(self, most_samples: int, dac_at: float) -> bytes:
        cut = most_samples * SAMPLE_BYTES
        piece, self._fade = self._fade[:cut], self._fade[cut:]
        self._sounds_until(dac_at + samples_in(piece) / self._rate_hz)
        return piece

    def _sounds_until(self, ends_at: float) -> None:
        self._sounding = True
        self._sounding_until = ends_at

    def _run_dry(self, at: float) -> None:
        self._flowing = None
        self._end_run()
        if self._sounding:
            self._sounding = False
            self._events.append(Drained(at))

    def _forget(self, before: float) -> None:
        """Drop what no question can be about any more."""
        while self._spans and self._spans[0].ends_at < before:
            self._spans.popleft()
        oldest = next(iter(self._parts.values()), None)
        if oldest is not None and oldest.is_over(before):
            del self._parts[oldest.item_id, oldest.content_index]

    def _next_of(self, part: _Part, most_samples: int) -> bytes:
        """The next samples of `part` in the queue, up to the first chunk of another part."""
        return b"".join(self._pieces_of(part, most_samples * SAMPLE_BYTES))

    def _pieces_of(self, part: _Part, missing: int) -> Iterator[bytes]:
        for chunk in self._queue:
            if missing <= 0 or chunk.part is not part:
                return
            piece = chunk.pcm[chunk.start : chunk.start + missing]
            missing -= len(piece)
            yield piece


def faded_out(pcm: bytes) -> bytes:
    """`pcm` under the falling half of a raised cosine."""
    samples = unpacked(pcm)
    for position, gain in enumerate(_fade_gains(len(samples))):
        samples[position] = int(samples[position] * gain)
    return packed(samples)


@lru_cache(maxsize=4)
def _fade_gains(length: int) -> tuple[float, ...]:
    return tuple(0.5 + 0.5 * math.cos(math.pi * (k + 1) / (length + 1)) for k in range(length))
