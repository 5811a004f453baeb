"""The whole program against servers that break every rule, and users who have had enough."""

from __future__ import annotations

import asyncio
import http
import json
import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest
from helpers_program import Program, children_of, engine_can_run, spoken, wait_until_gone
from scripted_server import (
    SESSION,
    Peer,
    Script,
    ScriptedServer,
    greet_only,
    message,
    part,
    plain_tcp,
    response,
)

ESCAPES = (
    "\x1b]0;stolen\x07\x1b[2J\x1b[31mred\x9b5m\x1b]52;c;c3RvbGVu\x07\x1bPq\x1b\\\u202e\x08\x00"
)
"Set the title, clear the screen, copy to the clipboard, turn the text around."
OWN = re.compile(
    r"\x1b\[(\d+(;\d+)*)?m|\x1b\[\?(25|7|2026|2004)[hl]|\x1b\[\d*[AJK]|\x1b\[\?u|\x1b\[[<>]2?u"
)
"The sequences that the drawn screen itself uses."
SPEECH = Path(__file__).parent / "data" / "speech"
needs_models = pytest.mark.skipif(
    not engine_can_run(), reason="the engine or the weights of its ears are not installed"
)


def no_escapes(text: str, *, but: str = "") -> None:
    """Nothing of a stranger's got through: neither a control character nor a sequence."""
    rest = re.sub(f"[{but}]", "", OWN.sub("", text)) if but else OWN.sub("", text)
    found = re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f\u202a-\u202e\u2066-\u2069]", rest)
    assert found is None, repr(rest[max(0, found.start() - 80) : found.start() + 40])
    assert "stolen\x07" not in text


def no_traceback(program: Program) -> None:
    for text in (program.shown, program.complaint):
        assert "Traceback" not in text, text[-3000:]
        assert "never awaited" not in text
        assert "Task exception" not in text


def ended(program: Program, code: int, timeout_s: float = 20) -> str:
    """What a program that ended with `code` said on stderr."""
    assert program.wait(timeout_s) == code, program.shown[-2000:] + program.complaint[-2000:]
    no_traceback(program)
    no_escapes(program.complaint)
    return program.complaint


# ------------------------------------------------------------------------- servers that are none


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "refused the key (HTTP 401)"),
        (500, "refused the connection (HTTP 500)"),
    ],
)
def test_a_refused_handshake_says_why(status: int, words: str) -> None:
    def refuse(socket: object, _: object) -> object:
        return socket.respond(http.HTTPStatus(status), ESCAPES + "\n")  # type: ignore[attr-defined]

    with (
        ScriptedServer(greet_only, refuse) as server,  # type: ignore[arg-type]
        spoken("--server", server.url, "--json") as program,
    ):
        assert words in ended(program, 4)
        assert program.lines == []


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        ESCAPES.encode() * 200,
        b"x" * 200_000,
    ],
    ids=["plain-http", "escapes", "no-end-of-line"],
)
def test_what_is_no_websocket_server_is_told_so(answer: bytes) -> None:
    with (
        plain_tcp(answer) as port,
        spoken("--server", f"ws://127.0.0.1:{port}/v1/realtime") as program,
    ):
        assert ended(program, 4).startswith("voicecli: ")
        assert len(program.complaint) < 1500


def test_a_secure_address_with_rubbish_behind_it_is_no_secure_connection() -> None:
    with (
        plain_tcp(b"\x15\x03\x01garbage") as port,
        spoken("--server", f"wss://127.0.0.1:{port}/v1/realtime") as program,
    ):
        assert f"127.0.0.1:{port}" in ended(program, 4)


def test_a_reset_before_the_handshake_is_a_lost_connection() -> None:
    with (
        plain_tcp(b"", reset=True) as port,
        spoken("--server", f"ws://127.0.0.1:{port}/v1/realtime") as program,
    ):
        ended(program, 4)


def test_a_server_that_opens_and_then_says_nothing_can_be_left_at_once() -> None:
    async def silent(peer: Peer) -> None:
        await asyncio.sleep(60)

    with ScriptedServer(silent) as server, spoken("--server", server.url) as program:
        wait_for_client(server)
        begun = time.monotonic()
        program.kill(signal.SIGINT)
        ended(program, 130)
        assert time.monotonic() - begun < 3


