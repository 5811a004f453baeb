"""Events on their way out: in order, the stale microphone frames dropped and counted."""

import asyncio

from voicecli.outbox import MAX_WAITING_FRAMES, Outbox
from voicecli.protocol.events import (
    ClientEvent,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    ResponseCreate,
)


def frame(number: int) -> InputAudioBufferAppend:
    return InputAudioBufferAppend(audio=bytes([number]))


def emptied(outbox: Outbox) -> list[ClientEvent]:
    async def take() -> list[ClientEvent]:
        return [await outbox.get() for _ in range(len(outbox))]

    return asyncio.run(take())


def test_events_leave_in_the_order_in_which_they_came():
    outbox = Outbox()
    events = [frame(1), ResponseCreate(), frame(2), InputAudioBufferCommit()]
    for event in events:
        outbox.put(event)
    assert emptied(outbox) == events
    assert outbox.dropped_frames == 0


def test_when_too_many_frames_wait_the_oldest_go_and_nothing_else_does():
    outbox = Outbox(max_frames=2)
    for event in (
        InputAudioBufferCommit(),
        frame(1),
        ResponseCreate(),
        frame(2),
        frame(3),
        frame(4),
    ):
        outbox.put(event)
    assert outbox.dropped_frames == 2
    assert emptied(outbox) == [InputAudioBufferCommit(), ResponseCreate(), frame(3), frame(4)]


def test_other_events_are_never_dropped_however_many_wait():
    outbox = Outbox(max_frames=1)
    for number in range(1000):
        outbox.put(ResponseCreate(event_id=str(number)))
    assert len(outbox) == 1000


def test_room_that_was_made_is_used_again():
    outbox = Outbox(max_frames=1)
    for number in range(5):
        outbox.put(frame(number))
        assert emptied(outbox) == [frame(number)]
    assert outbox.dropped_frames == 0


def test_two_seconds_of_microphone_may_wait():
    outbox = Outbox()
    for number in range(MAX_WAITING_FRAMES + 1):
        outbox.put(frame(number % 256))
    assert len(outbox) * 20 == 2000
    assert outbox.dropped_frames == 1


def test_who_waits_for_an_event_gets_it_when_it_comes():
    async def run() -> ClientEvent:
        outbox = Outbox()
        waiting = asyncio.ensure_future(outbox.get())
        await asyncio.sleep(0)
        assert not waiting.done()
        outbox.put(frame(7))
        return await waiting

    assert asyncio.run(run()) == frame(7)
