"""What has left the speaker by a moment, when a recording is gone through.

The speaker tells of a run of sound when it is over, or after a second of it. Live, the screen asks
the speaker itself; here the lines are read so far ahead that the run is known when it sounds.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from voicecli import inputs
from voicecli.audio.pcm import WIRE_RATE_HZ
from voicecli.audio.playback import Heard
from voicecli.errors import RecordingError
from voicecli.recording.format import Entry, input_of
from voicecli.recording.heard import LATEST_S


class _Run(NamedTuple):
    first_sample: int
    samples: int
    sounds_at: float

    def emitted(self, at: float) -> int:
        """Samples of the part that are out at a time, by this run."""
        gone = math.floor((at - self.sounds_at) * WIRE_RATE_HZ)
        return self.first_sample + min(self.samples, gone) if gone > 0 else 0


@dataclass
class Sounding:
    """The parts that have begun to sound and are not over."""

    _runs: dict[tuple[str, int], list[_Run]] = field(default_factory=dict)

    def read_ahead(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """The entries as they come, read ahead for the runs of sound among them."""
        waiting: deque[Entry] = deque()
        for entry in entries:
            waiting.append(entry)
            if entry.code == "emitted":
                self._note(entry)
            while entry.at - waiting[0].at > LATEST_S:
                yield waiting.popleft()
        yield from waiting

    def stepped(self, an_input: inputs.Input) -> None:
        """Take the inputs in their order: parts that are over are forgotten."""
        match an_input:
            case inputs.PartPlayed(item_id, content_index):
                self._runs.pop((item_id, content_index), None)
            case inputs.PlaybackStopped(heard):
                for one in heard:
                    self._runs.pop((one.item_id, one.content_index), None)

    def heard(self, at: float) -> tuple[Heard, ...]:
        """What the speaker would have said at `at`; nothing of parts that have not begun."""
        emitted = {part: max(run.emitted(at) for run in runs) for part, runs in self._runs.items()}
        return tuple(Heard(*part, samples, samples) for part, samples in emitted.items() if samples)

    def _note(self, entry: Entry) -> None:
        try:
            run = input_of(entry)
        except RecordingError:
            # Whoever takes the entry will say so.
            return
        if isinstance(run, inputs.PartEmitted):
            runs = self._runs.setdefault((run.item_id, run.content_index), [])
            runs.append(_Run(run.first_sample, run.samples, run.sounds_at))
