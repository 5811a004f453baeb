"""What the screen shows beside the conversation: numbers that only the edges know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from voicecli.audio.playback import Heard

SILENCE_DBFS = -96.0

DRAW_BUSY_S: Final = 0.125
"At most eight pictures a second while someone speaks, …"
DRAW_IDLE_S: Final = 0.5
"… and two while nobody does."


@dataclass(frozen=True, slots=True)
class Meters:
    """A reading of the edges, taken for one drawing."""

    at: float = 0.0
    "Seconds since the connection opened."
    level_dbfs: float = SILENCE_DBFS
    "Of the microphone: 0 is full scale."
    dropped_frames: int = 0
    "Microphone frames that were lost."
    underflows: int = 0
    "Gaps in playback."
    heard: tuple[Heard, ...] = ()
    "Of each part that is not over."
    is_recording: bool = False
    "What happens is being written down."
    missing: str = ""
    "What there is no device for at the moment: `speaker`, `microphone` or `sound`."
    is_half_duplex: bool = False
    "The microphone is not heard while an answer plays."
    hint: str = ""
    "A word to the user, shown instead of the list of keys while it lasts."