@pytest.mark.parametrize(
    "first",
    [
        "[" * 100_000 + ESCAPES,
        json.dumps({"type": ESCAPES}),
    ],
    ids=["no-json", "escapes"],
)
def test_a_first_event_that_greets_nobody_is_a_broken_protocol(first: str) -> None:
    async def rude(peer: Peer) -> None:
        await peer.raw(first)

    with ScriptedServer(rude) as server, spoken("--server", server.url) as program:
        assert "session.created" in ended(program, 5)


@pytest.mark.parametrize("code", ["invalid_api_key", "anything"])
def test_a_refusal_as_first_event_is_shown_without_its_escapes(code: str) -> None:
    async def refusing(peer: Peer) -> None:
        await peer.send("error", error={"code": code, "message": f"no {ESCAPES} way"})

    with ScriptedServer(refusing) as server, spoken("--server", server.url) as program:
        assert "refused" in ended(program, 4)


def wait_for_client(server: ScriptedServer) -> None:
    deadline = time.monotonic() + 10
    while not server.logs and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.logs


# --------------------------------------------------------------------------- ends in mid-answer


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1001, "ended the session"),
        (1011, "closed the connection"),
        (3000, "refused the key"),
    ],
)
def test_a_close_in_mid_answer_is_told_after_the_summary(code: int, words: str) -> None:
    reason = "invalid api key \x1b[2J" if words == "refused the key" else "enough \x1b[2J\x9b1m"

    with (
        ScriptedServer(closing(code, reason)) as server,
        spoken("--server", server.url, "--json") as program,
    ):
        told = ended(program, 4)
        assert words in told
        assert str(code) in told
        assert program.lines[-1]["type"] == "summary"


def closing(code: int, reason: str) -> Script:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.begin("R")
        await peer.item("R", "I", "I was about to")
        await peer.deltas("R", "I", bytes(48_000))
        await peer.close(code, reason)

    return script


async def resetting(peer: Peer) -> None:
    await peer.greet()
    await peer.begin("R")
    await peer.item("R", "I", "I was about to")
    await peer.deltas("R", "I", bytes(48_000))
    await peer.until_heard(100)
    peer.reset()


@pytest.mark.parametrize("at_terminal", [False, True])
def test_a_reset_in_mid_answer_is_a_lost_connection(at_terminal: bool) -> None:
    with (
        ScriptedServer(resetting) as server,
        spoken("--server", server.url, at_terminal=at_terminal) as program,
    ):
        ended(program, 4)
        assert "was lost" in program.shown + program.complaint
        if at_terminal:
            terminal_is_given_back(program)


def terminal_is_given_back(program: Program) -> None:
    assert program.modes == program.modes_before
    for mode in ("25h", "7h", "2026l", "2004l"):
        used = re.findall(rf"\x1b\[\?{mode[:-1]}[hl]", program.shown)
        assert not used or used[-1] == f"\x1b[?{mode}", mode


# ------------------------------------------------------------------------------ a hostile minute


async def hostile_minute(peer: Peer) -> None:
    """Everything that is wrong, then a good answer: it must be heard as if nothing had been."""
    await peer.greet()
    for text in (
        "{", "null", "7", '"text"', "[]", "{}", '{"type":7}', '{"type":null}', "\u0000", "nan",
        '{"type":"response.output_audio.delta"}', "{" * 5000, '{"type":"error","error":5}',
        '{"type":"response.done","response":[]}', '{"type":"session.updated","session":null}',
        '{"type":"error","error":{"message":{"a":1},"code":[1]}}',
        '{"type":"response.created","response":{"id":7}}',
        '{"type":"conversation.item.added","item":{"id":[],"type":"message","role":"user"}}',
        json.dumps({"type": "new.event." + ESCAPES, "x": ESCAPES}),
        json.dumps({"type": "error", "error": {"code": ESCAPES, "message": ESCAPES * 20}}),
    ):  # fmt: skip
        await peer.raw(text)
    await peer.raw(b"\xff\xfe\x00 bytes")
    await peer.raw(b"")
    for rubbish in ("?", "====", "AA", "A", "not base64 \x1b[2J", "QUJD\nQUJD"):
        await peer.send("response.output_audio.delta", **part("X", "Y"), delta=rubbish)
    await peer.send("response.output_audio.delta", **part("X", "Y", -1), delta="AAA=")
    await peer.send("response.output_audio.delta", **part("", ""), delta="")
    await peer.send("response.output_audio.done", **part("none", "such"))
    await peer.send("response.done", response=response("none", "completed", [message("such")]))
    await peer.send("response.done", response=response("none", "completed", [message("such")]))
    await peer.send("conversation.item.deleted", item_id="none")
    await peer.send("conversation.item.truncated", item_id="none", content_index=9, audio_end_ms=-1)
    await peer.send("input_audio_buffer.speech_stopped", item_id="none", audio_end_ms=-5)
    await peer.send("input_audio_buffer.committed", item_id=ESCAPES, previous_item_id=ESCAPES)
    await peer.words(ESCAPES, ESCAPES * 10)
    await peer.begin("L")
    await peer.item("L", "LI", (ESCAPES + "long words ") * 40_000)
    for odd in (1, 3, 0, 961, 2, 4799):
        await peer.delta("L", "LI", bytes(odd))
    await peer.end("L", "LI", "LI", status="exploded")
    await peer.end("L", "LI")
    await peer.until_heard(400)
    await peer.answer("GOOD", "GOODI", bytes(48 * 300), "Are you still there?")
    await peer.until_heard(1500)
    await peer.close(1000, "done")


