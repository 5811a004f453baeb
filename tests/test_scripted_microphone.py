import asyncio
from array import array

import pytest
from helpers_loop import clock, run, stall

from voicecli.audio.pcm import FRAME_SAMPLES, SILENT_FRAME, packed, unpacked
from voicecli.audio.ports import Microphone
from voicecli.audio.scripted import ScriptedMicrophone


def loud(samples, value=1000):
    return packed(array("h", [value]) * samples)


class Listener:
    """Keeps what a microphone gives, and lets the test speak at a frame."""

    def __init__(self, microphone: Microphone, cues=None):
        self.microphone = microphone
        self.cues = cues or {}
        self.frames = []
        self.times = []
        self.began_at = 0.0

    async def listen(self, seconds):
        self.began_at = clock()
        await self.microphone.start(self.heard)
        await asyncio.sleep(seconds)
        await self.microphone.close()

    def heard(self, frame):
        self.frames.append(frame)
        self.times.append(round(clock() - self.began_at, 6))
        if len(self.frames) in self.cues:
            self.cues[len(self.frames)]()

    @property
    def sound(self):
        return list(unpacked(b"".join(self.frames)))


def first_loud(sound):
    return next(place for place, sample in enumerate(sound) if sample)


def test_it_is_silent_at_the_pace_of_real_time_until_it_is_told_to_speak():
    async def main():
        listener = Listener(ScriptedMicrophone())
        await listener.listen(0.1)
        assert listener.frames == [SILENT_FRAME] * 5
        assert listener.times == [0.02, 0.04, 0.06, 0.08, 0.1]
        assert not listener.microphone.is_speaking

    run(main)


def test_what_it_is_to_say_begins_with_the_next_frame_and_is_followed_by_silence():
    async def main():
        microphone = ScriptedMicrophone()
        listener = Listener(microphone, {2: lambda: microphone.say(loud(500))})
        await listener.listen(0.1)
        assert listener.sound == [0] * 960 + [1000] * 500 + [0] * 940

    run(main)


def test_what_is_said_can_be_placed_to_the_sample():
    async def main():
        microphone = ScriptedMicrophone()
        placed = []

        def speak():
            placed.append(microphone.say(loud(10), listener.began_at + 0.0555) - listener.began_at)

        listener = Listener(microphone, {1: speak})
        await listener.listen(0.1)
        assert first_loud(listener.sound) == 0.0555 * 24_000
        assert placed == pytest.approx([0.0555])

    run(main)


def test_what_is_too_late_begins_as_soon_as_it_can_and_says_when():
    async def main():
        microphone = ScriptedMicrophone()
        placed = []

        def speak():
            placed.append(microphone.say(loud(10), listener.began_at + 0.001) - listener.began_at)

        listener = Listener(microphone, {2: speak})
        await listener.listen(0.1)
        assert first_loud(listener.sound) == 2 * FRAME_SAMPLES
        assert placed == pytest.approx([0.04])

    run(main)


def test_without_a_time_it_goes_on_behind_what_is_being_said_and_with_one_it_takes_its_place():
    async def main():
        microphone = ScriptedMicrophone()
        placed = []

        def speak():
            microphone.say(loud(960, 1))
            microphone.say(loud(960, 2))
            placed.append(microphone.say(loud(480, 3), microphone.next_at + 0.06))

        listener = Listener(microphone, {1: speak})
        await listener.listen(0.14)
        values = [listener.sound[480 * frame] for frame in range(7)]
        assert values == [0, 1, 1, 2, 3, 0, 0]

    run(main)


def test_the_end_of_what_was_said_is_told_after_its_last_frame_was_delivered():
    async def main():
        told = []
        microphone = ScriptedMicrophone(lambda: told.append(len(listener.frames)))
        listener = Listener(microphone, {1: lambda: microphone.say(loud(700))})
        await listener.listen(0.1)
        assert told == [3]

    run(main)


def test_it_has_ended_when_it_is_finished_and_has_said_all():
    async def main():
        microphone = ScriptedMicrophone()
        ended = []

        def speak():
            microphone.say(loud(960))
            microphone.finish()

        listener = Listener(microphone, {1: speak})
        for frame in (2, 3, 4):
            listener.cues[frame] = lambda: ended.append(microphone.ended)
        await listener.listen(0.1)
        assert ended == [False, True, True]
        assert len(listener.frames) == 5

    run(main)


def test_the_noise_of_the_room_goes_on_under_the_speech():
    async def main():
        noise = loud(300, 10) + loud(300, 20)
        microphone = ScriptedMicrophone(noise=noise, noise_gain=2.0)
        listener = Listener(microphone, {1: lambda: microphone.say(loud(480))})
        await listener.listen(0.06)
        loop = ([20] * 300 + [40] * 300) * 3
        speech = [0] * 480 + [1000] * 480 + [0] * 480
        assert listener.sound == [a + b for a, b in zip(loop, speech, strict=False)]

    run(main)


def test_noise_that_is_shorter_than_a_frame_and_too_loud_is_limited_and_repeated():
    async def main():
        microphone = ScriptedMicrophone(noise=loud(100, 30_000), noise_gain=1.0)
        listener = Listener(microphone, {1: lambda: microphone.say(loud(480, 30_000))})
        await listener.listen(0.04)
        assert listener.sound == [30_000] * 480 + [32_767] * 480

    run(main)


def test_after_a_stall_nothing_of_what_was_said_is_missing():
    async def main():
        microphone = ScriptedMicrophone()
        listener = Listener(
            microphone, {1: lambda: microphone.say(loud(2400)), 2: lambda: stall(0.1)}
        )
        await listener.listen(0.2)
        assert listener.sound.count(1000) == 2400
        assert first_loud(listener.sound) == 480

    run(main)
