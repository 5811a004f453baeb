"""How exact the moments of a script are: where it asks to interrupt, and where the voice began.

Each script has the answer interrupted at six positions, and once by a key; it is played with the
embedded engine in real time until there are enough interruptions. The position at which the voice
began is counted in what was heard of that answer by then, from the speaker's own account.

    python tests/benchmarks/demo_anchors.py [--count 30]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import ClassVar

from voicecli.cli.performing import NoScreen, Way, play_all
from voicecli.cli.planning import Wanted, plays_of
from voicecli.demo import run as demo_run
from voicecli.demo.steps import HeardMs, Interrupt
from voicecli.recording.rerun.turns import Heard

AT_A_TIME = 6
HEAD = """
[session]
server = "local"
local.mind = "rules"
vad.mode = "server"
vad.silence_ms = 300
[[step]]
say = "Tell me a long story."
"""
STEP = """
[[step]]
interrupt.say = "Tell me a long story."
interrupt.heard_ms = {ms}
"""


class Measured(demo_run.Performance):
    """Notes, for each interruption, how much of the answer was heard when the voice began."""

    all: ClassVar[list[Measured]] = []

    def __init__(self, *arguments: object, **more: object) -> None:
        super().__init__(*arguments, **more)  # type: ignore[arg-type]
        self.heard = Heard()
        Measured.all.append(self)

    def stepped(self, an_input: object, at: float, actions: object) -> None:
        if type(an_input).__name__ == "PartEmitted":
            self.heard.add(an_input)  # type: ignore[arg-type]
        super().stepped(an_input, at, actions)  # type: ignore[arg-type]

    def offsets_ms(self) -> list[float]:
        found = []
        for place, step in enumerate(self.script.steps):
            if not isinstance(step.verb, Interrupt) or place not in self.played:
                continue
            assert isinstance(step.verb.moment, HeardMs)
            played = self.played[place]
            heard_ms = self.heard.seconds(played.after_s, played.began_at) * 1000
            found.append(heard_ms - step.verb.moment.ms)
        return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=30)
    count = parser.parse_args().count
    chance = random.Random(7)
    import voicecli.cli.performing as performing

    performing.Performance = Measured  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder:
        names = []
        for number in range(-(-count // AT_A_TIME)):
            moments = [chance.uniform(300, 6000) for _ in range(AT_A_TIME)]
            text = HEAD + "".join(STEP.format(ms=round(ms, 1)) for ms in moments)
            text += '[[step]]\ninterrupt.press = "esc"\ninterrupt.heard_ms = 500\n'
            path = Path(folder) / f"anchors-{number}.toml"
            path.write_text(text, encoding="utf-8")
            names.append(str(path))
        flags = {"audio.mic": "none", "audio.speaker": "none"}
        plays = plays_of(names, Wanted(flags, {}), as_json=False)
        asyncio.run(play_all(plays, replace(Way(), screen=NoScreen)))
    offsets = [ms for one in Measured.all for ms in one.offsets_ms()]
    size = sorted(abs(ms) for ms in offsets)
    print(f"{len(offsets)} interruptions")
    print(f"off by: median {median(size):.2f} ms, worst {size[-1]:.2f} ms")
    print(f"from {min(offsets):+.2f} to {max(offsets):+.2f} ms; all within 40 ms: {size[-1] <= 40}")


if __name__ == "__main__":
    main()