@pytest.mark.parametrize("how", ["json", "lines", "terminal"])
def test_a_hostile_minute_is_survived_and_the_next_answer_is_heard(how: str) -> None:
    arguments = ["--json"] if how == "json" else []
    with (
        ScriptedServer(hostile_minute) as server,
        spoken("--server", server.url, *arguments, at_terminal=how == "terminal") as program,
    ):
        ended(program, 4)
        assert not server.failures
        # A script gets the text as it is, with nothing in it that a terminal would obey.
        no_escapes(program.shown, but="\u202e" if how == "json" else "")
        assert "Are you still there?" in program.shown
        if how == "json":
            (good,) = [
                one for one in program.lines_of("assistant") if one["final"]
                and one["item_id"] == "GOODI"
            ]  # fmt: skip
            assert (good["heard_ms"], good["interrupted"]) == (300, False)
        if how == "terminal":
            terminal_is_given_back(program)


def test_a_burst_of_events_does_not_stop_the_microphone() -> None:
    async def flooding(peer: Peer) -> None:
        await peer.greet()
        await peer.until_heard(200)
        before = len(peer.log.appends)
        begun = time.monotonic()
        for number in range(100_000):
            await peer.raw('{"type":"rate_limits.updated","event_id":"e","rate_limits":[]}')
            if number % 2000 == 0:
                await asyncio.sleep(0)
        await peer.answer("R", "I", bytes(4800), "After the flood.")
        await peer.is_read()
        flood_s = time.monotonic() - begun
        await peer.until_heard(1000)
        gaps = [b - a for a, b in zip(peer.log.appends[before:], peer.log.appends[before + 1 :],
                                      strict=False)]  # fmt: skip
        longest.append(max(gaps))
        took.append(flood_s)
        await peer.close(1000)

    longest: list[float] = []
    took: list[float] = []
    with ScriptedServer(flooding) as server, spoken("--server", server.url, "--json") as program:
        ended(program, 4, 50)
        assert "After the flood." in program.shown
        assert longest[0] < 1.0
        assert program.lines[-1]["dropped_frames"] == 0


def test_an_enormous_message_ends_the_talk_with_its_reason() -> None:
    async def huge(peer: Peer) -> None:
        await peer.greet()
        await peer.raw(json.dumps({"type": "x", "fill": "y" * (17 * 2**20)}))

    with ScriptedServer(huge) as server, spoken("--server", server.url) as program:
        assert "more than 16 MiB" in ended(program, 5)


def test_a_session_that_is_never_confirmed_can_be_left() -> None:
    async def unconfirmed(peer: Peer) -> None:
        await peer.send("session.created", session=SESSION)
        await peer.until("session.update")

    with ScriptedServer(unconfirmed) as server, spoken("--server", server.url) as program:
        wait_for_client(server)
        time.sleep(0.3)
        program.kill(signal.SIGTERM)
        ended(program, 0)


# ----------------------------------------------------------------------- users who have had enough

