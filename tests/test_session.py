"""The pumps of one live conversation, with every edge played by hand."""

import asyncio
import json
import threading
from typing import Any

import pytest
from helpers_conversation import (
    MS,
    audio,
    audio_done,
    call,
    call_item,
    created,
    done,
    played,
    session_created,
    session_updated,
    speech_started,
)
from helpers_session import HandMicrophone, Table, play

from voicecli import inputs
from voicecli.audio.pcm import FRAME_BYTES
from voicecli.audio.playback import Drained, Finished, Started
from voicecli.audio.ports import Failed, Noted
from voicecli.connection import Address, Connection
from voicecli.errors import AudioDeviceError, ConnectionFailed
from voicecli.outbox import MAX_WAITING_FRAMES
from voicecli.protocol import events
from voicecli.protocol.codec import encode
from voicecli.reports import (
    AssistantReport,
    BargeInReport,
    ErrorReport,
    NoteReport,
    SessionReport,
    SummaryReport,
    TurnReport,
)
from voicecli.tools.functions import Function, Functions


def frame(number: int) -> bytes:
    return number.to_bytes(2, "little") * (FRAME_BYTES // 2)


async def ready(table: Table) -> None:
    await table.screen.told.wait_for(SessionReport)


async def speaking(table: Table, ms: int = 1000) -> None:
    """An answer is being made and played."""
    await ready(table)
    table.link.say(created("R1"), audio("A", ms))
    await table.speaker.played.until(bool)


# ------------------------------------------------------------------------------- the ways around


def test_what_the_microphone_hears_goes_to_the_server_and_its_answer_to_the_speaker():
    async def script(table: Table) -> None:
        await ready(table)
        table.microphone.speak(frame(1))
        table.link.say(created("R1"), audio("A", 100), audio_done("A"), done("R1"))
        await table.speaker.played.until(lambda all_: len(all_) == 2)
        await table.link.sent.wait_for(events.InputAudioBufferAppend)
        table.session.quit()

    table = play(script)
    assert table.link.frames == [frame(1)]
    assert table.speaker.played.all == [("A", 0, 100 * MS), ("A", 0)]


def test_the_settings_are_the_first_thing_that_is_sent():
    async def script(table: Table) -> None:
        await ready(table)
        table.session.quit()

    assert isinstance(play(script).link.sent.all[0], events.SessionUpdate)


def test_an_interruption_truncates_right_away_and_before_what_interrupted():
    async def script(table: Table) -> None:
        await speaking(table)
        table.speaker.account = [played("A", 400, 1000)]
        table.screen.press(inputs.TextTyped("wait"))
        assert BargeInReport in map(type, table.screen.told.all)
        await table.link.sent.wait_for(events.ConversationItemCreate)
        table.session.quit()

    table = play(script)
    cancel, truncate, create = table.link.others
    assert cancel == events.ResponseCancel(response_id="R1")
    assert truncate == events.ConversationItemTruncate(
        item_id="A", content_index=0, audio_end_ms=400
    )
    assert create.item.text == "wait"
    kinds = [type(one) for one in table.screen.told.all]
    assert kinds.index(BargeInReport) < kinds.index(AssistantReport)


def test_an_answer_is_over_when_the_speaker_says_so():
    async def script(table: Table) -> None:
        await speaking(table, 100)
        table.link.say(audio_done("A"), done("R1"))
        await table.speaker.played.until(lambda all_: len(all_) == 2)
        assert table.conversation.phase == "speaking"
        at = table.link.opened_at + 1
        for report in (Started("A", 0, at), Finished("A", 0, at), Drained(at)):
            table.speaker.report(report)
        assert table.conversation.phase == "listening"
        table.session.quit()

    play(script)


def test_times_of_the_speaker_are_told_on_the_sessions_clock():
    async def script(table: Table) -> None:
        await ready(table)
        table.screen.press(inputs.TextTyped("hello"))
        sent_at = table.link.opened_at
        table.link.say(created("R1"), audio("A", 100))
        await table.speaker.played.until(bool)
        table.speaker.report(Started("A", 0, sent_at + 60))
        table.session.quit()

    turn = next(one for one in play(script).screen.told.all if isinstance(one, TurnReport))
    assert 50_000 < turn.first_sound_ms <= 60_000


# ---------------------------------------------------------------------------------------- the end


def test_a_lost_connection_ends_the_talk_with_its_error_after_the_summary():
    error = ConnectionFailed("the server went away", "start again")
    tables: list[Table] = []

    async def script(table: Table) -> None:
        tables.append(table)
        await ready(table)
        table.link.say(error)

    with pytest.raises(ConnectionFailed) as caught:
        play(script)
    assert caught.value is error
    assert tables[0].screen.summary.reason == "connection lost"


def test_quitting_ends_the_talk_with_a_summary_and_no_error():
    async def script(table: Table) -> None:
        await ready(table)
        table.screen.press(inputs.QuitPressed())

    assert play(script).screen.summary.reason == "quit"


def test_quitting_does_not_wait_for_a_function_that_is_still_running():
    class Stuck:
        def __init__(self) -> None:
            self.called = asyncio.Event()

        async def run(self, name: str, arguments: str) -> tuple[str, bool]:
            self.called.set()
            await asyncio.Event().wait()
            raise AssertionError

    async def main() -> None:
        stuck = Stuck()
        table = Table(tools=stuck)
        table.link.say(created("R1"), call("c1"))
        async with asyncio.timeout(2):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(table.session.run())
                await stuck.called.wait()
                table.session.quit()

    asyncio.run(main())


def test_a_speaker_that_fails_for_good_ends_the_talk():
    async def script(table: Table) -> None:
        await ready(table)
        table.speaker.report(Failed("the device is gone"))

    with pytest.raises(AudioDeviceError, match="the device is gone"):
        play(script)


def test_a_microphone_that_cannot_start_ends_the_talk_with_its_own_error():
    error = AudioDeviceError("there is no such file")

    async def script(table: Table) -> None: ...

    with pytest.raises(AudioDeviceError) as caught:
        play(script, microphone=lambda: HandMicrophone(fails=error))
    assert caught.value is error


# --------------------------------------------------------------------------------------- functions


def test_a_function_runs_beside_the_talk_and_its_answer_is_sent_once_it_has_one():
    may_answer = threading.Event()

    def f() -> str:
        """Wait."""
        may_answer.wait(5)
        return "done"

    async def script(table: Table) -> None:
        await ready(table)
        table.link.say(created("R1"), call("c1"), done("R1", call_item("c1")))
        await table.screen.told.until(lambda all_: any(one.type == "tool" for one in all_))
        for number in range(3):
            table.microphone.speak(frame(number))
        await table.link.sent.until(lambda _: len(table.link.frames) == 3)
        assert table.link.others == []
        may_answer.set()
        await table.link.sent.wait_for(events.ResponseCreate)
        table.session.quit()

    output, create = play(script, tools=Functions([Function(f)])).link.others
    assert output.item.fields == {
        "type": "function_call_output",
        "call_id": "c1",
        "output": "done",
    }
    assert isinstance(create, events.ResponseCreate)


# ------------------------------------------------------------------------------- a stalled network


def test_a_stalled_network_costs_the_oldest_frames_which_are_counted_and_nothing_else():
    async def script(table: Table) -> None:
        await ready(table)
        table.microphone.dropped_frames = 5
        table.link.lets_pass.clear()
        for number in range(MAX_WAITING_FRAMES + 30):
            table.microphone.speak(frame(number))
        table.screen.press(inputs.TextTyped("still here"))
        table.link.lets_pass.set()
        await table.link.sent.wait_for(events.ResponseCreate)
        table.session.quit()

    table = play(script)
    last = MAX_WAITING_FRAMES + 29
    assert table.link.frames[-MAX_WAITING_FRAMES:] == [
        frame(number) for number in range(30, last + 1)
    ]
    lost = last + 1 - len(table.link.frames)
    assert lost in (29, 30)
    assert table.screen.summary.dropped_frames == lost + 5
    assert [type(one) for one in table.link.others] == [
        events.ConversationItemCreate,
        events.ResponseCreate,
    ]


# ------------------------------------------------------------------------------------------ timers


def test_a_talk_ends_when_its_time_is_up():
    async def script(table: Table) -> None:
        await ready(table)

    assert play(script, max_minutes=0.0005).screen.summary.reason == "time limit"


def test_a_talk_from_a_file_ends_by_itself_when_nothing_was_owed_for_long_enough():
    async def script(table: Table) -> None:
        await ready(table)
        table.microphone.ended = True
        table.microphone.speak(frame(0))

    assert play(script, linger_s=0.02).screen.summary.reason == "finished"


@pytest.mark.parametrize("linger_s", [0.0, 1.0])
def test_while_something_is_being_said_the_session_wakes_now_and_then_and_does_not_spin(linger_s):
    readings = []

    def clock() -> float:
        readings.append(None)
        return asyncio.get_running_loop().time()

    async def script(table: Table) -> None:
        await speaking(table)
        table.microphone.ended = True
        table.microphone.speak(frame(0))
        before = len(readings)
        for _ in range(200):
            await asyncio.sleep(0)
        table.session.quit()
        assert len(readings) - before < 20

    play(script, linger_s=linger_s, clock=clock)


# ----------------------------------------------------------------------------- floods and silence


class FloodedSocket:
    """A socket on which very much has arrived already: receiving never waits."""

    def __init__(self, messages: list[bytes]) -> None:
        self._messages = iter(messages)
        self.is_dry = asyncio.Event()

    async def recv(self, *, decode: bool) -> bytes:
        assert decode is False
        for message in self._messages:
            return message
        self.is_dry.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def send(self, message: bytes, *, text: bool) -> None:
        assert text
        json.loads(message)


class EagerMicrophone(HandMicrophone):
    """Has a frame ready whenever the loop has time for one."""

    def __init__(self) -> None:
        super().__init__()
        self.delivered = 0

    async def start(self, deliver: Any) -> None:
        await super().start(deliver)
        asyncio.get_running_loop().call_soon(self._tick)

    def _tick(self) -> None:
        self.delivered += 1
        self.speak(frame(0))
        asyncio.get_running_loop().call_soon(self._tick)


def test_a_flood_of_events_does_not_starve_the_microphone():
    sockets = []
    delta = encode(audio("A", 20))
    first = [encode(session_updated(None)), encode(created("R1"))]

    def link() -> Connection:
        sockets.append(FloodedSocket([*first, *[delta] * 20_000]))
        opened_at = asyncio.get_running_loop().time()
        return Connection(
            sockets[0], Address("ws://localhost/"), inputs.Received(session_created()), opened_at
        )

    async def script(table: Table) -> None:
        await table.speaker.played.until(bool)
        before = table.microphone.delivered
        await sockets[0].is_dry.wait()
        during = table.microphone.delivered - before
        table.session.quit()
        assert len(table.speaker.played.all) == 20_000
        assert during >= 10

    play(script, link=link, microphone=EagerMicrophone)


def test_a_microphone_that_gives_only_zeros_is_told_of_once_until_it_sounds_again():
    async def script(table: Table) -> None:
        await ready(table)
        for silent in (True, True, False, True):
            table.microphone.silent = silent
            table.microphone.speak(frame(0))
        table.session.quit()

    told = [one for one in play(script).screen.told.all if isinstance(one, ErrorReport)]
    assert [one.source for one in told] == ["audio", "audio"]


def test_the_silence_after_a_file_is_not_a_broken_microphone():
    async def script(table: Table) -> None:
        await ready(table)
        table.microphone.ended = table.microphone.silent = True
        table.microphone.speak(frame(0))
        table.microphone.speak(frame(0))
        table.session.quit()

    table = play(script)
    assert not [one for one in table.screen.told.all if isinstance(one, ErrorReport)]


# ------------------------------------------------------------------------------------- the picture


def test_the_picture_shows_the_level_and_what_was_lost_and_is_drawn_once_more_at_the_end():
    async def script(table: Table) -> None:
        await ready(table)
        table.microphone.speak(b"\xff\x3f" * (FRAME_BYTES // 2))
        await table.screen.drawn.until(bool)
        table.speaker.underflows, table.microphone.dropped_frames = 3, 2
        table.session.quit()

    last = play(script, wants_drawing=True).screen.drawn.all[-1]
    assert (last.underflows, last.dropped_frames) == (3, 2)
    assert last.level_dbfs == pytest.approx(-6.0, abs=0.1)


def test_what_happens_is_drawn_soon_also_while_nobody_speaks():
    async def script(table: Table) -> None:
        await ready(table)
        await table.screen.drawn.until(lambda all_: len(all_) >= 2)
        table.link.say(speech_started("U1"))
        await table.screen.drawn.until(lambda all_: len(all_) >= 4)
        table.session.quit()

    play(script, wants_drawing=True)


def test_a_screen_that_does_not_draw_is_never_asked_to():
    async def script(table: Table) -> None:
        await ready(table)
        table.session.quit()

    assert play(script).screen.drawn.all == []


def test_the_summary_is_the_last_thing_that_is_told():
    async def script(table: Table) -> None:
        await speaking(table)
        table.session.quit()
        table.screen.press(inputs.TextTyped("too late"))

    told = play(script).screen.told.all
    assert [type(one) for one in told].count(SummaryReport) == 1
    assert isinstance(told[-1], SummaryReport)


# ---------------------------------------------------------------------------- devices that go away


def test_a_device_that_goes_away_is_a_note_and_is_shown_to_be_missing():
    async def script(table: Table) -> None:
        await ready(table)
        table.devices.missing = "speaker"
        table.devices.report(Noted("the speaker is gone"))
        await table.screen.drawn.until(lambda all_: any(one.missing for one in all_))
        table.session.quit()

    table = play(script, wants_drawing=True)
    assert NoteReport(message="the speaker is gone") in table.screen.told.all
    assert table.screen.drawn.all[-1].missing == "speaker"
    assert table.screen.summary.reason == "quit"


def test_devices_that_are_given_up_end_the_talk():
    async def script(table: Table) -> None:
        await ready(table)
        table.devices.report(Failed("no speaker could be opened for 60 s", "look"))

    with pytest.raises(AudioDeviceError) as raised:
        play(script)
    assert (raised.value.message, raised.value.hint) == (
        "no speaker could be opened for 60 s", "look",
    )  # fmt: skip
