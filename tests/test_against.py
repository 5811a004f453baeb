"""`voicecli replay --against`: recorded users talk to other servers."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from helpers_program import Program, engine_can_run
from helpers_recording import Exchange, Maker, spoken_frames, tone
from scripted_server import Peer, ScriptedServer, call

from voicecli import inputs
from voicecli.audio.pcm import SILENT_FRAME
from voicecli.recording.check import Check
from voicecli.recording.files import Recording
from voicecli.recording.rerun.turns import user_of

VOICE_MS = len(spoken_frames()) * 20
needs_models = pytest.mark.skipif(
    not engine_can_run(), reason="the engine or the weights of its ears are not installed"
)


def recorded(path: Path, *exchanges: Exchange, seconds: float = 9.0) -> Path:
    """A recording that is made quickly: a question, its answer, and what else is asked for."""
    return Maker(path).talk(seconds, list(exchanges) or [Exchange(0.5, 1000)])


def interrupted(path: Path, heard_s: float = 0.6) -> Path:
    """A recording whose second turn cuts the answer to the first one off."""
    answer_at = 0.5 + VOICE_MS / 1000 + 0.5
    return recorded(path, Exchange(0.5, 5000), Exchange(answer_at + heard_s, 800), seconds=10)


def against(server: str, *arguments: str | Path, **more: Any) -> Program:
    given = ["replay", *map(str, arguments), "--against", server]
    return Program(*given, **more)


def ended(program: Program, code: int = 0) -> list[dict[str, Any]]:
    """The objects it printed."""
    assert program.wait(40) == code, program.complaint[-2000:]
    assert "Traceback" not in program.complaint
    return program.lines if program.shown.startswith("{") else []


async def answers_all(peer: Peer) -> None:
    """Answers every turn, with a little more than a second of a tone."""
    await peer.greet()
    heard, turn = 0, 0
    while True:
        turn += 1
        begin = await loud_from(peer, heard)
        await peer.speech(f"u{turn}", began_ms=begin)
        heard = begin + VOICE_MS + 200
        await peer.until_heard(heard)
        await peer.send("input_audio_buffer.speech_stopped", item_id=f"u{turn}", audio_end_ms=heard)
        await peer.send("input_audio_buffer.committed", item_id=f"u{turn}", previous_item_id=None)
        await peer.words(f"u{turn}", "ten of clubs")
        await peer.answer(f"R{turn}", f"a{turn}", tone(1200), "the tide comes in")


async def loud_from(peer: Peer, start_ms: int) -> int:
    """Wait for sound that is no silence; gives where it begins, in milliseconds."""
    position = start_ms
    while True:
        await peer.until_heard(position + 20)
        frame = bytes(peer.log.audio[position * 48 : (position + 20) * 48])
        if frame.strip(b"\0"):
            return position
        position += 20


# -------------------------------------------------------------------------- with a scripted server


def test_an_interruption_comes_where_it_was_in_what_is_heard_of_the_new_answer(
    tmp_path: Path,
) -> None:
    source = interrupted(tmp_path / "one")
    with (
        ScriptedServer(answers_all) as server,
        against(server.url, source, "--record", tmp_path / "out", "--json") as program,
    ):
        one, total = ended(program)
    assert (one["type"], total["type"]) == ("rerun", "total")
    assert (one["turns"], one["answered"], one["expected"]) == (2, 2, 2)
    assert (one["interruptions"], one["reproduced"]) == (1, 1)
    # This server takes the room, which is faded in before the voice, for the voice.
    assert -85 <= one["off_ms"][0] <= 20
    assert one["failures"] == []
    assert (total["recordings"], total["failed"]) == (1, 0)


def test_the_result_is_a_recording_that_names_its_source(tmp_path: Path) -> None:
    source = interrupted(tmp_path / "one")
    with (
        ScriptedServer(answers_all) as server,
        against(server.url, source, "--record", tmp_path / "out", "--json") as program,
    ):
        one, _ = ended(program)
    assert one["result"] == str(tmp_path / "out" / "one")
    with Recording.open(Path(one["result"])) as result, Recording.open(source) as original:
        assert result.header.source == "one"
        assert result.header.settings == original.header.settings
        assert result.is_complete
        assert list(Check(result).differences()) == []
        again, before = user_of(result), user_of(original)
    assert [turn.kind for turn in again.turns] == ["spoken", "spoken"]
    cut, was = again.turns[1].cut_heard_s, before.turns[1].cut_heard_s
    assert cut is not None
    assert was is not None
    # By the voice as it is found in the result: to some frames.
    assert cut == pytest.approx(was, abs=0.1)


def test_the_server_gets_the_recorded_settings_and_the_model_that_was_asked_for(
    tmp_path: Path,
) -> None:
    source = recorded(tmp_path / "one")
    with (
        ScriptedServer(answers_all) as server,
        against(server.url, source, "--model", "other", "--record", tmp_path / "out") as program,
    ):
        assert program.wait(40) == 0, program.complaint
    (update,) = server.log.of("session.update")
    assert update.event["session"]["audio"]["input"]["transcription"] == {"model": "whisper"}
    assert server.paths == ["/v1/realtime?model=other"]


def test_a_profile_goes_before_what_was_recorded_and_the_rest_of_the_file_does_not(
    tmp_path: Path,
) -> None:
    source = recorded(tmp_path / "one")
    file = tmp_path / "config.toml"
    file.write_text('voice = "marin"\nlanguage = "de"\n[profiles.loud]\nvoice = "cedar"\n')
    chosen = ("--config", file, "--profile", "loud", "--record", tmp_path / "out")
    with (
        ScriptedServer(answers_all) as server,
        against(server.url, source, *chosen) as program,
    ):
        assert program.wait(40) == 0, program.complaint
    (update,) = server.log.of("session.update")
    sound = update.event["session"]["audio"]
    assert sound["output"]["voice"] == "cedar"
    assert sound["input"]["transcription"] == {"model": "whisper"}


def test_a_turn_that_is_not_answered_fails_the_recording_and_no_other_one(tmp_path: Path) -> None:
    async def answers_the_first_client(peer: Peer) -> None:
        if len(server.logs) == 1:
            await answers_all(peer)
        await peer.greet()
        begin = await loud_from(peer, 0)
        await peer.speech("u1", began_ms=begin)
        await peer.until_heard(begin + VOICE_MS + 300)
        await peer.speech("u1", began_ms=begin, ended_ms=begin + VOICE_MS)
        await peer.words("u1", "")

    for name in ("one", "two"):
        recorded(tmp_path / "in" / name)
    with (
        ScriptedServer(answers_the_first_client) as server,
        against(server.url, tmp_path / "in", "--record", tmp_path / "out", "--json") as program,
    ):
        one, two, total = ended(program, code=1)
    assert (one["failures"], two["failures"]) == ([], ["turn 1 was not answered"])
    assert (total["recordings"], total["failed"], total["answered"]) == (2, 1, 1)


def test_a_server_that_hangs_up_and_a_recording_that_is_none_do_not_stop_the_others(
    tmp_path: Path,
) -> None:
    async def hangs_up_on_the_first(peer: Peer) -> None:
        if len(server.logs) == 1:
            await peer.greet()
            await peer.close(1011, "out of order")
            return
        await answers_all(peer)

    for name in ("one", "three"):
        recorded(tmp_path / "in" / name)
    broken = tmp_path / "in" / "two"
    broken.mkdir()
    (broken / "events.jsonl").write_text('{"format":"something else"}\n')
    folder = (tmp_path / "in" / "one", broken, tmp_path / "in" / "three")
    with (
        ScriptedServer(hangs_up_on_the_first) as server,
        against(server.url, *folder, "--record", tmp_path / "out", "--json") as program,
    ):
        one, two, three, total = ended(program, code=1)
    assert len(one["failures"]) == 1
    assert two["failures"] == ["this is not a recording of voicecli"]
    assert (two["result"], two["turns"]) == (None, 0)
    assert three["failures"] == []
    assert total["failed"] == 2


def test_a_server_that_cannot_be_reached_fails_every_recording(tmp_path: Path) -> None:
    source = recorded(tmp_path / "one")
    with against("ws://127.0.0.1:9", source, "--record", tmp_path / "out") as program:
        assert program.wait(40) == 1
    assert "voicecli: one: " in program.complaint
    assert "Traceback" not in program.complaint


def test_the_recorded_output_of_a_function_answers_the_new_models_call(tmp_path: Path) -> None:
    source = with_call(tmp_path / "one")
    outputs = []

    async def calls(peer: Peer) -> None:
        await peer.greet()
        begin = await loud_from(peer, 0)
        await peer.speech("u1", began_ms=begin)
        await peer.until_heard(begin + VOICE_MS + 200)
        await peer.send("input_audio_buffer.speech_stopped", item_id="u1", audio_end_ms=begin)
        await peer.send("input_audio_buffer.committed", item_id="u1", previous_item_id=None)
        await peer.begin("R1")
        item = call("c9", "weather", '{"city":"Rome"}')
        await peer.send("response.output_item.done", response_id="R1", output_index=0, item=item)
        await peer.end("R1", item)
        came = await peer.until("conversation.item.create")
        outputs.append(came.event["item"]["output"])
        await peer.until("response.create")
        await peer.answer("R2", "a2", tone(500), "it is sunny")

    with (
        ScriptedServer(calls) as server,
        against(server.url, source, "--record", tmp_path / "out", "--json") as program,
    ):
        one, _ = ended(program)
    assert outputs == ["it is sunny in Bern"]
    assert one["failures"] == []


def with_call(path: Path) -> Path:
    """A recording in which the model called a function."""
    from helpers_conversation import committed, created, done, speech_stopped

    from voicecli.protocol import events
    from voicecli.protocol.objects import Item

    maker = Maker(path)
    maker.open()
    item = call("c1", "weather", '{"city":"Bern"}')
    script: dict[int, list[inputs.Input]] = {
        5: [inputs.Received(events.InputAudioBufferSpeechStarted(item_id="u1", audio_start_ms=0))],
        80: [inputs.Received(speech_stopped("u1")), inputs.Received(committed("u1"))],
        85: [
            inputs.Received(created("R1")),
            inputs.Received(
                events.ResponseOutputItemDone(response_id="R1", output_index=0, item=Item(item))
            ),
            inputs.Received(done("R1", item)),
            inputs.ToolFinished("c1", "it is sunny in Bern"),
        ],
    }
    frames = iter([*spoken_frames(), *[SILENT_FRAME] * 200])
    for tick in range(150):
        maker.at = round(maker.at + 0.02, 6)
        for an_input in script.get(tick, []):
            maker.step(an_input)
        maker.step(inputs.MicFrame(next(frames)))
    maker.quit()
    return path


def test_by_the_recorded_clock_the_second_turn_waits_for_nothing(tmp_path: Path) -> None:
    source = recorded(tmp_path / "one", Exchange(0.5, 500), Exchange(4.0, 500), seconds=8)
    with (
        ScriptedServer(answers_all) as server,
        against(
            server.url, source, "--timing", "original", "--record", tmp_path / "out", "--json"
        ) as program,
    ):
        ended(program)
    with Recording.open(tmp_path / "out" / "one") as result, Recording.open(source) as original:
        times = [[turn.begins_at for turn in user_of(one).turns] for one in (original, result)]
    assert times[1][1] - times[1][0] == pytest.approx(times[0][1] - times[0][0], abs=0.07)


def test_ctrl_c_ends_in_good_order_and_tells_of_what_there_is(tmp_path: Path) -> None:
    for name in ("one", "two"):
        recorded(tmp_path / "in" / name)

    is_under_way = threading.Event()

    async def never_answers(peer: Peer) -> None:
        await peer.greet()
        await peer.until_heard(400)
        is_under_way.set()

    with (
        ScriptedServer(never_answers) as server,
        against(server.url, tmp_path / "in", "--record", tmp_path / "out", "--json") as program,
    ):
        assert is_under_way.wait(20)
        program.kill(signal.SIGINT)
        one, total = ended(program, code=130)
    assert one["failures"] == ["stopped"]
    assert total["recordings"] == 1
    with Recording.open(tmp_path / "out" / "one") as result:
        assert result.is_complete


def test_results_do_not_take_the_place_of_what_is_there(tmp_path: Path) -> None:
    source = recorded(tmp_path / "one")
    for name in ("one", "one-2"):
        with (
            ScriptedServer(answers_all) as server,
            against(server.url, source, "--record", tmp_path / "out", "--json") as program,
        ):
            result, _ = ended(program)
        assert Path(result["result"]).name == name


def test_several_run_at_a_time(tmp_path: Path) -> None:
    for name in ("one", "two", "three", "four"):
        recorded(tmp_path / "in" / name)
    with (
        ScriptedServer(answers_all) as server,
        against(
            server.url, tmp_path / "in", "--jobs", "4", "--record", tmp_path / "out", "--json"
        ) as program,
    ):
        *each, total = ended(program)
    assert [one["name"] for one in each] == ["four", "one", "three", "two"]
    assert [one["failures"] for one in each] == [[], [], [], []]
    assert total["seconds"] < 0.6 * sum(one["seconds"] for one in each)


def test_a_table_is_printed_for_people_and_names_what_failed_on_stderr(tmp_path: Path) -> None:
    for name in ("one", "two"):
        recorded(tmp_path / "in" / name)
    with (
        ScriptedServer(answers_all) as server,
        against(
            server.url, tmp_path / "in", "--jobs", "2", "--record", tmp_path / "out"
        ) as program,
    ):
        assert program.wait(40) == 0, program.complaint
    header, one, two, total = program.shown.splitlines()
    assert header.split()[:3] == ["recording", "turns", "answered"]
    assert one.split()[:3] == ["one", "1", "1/1"]
    assert two.split()[:3] == ["two", "1", "1/1"]
    assert total.startswith("2 in ")
    assert program.complaint == ""


def test_one_recording_at_a_terminal_is_seen_as_a_talk_is(tmp_path: Path) -> None:
    source = recorded(tmp_path / "one")
    with (
        ScriptedServer(answers_all) as server,
        against(server.url, source, "--record", tmp_path / "out", at_terminal=True) as program,
    ):
        assert program.wait(40) == 0
    assert "the tide comes in" in program.shown
    assert "1/1" in program.shown.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--timing", "sometimes"], "'sometimes'"),
        (["--jobs", "0"], "0"),
        (["--jobs", "99"], "99"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    tmp_path: Path, arguments: list[str], says: str
) -> None:
    source = recorded(tmp_path / "one")
    with against("ws://127.0.0.1:9", source, *arguments) as program:
        assert program.wait(20) == 2
    assert says in program.complaint


def test_what_nobody_can_listen_to_is_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        recorded(tmp_path / "in" / name)
    with against(
        "ws://127.0.0.1:9", tmp_path / "in", "--speaker", str(tmp_path / "x.wav")
    ) as program:
        assert program.wait(20) == 2
    assert "there are several" in program.complaint


# ---------------------------------------------------------------------------------- with the engine


@needs_models
def test_a_recorded_user_interrupts_the_engine_where_he_did(tmp_path: Path) -> None:
    for name in ("one", "two"):
        interrupted(tmp_path / "in" / name)
    with against(
        "local", tmp_path / "in", "--jobs", "2", "--record", tmp_path / "out", "--json",
        environment={"VOICECLI_LOCAL__MIND": "rules"},
    ) as program:  # fmt: skip
        *each, total = ended(program)
    assert (total["answered"], total["expected"]) == (4, 4)
    assert (total["reproduced"], total["interruptions"]) == (2, 2)
    assert total["worst_off_ms"] <= 40
    for one in each:
        lines = (Path(one["result"]) / "events.jsonl").read_bytes().splitlines()
        told = [json.loads(line)[2] for line in lines if b'"tell",{"type":"user"' in line]
        words = [report["text"].lower() for report in told if report["final"]]
        assert any("clubs" in text for text in words)


def test_what_was_expected_and_did_not_come_fails_the_recording(tmp_path: Path) -> None:
    original = recorded(tmp_path / "one", seconds=6)
    own, named = original / "expect.toml", tmp_path / "named.toml"
    own.write_text('[expect]\nassistant = {contains = "elephant"}\nno_errors = true\n')
    named.write_text("[[step]]\nsay = 'x'\n[[step]]\nexpect.heard.contains = 'the tide comes in'\n")
    with (
        ScriptedServer(answers_all) as server,
        against(server.url, original, "--json", "--record", tmp_path / "a") as program,
    ):
        result, _ = ended(program, 1)
    assert result["failures"] == [
        "expected that the assistant says 'elephant': it said 'the tide comes in'"
    ]
    with (
        ScriptedServer(answers_all) as server,
        against(
            server.url, original, "--json", "--record", tmp_path / "a", "--expect", named
        ) as program,
    ):
        result, _ = ended(program, 0)
    assert result["failures"] == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[[step]]\nsay = 'x'\n", "there is no expectation in it"),
        ("[expect]\nelephants = 1\n", "elephants"),
        ("[expect\n", "expect.toml:1"),
    ],
)
def test_a_mistake_in_what_is_expected_shows_before_anything_begins(
    tmp_path: Path, text: str, reason: str
) -> None:
    original = recorded(tmp_path / "one", seconds=6)
    (original / "expect.toml").write_text(text)
    with against("ws://127.0.0.1:9/", original, "--record", tmp_path / "a") as program:
        ended(program, 2)
    assert reason in program.complaint


@needs_models
def test_in_a_hurry_a_recorded_user_has_the_same_talk_each_time(tmp_path: Path) -> None:
    interrupted(tmp_path / "in" / "one")
    heard, results = [], []
    for attempt in ("talk1", "talk2"):  # as long as the other: marks count bytes
        wav = tmp_path / f"{attempt}.wav"
        with against(
            "local", tmp_path / "in", "--fast", "--record", tmp_path / attempt, "--json",
            "--speaker", str(wav), environment={"VOICECLI_LOCAL__MIND": "rules"},
        ) as program:  # fmt: skip
            one, total = ended(program)
        assert (one["answered"], one["reproduced"], one["off_ms"]) == (2, 1, [0])
        assert total["seconds"] < one["seconds"] / 2
        heard.append(wav.read_bytes())
        result = Path(one["result"])
        with Recording.open(result) as recording:
            assert list(Check(recording).differences()) == []
        # The header says when it was made.
        results.append((result / "events.jsonl").read_bytes().split(b"\n", 1)[1])
    assert heard[0] == heard[1]
    assert results[0] == results[1]