MOMENTS_S = (0.1, 0.25, 0.35, 0.5)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at_terminal", [False, True])
def test_a_signal_ends_the_program_at_any_moment(number: int, at_terminal: bool) -> None:
    async def talking(peer: Peer) -> None:
        await peer.greet()
        await peer.answer("R", "I", bytes(48 * 20_000), "A very long answer.")

    with ScriptedServer(talking) as server:
        for moment_s in MOMENTS_S:
            with spoken("--server", server.url, at_terminal=at_terminal) as program:
                time.sleep(moment_s)
                was_talking = any(log.audio for log in server.logs)
                begun = time.monotonic()
                program.kill(number)
                code = program.wait(5)
                assert time.monotonic() - begun < 3, moment_s
                # Before the program is ours, the interpreter has its own way to end.
                allowed = (0,) if was_talking else (0, 130, -signal.SIGTERM, -signal.SIGINT)
                assert code in allowed, (moment_s, code, program.shown, program.complaint)
                if was_talking or code == 130:
                    no_traceback(program)
                if at_terminal:
                    terminal_is_given_back(program)
            server.logs.clear()


def test_a_terminal_that_goes_away_ends_the_talk_in_good_order() -> None:
    with (
        ScriptedServer() as server,
        spoken("--server", server.url, at_terminal=True) as program,
    ):
        program.until(lambda: "listening" in program.shown)
        program.hang_up()
        assert program.wait(5) == 0
        assert server.log.close_code == 1000


@pytest.mark.parametrize("keys", [b"q", b"\x03"], ids=["q", "ctrl-c"])
def test_a_key_ends_the_talk_and_gives_the_terminal_back(keys: bytes) -> None:
    async def talking(peer: Peer) -> None:
        await peer.greet()
        await peer.answer("R", "I", bytes(48 * 20_000), "A very long answer.")

    with (
        ScriptedServer(talking) as server,
        spoken("--server", server.url, at_terminal=True) as program,
    ):
        program.until(lambda: "long answer" in program.shown)
        assert program.modes != program.modes_before
        program.type(keys)
        ended(program, 0, 3)
        terminal_is_given_back(program)
    assert server.log.close_code == 1000


def test_more_signals_change_nothing_while_the_server_is_slow_to_say_goodbye() -> None:
    async def deaf(peer: Peer) -> None:
        await peer.greet()
        await peer.until_heard(100)
        peer.stop_reading()

    with (
        ScriptedServer(deaf) as server,
        spoken("--server", server.url, at_terminal=True) as program,
    ):
        program.until(lambda: "listening" in program.shown and server.logs[0].audio)
        begun = time.monotonic()
        program.kill(signal.SIGINT)
        program.until(lambda: "quit," in program.shown)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            program.kill(number)
        assert program.wait(5) == 0
        assert time.monotonic() - begun < 3
        no_traceback(program)
        terminal_is_given_back(program)


@needs_models
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("moment", ["starting", "talking"])
def test_the_engine_ends_with_the_program(number: int, moment: str) -> None:
    with spoken("--server", "local", "--mind", "rules", "--json") as program:
        if moment == "talking":
            program.until_line("session")
        children: list[int] = []
        deadline = time.monotonic() + 5
        while not children and time.monotonic() < deadline:
            children = children_of(program.process.pid)
            time.sleep(0.002)
        assert children
        program.kill(number)
        code = program.wait(5)
        assert wait_until_gone(children)
        if number != signal.SIGKILL and moment == "talking":
            assert code == 0
            no_traceback(program)


@needs_models
def test_an_engine_that_dies_is_a_lost_connection() -> None:
    with spoken("--server", "local", "--mind", "rules", "--json") as program:
        program.until_line("session")
        for child in children_of(program.process.pid):
            os.kill(child, signal.SIGKILL)
        assert "was lost" in ended(program, 4, 5)
        assert program.lines[-1]["type"] == "summary"


def test_a_reader_that_leaves_ends_the_talk_quietly() -> None:
    talk = f"{sys.executable} -m voicecli talk --server URL --mic none --speaker none --json"
    with ScriptedServer(talker) as server:
        line = f"{talk.replace('URL', server.url)} | head -1; echo ${{PIPESTATUS[0]}}"
        with Program("-c", line, command=("bash",)) as program:
            assert program.wait(10) == 0
            assert program.shown.splitlines()[-1] == "0"
            assert program.complaint == ""


async def talker(peer: Peer) -> None:
    await peer.greet()
    for number in range(20):
        await peer.answer(f"R{number}", f"I{number}", bytes(960), "Words.")
        await asyncio.sleep(0.05)
