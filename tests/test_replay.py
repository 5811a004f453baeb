"""`voicecli replay` as a user runs it: in a pipe, at a terminal, on a speaker, and as a check."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from helpers_export import recorded
from helpers_program import ROOT, Program, clean_environment
from helpers_recording import Exchange, Maker

from voicecli import inputs
from voicecli.cli.checking import readable, readable_pair
from voicecli.cli.replaying import Replay
from voicecli.recording.files import Recording
from voicecli.recording.fold import Fold
from voicecli.recording.format import EVENTS_FILE, input_of
from voicecli.recording.heard import HeardAudio
from voicecli.recording.playing.player import Wanted
from voicecli.recording.playing.room import Room
from voicecli.ui.replay_keys import ReplayCommand

if TYPE_CHECKING:
    from vsound import VirtualSound

    from voicecli.cli.replaying import View

pytest_plugins = ["vsound"]

TURNS = [Exchange(0.5, 3000), Exchange(6.0, 6000), Exchange(9.5, 1000)]
"The second answer is cut off by the third turn."
SECONDS = 14.0
RATE_HZ = 24_000


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings; `second` is the newer one."""
    folder = tmp_path_factory.mktemp("library")
    Maker(folder / "first", audio="assistant").talk(4.0, [Exchange(0.5, 1000)])
    os.utime(folder / "first" / EVENTS_FILE, (1e9, 1e9))
    Maker(folder / "second").talk(SECONDS, TURNS)
    return folder


@pytest.fixture
def replay(library: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command in a pipe to its end."""

    def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "voicecli", "replay", *arguments], capture_output=True,
            text=True, timeout=40, check=False, cwd=ROOT,
            env=clean_environment(str(tmp_path), VOICECLI_RECORDING__PATH=str(library)),
        )  # fmt: skip
        assert done.returncode == code, done.stdout[-2000:] + done.stderr[-2000:]
        assert "Traceback" not in done.stderr
        return done

    return run


def altered(path: Path, to: Path, change: Callable[[bytes], bytes]) -> Path:
    """A copy of a recording whose events were changed."""
    to.mkdir()
    for file in path.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    (to / EVENTS_FILE).write_bytes(change((path / EVENTS_FILE).read_bytes()))
    return to


def told(path: Path) -> list[dict[str, Any]]:
    """The reports of a talk, as they were written down when it was held."""
    with Recording.open(path) as recording:
        return [entry.value(0) for entry in recording.entries() if entry.code == "tell"]


# ------------------------------------------------------------------------------------- in a pipe


def test_in_a_pipe_the_lines_of_the_talk_are_printed_at_once(replay: Any) -> None:
    done = replay("second")
    assert done.stdout.splitlines() == [
        "session: made, m, marin",
        "you: what makes the tide come in number 1",
        "latency: 630 ms",
        "assistant: the tide comes in twice a day because the moon pulls at the sea",
        "you: what makes the tide come in number 2",
        "latency: 630 ms",
        "assistant: the tide comes in twice [cut off: a day because the moon pulls at the sea]",
        "you: what makes the tide come in number 3",
        "latency: 630 ms",
        "assistant: the tide comes in twice",
        "end: quit, 3 turns, 1 interruption, 14 s, median latency 630 ms, 90 tokens",
    ]
    assert done.stderr == ""


def test_as_json_it_is_what_talk_had_told_and_the_summary(replay: Any, library: Path) -> None:
    lines = [json.loads(line) for line in replay("second", "--json").stdout.splitlines()]
    assert lines[:-1] == told(library / "second")
    summary = lines[-1]
    assert (summary["type"], summary["reason"], summary["turns"]) == ("summary", "quit", 3)
    assert (summary["at_ms"], summary["seconds"]) == (13980, 13.98)


@pytest.mark.parametrize("name", ["second", "sec", "last"])
def test_a_recording_is_named_in_short(replay: Any, name: str) -> None:
    assert "number 3" in replay(name).stdout


def test_a_recording_is_named_by_its_path(replay: Any, library: Path) -> None:
    whole = replay("second").stdout
    for path in (library / "second", library / "second" / EVENTS_FILE):
        assert replay(str(path)).stdout == whole


def test_a_part_is_told_of_and_says_where_it_stopped(replay: Any) -> None:
    lines = replay("second", "--from", "0:05.5", "--to", "9").stdout.splitlines()
    assert lines[0] == "you: what makes the tide come in number 2"
    assert lines[-1].startswith("end: stopped, 2 turns, 9 s")
    lines = replay("second", "--turn", "3").stdout.splitlines()
    assert [line for line in lines if line.startswith("you")] == [
        "you: what makes the tide come in number 3"
    ]


def test_a_reader_who_leaves_early_ends_it_without_a_word(library: Path, tmp_path: Path) -> None:
    command = f"{sys.executable} -m voicecli replay {library}/second | head -1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, timeout=30,
        cwd=ROOT, check=False, env=clean_environment(str(tmp_path)),
    )  # fmt: skip
    assert done.stdout == "session: made, m, marin\n"
    assert (done.returncode, done.stderr) == (0, "")


# ----------------------------------------------------------------------------------- what is wrong

_HEADER = (
    '{"format":"voicecli-recording","version":%d,"created":"","program":"","server":"",'
    '"settings":{}}\n'
)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"Dear diary,\ntoday\n", "not a recording of voicecli"),
        (b'{"version": 2, "width": 80}\n', "not a recording of voicecli"),
        (b"\x00\xff\x13garbage", "not a recording of voicecli"),
        ((_HEADER % 9).encode(), "newer"),
        (b'{"format":"voicecli-recording","version":1}\n', "damaged"),
    ],
    ids=["empty", "text", "asciinema", "binary", "newer", "damaged"],
)
def test_what_cannot_be_played_has_its_own_error(
    replay: Any, tmp_path: Path, content: bytes, complaint: str
) -> None:
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / EVENTS_FILE).write_bytes(content)
    done = replay(str(tmp_path / "odd"), code=6)
    assert complaint in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("option", ["--check", "--json"])
def test_the_error_is_the_same_whatever_was_to_be_done(
    replay: Any, tmp_path: Path, option: str
) -> None:
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / EVENTS_FILE).write_bytes(b"")
    done = replay(str(tmp_path / "odd"), option, code=6)
    assert "is empty" in done.stderr
    assert done.stdout == ""


def test_what_is_not_there_is_told_with_what_might_have_been_meant(
    replay: Any, tmp_path: Path
) -> None:
    assert "did you mean 'second'" in replay("secnod", code=6).stderr
    (tmp_path / "a.txt").write_text("hello")
    assert "a recording is a folder" in replay(str(tmp_path / "a.txt"), code=6).stderr
    assert replay(str(tmp_path / "none" / "there"), code=6).stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--from", "soon"], "--from 'soon' is no time"),
        (["--from", "99"], "behind the end"),
        (["--from", "5", "--to", "4"], "before the beginning"),
        (["--from", "5", "--turn", "1"], "exclude each other"),
        (["--turn", "4"], "there is no turn 4"),
        (["--only", "nobody"], "unknown --only"),
        (["--no-audio", "--speaker", "x.wav"], "exclude each other"),
        (["--model", "m"], "--model goes with --against"),
        (["--jobs", "2"], "--jobs goes with --against"),
        (["--record"], "--record goes with --against"),
        (["--fast"], "--fast goes with --against"),
        (["--against", "ws://127.0.0.1:9/v1", "--fast"], "cannot hurry the server"),
        (["--json", "--speaker", "-"], "both want stdout"),
        (["--against", "local", "--timing", "slow"], "unknown --timing"),
        (["first"], "one recording is played at a time"),
        (["--speed", "9"], "--speed"),
        (["--idle-limit", "-1"], "--idle-limit"),
        (["--speed", "nan"], "--speed"),
        (["--idle-limit", "nan"], "--idle-limit"),
        (["--check", "--turn", "2"], "--turn is for playing"),
        (["--check", "--speaker", "none"], "--speaker is for playing"),
        (["--check", "--against", "local"], "exclude each other"),
        (["--against", "local", "--from", "3"], "--from is for playing"),
        (["--against", "local", "--idle-limit", "0"], "--idle-limit is for playing"),
    ],
)
def test_what_makes_no_sense_is_refused(replay: Any, arguments: list[str], complaint: str) -> None:
    done = replay("second", *arguments, code=2)
    assert complaint in " ".join(done.stderr.split())
    assert done.stdout == ""


def test_a_recording_that_ended_suddenly_is_told_as_far_as_it_goes(
    replay: Any, library: Path, tmp_path: Path
) -> None:
    torn = altered(library / "second", tmp_path / "torn", lambda text: text[: len(text) // 2])
    done = replay(str(torn))
    assert "number 1" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("end: ended suddenly, ")
    assert done.stderr == "voicecli: the last line was cut off: the recording ended suddenly\n"
    assert json.loads(replay(str(torn), "--json").stdout.splitlines()[-1])["type"] == "summary"


def test_an_error_that_ended_the_talk_is_told(replay: Any, library: Path, tmp_path: Path) -> None:
    def failed(text: bytes) -> bytes:
        return text.replace(b'"error":null', b'"error":"the server \\u001b[31mwent away"')

    lost = altered(library / "first", tmp_path / "lost", failed)
    done = replay(str(lost))
    assert done.stderr == "voicecli: the talk had ended with an error: the server went away\n"


# ------------------------------------------------------------------------------------- the check


def test_a_recording_that_comes_out_the_same_says_so(replay: Any, library: Path) -> None:
    with Recording.open(library / "second") as recording:
        inputs = sum(input_of(entry) is not None for entry in recording.entries())
    done = replay("second", "--check")
    assert done.stdout.startswith(f"no difference: {inputs} inputs, ")
    assert done.stdout.endswith(" actions\n")


@pytest.fixture
def changed(library: Path, tmp_path: Path) -> Path:
    """A recording of a program that had counted otherwise."""

    def change(text: bytes) -> bytes:
        sent = text.index(b'"send",{"type":"conversation.item.truncate"')
        number = text.index(b'"audio_end_ms":', sent) + len(b'"audio_end_ms":')
        return text[:number] + b"9" + text[number:]

    return altered(library / "second", tmp_path / "changed", change)


def test_a_difference_is_shown_in_short_and_makes_the_exit_code_one(
    replay: Any, changed: Path
) -> None:
    lines = replay(str(changed), "--check", code=1).stdout.splitlines()
    assert lines[0].startswith("1 difference, the first at 9.7")
    assert lines[1].startswith("  after stopped [")
    assert lines[2].startswith("  was   send conversation.item.truncate audio_end_ms=9")
    assert lines[3].startswith("  is    send conversation.item.truncate audio_end_ms=")
    assert len(lines) == 4


def test_several_are_checked_whatever_becomes_of_one_of_them(
    replay: Any, changed: Path, library: Path, tmp_path: Path
) -> None:
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / EVENTS_FILE).write_bytes(b"no\n")
    lines = replay(
        str(tmp_path / "odd"), str(changed), str(library), "--check", code=1
    ).stdout.splitlines()
    assert lines[0] == "odd: this is not a recording of voicecli"
    assert lines[1].startswith("changed: 1 difference")
    assert [line.split(":")[0] for line in lines[5:7]] == ["first", "second"]
    assert lines[-1] == "4 recordings: 2 differ"


def test_a_check_for_scripts_is_one_object(replay: Any, changed: Path) -> None:
    result = json.loads(replay("second", str(changed), "--check", "--json", code=1).stdout)
    assert (result["checked"], result["different"]) == (2, 1)
    good, bad = result["recordings"]
    assert (good["name"], good["differences"], good["first"]) == ("second", 0, None)
    assert (bad["name"], bad["differences"]) == ("changed", 1)
    assert json.loads(bad["first"]["was"])[1] == "send"


class Watched:
    """A view that keeps how far it was at the last picture."""

    def __init__(self) -> None:
        self.at = 0.0

    def tell(self, report: object, at: float) -> None: ...

    def draw(self, conversation: object, meters: object, progress: Any) -> None:
        self.at = progress.at

    def note(self, message: str) -> None: ...

    def begin_anew(self, printed: object) -> None: ...


def test_keys_lead_along_the_markers(tmp_path: Path) -> None:
    given = [(at, inputs.MarkerSet()) for at in (5.0, 10.0)]
    path = recorded(tmp_path / "made", [*given, (20.0, inputs.Woke())])
    view = Watched()
    with Recording.open(path) as recording:
        replay = Replay(recording, Wanted(), cast("View", view))
        places = []
        on, back = ReplayCommand.MARKER_ON, ReplayCommand.MARKER_BACK
        for command in (back, on, on, on, back, back):
            replay.command(command)
            replay.show_beginning()
            places.append(view.at)
    assert places == [0.0, 3.0, 8.0, 8.0, 3.0, 3.0]


def test_a_line_is_made_readable() -> None:
    line = '[1.5,"tell",{"type":"user","at_ms":1500,"text":"hé","final":true}]'
    assert readable(line) == 'tell user text="hé" final=true'
    assert readable('[1,"play","item",0,480]') == 'play "item" 0 480'
    assert readable(None) == "nothing"
    assert len(readable(f'[1,"typed","{"x" * 500}"]')) == 100
    other = line.replace("hé", "ho")
    assert readable_pair(line, other) == ('tell user text="hé"', 'tell user text="ho"')
    assert readable_pair(line, None) == ('tell user text="hé" final=true', "nothing")


# -------------------------------------------------------------------------------------- the sound


def mixed(path: Path, begin_s: float, end_s: float) -> np.ndarray:
    """Both sides of a stretch of a recording."""
    room, heard = Room(), HeardAudio()
    with Recording.open(path) as recording:
        for step in Fold(recording).steps():
            for piece in heard.step(step):
                room.put(piece)
    first = round(begin_s * RATE_HZ)
    return np.frombuffer(room.mixed(first, round(end_s * RATE_HZ) - first), "<i2")


def test_a_wav_file_as_speaker_gets_what_was_heard(
    replay: Any, library: Path, tmp_path: Path
) -> None:
    path = tmp_path / "heard.wav"
    done = replay("second", "--speaker", str(path), "--from", "2", "--to", "4")
    assert "end: stopped" in done.stdout
    with wave.open(str(path)) as wav:
        heard = np.frombuffer(wav.readframes(wav.getnframes()), "<i2")
    expected = mixed(library / "second", 2.0, 4.0)
    assert np.count_nonzero(expected) > RATE_HZ
    first = np.flatnonzero(heard)[0] - np.flatnonzero(expected)[0]
    assert np.array_equal(heard[first : first + len(expected)], expected)


def test_a_pipe_as_speaker_gets_the_sound_and_stderr_the_words(
    library: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "voicecli", "replay", str(library / "second")]
    done = subprocess.run(
        [*command, "--speaker", "-", "--from", "2", "--to", "4", "--speed", "2"],
        capture_output=True, timeout=30, check=True, cwd=ROOT,
        env=clean_environment(str(tmp_path)),
    )  # fmt: skip
    heard = np.frombuffer(done.stdout, "<i2")
    assert 0.9 * RATE_HZ < np.count_nonzero(heard) <= 1.05 * RATE_HZ
    assert b"end: stopped" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_a_pipe_that_takes_no_more_sound_ends_the_replay_with_an_error(
    library: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "voicecli", "replay", str(library / "second")]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*command, "--speaker", "-"], stdout=full, stderr=subprocess.PIPE, timeout=30,
            check=False, cwd=ROOT, env=clean_environment(str(tmp_path)),
        )  # fmt: skip
    assert done.returncode == 3
    assert b"cannot write the speaker's audio" in done.stderr.splitlines()[-1]
    assert b"Traceback" not in done.stderr


def test_a_speaker_that_cannot_be_opened_is_an_error(replay: Any) -> None:
    done = replay("second", "--speaker", "/nowhere/x.wav", code=3)
    assert "cannot write '/nowhere/x.wav'" in done.stderr


def test_the_default_device_plays_what_was_heard(
    virtual_sound: VirtualSound, library: Path
) -> None:
    expected = mixed(library / "second", 2.0, 4.0)
    for _ in range(2):
        recorder = virtual_sound.recorder()
        arguments = ["replay", str(library / "second"), "--from", "2", "--to", "4"]
        with Program(*arguments, at_terminal=True) as program:
            assert program.wait() == 0
        heard = recorder.stop().samples.tobytes()
        pieces = [piece.tobytes() for piece in np.split(expected, 400) if piece.any()]
        share = sum(piece in heard for piece in pieces) / len(pieces)
        if share == 1.0:
            break
    # A busy machine loses a block, or a few; the program loses and changes nothing.
    assert share >= 0.9
    assert "nothing can be heard" not in program.shown


# ------------------------------------------------------------------------------------ at a terminal


@pytest.fixture
def screen(library: Path) -> Iterator[Callable[..., Program]]:
    """Starts a replay without sound at a terminal."""
    running: list[Program] = []

    def start(*arguments: str, sound: tuple[str, ...] = ("--no-audio",), **more: str) -> Program:
        program = Program(
            "replay", str(library / "second"), *sound, *arguments, at_terminal=True,
            environment=more,
        )  # fmt: skip
        running.append(program.__enter__())
        return program

    yield start
    for program in running:
        program.__exit__(None, None, None)


def clock(program: Program) -> str:
    """The time that the bar shows last."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", program.shown)
    return (re.findall(r"(\d+:\d\d) [━─┿┼╳●]", plain) or [""])[-1]


def gave_back(program: Program, code: int = 0) -> None:
    assert program.wait() == code
    assert program.modes == program.modes_before
    assert program.shown.endswith("\x1b[?25h")
    assert "Traceback" not in program.shown


def test_it_is_drawn_like_the_talk_with_a_bar_and_ends_with_its_summary(screen: Any) -> None:
    program = screen("--speed", "8", "--idle-limit", "0.5")
    program.until(lambda: "speaking" in program.shown)
    program.until(lambda: "8x" in program.shown)
    gave_back(program)
    assert "what makes the tide come in number 3" in program.shown
    assert "quit, 3 turns, 1 interruption, 14 s" in program.shown


def test_keys_pause_go_elsewhere_and_end_it(screen: Any) -> None:
    program = screen()
    program.until(lambda: "0:00 " in program.shown)
    program.type(b" ")
    program.until(lambda: "paused" in program.shown)
    program.type(b"]]]")
    program.until(lambda: clock(program) == "0:09")
    program.until(lambda: "number 2" in program.shown)
    program.type(b"\x1b[C")
    program.until(lambda: clock(program) == "0:13")
    program.type(b"\x1b[D")
    program.until(lambda: "turn before this: 0:00 to 0:0" in program.shown)
    program.until(lambda: clock(program) == "0:08")
    program.type(b"\x1b[H")
    program.until(lambda: "from the beginning" in program.shown)
    program.type(b"+")
    program.until(lambda: "1.25x" in program.shown)
    program.type(b"?")
    program.until(lambda: "faster, slower" in program.shown)
    program.type(b"q")
    gave_back(program)
    assert "stopped" in program.shown


def test_it_stops_before_each_turn_when_told_to(screen: Any) -> None:
    program = screen("--step", "--speed", "8", "--from", "0.4")
    program.until(lambda: "space goes on to the next turn" in program.shown)
    assert clock(program) == "0:05"
    program.type(b" ")
    program.until(lambda: clock(program) == "0:09")
    program.type(b"q")
    gave_back(program)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_the_terminal_as_it_was(screen: Any, number: int) -> None:
    program = screen()
    program.until(lambda: clock(program) == "0:01")
    program.kill(number)
    gave_back(program)


def test_a_terminal_that_is_closed_ends_it(screen: Any) -> None:
    program = screen()
    program.until(lambda: clock(program))
    program.hang_up()
    program.wait()


def test_without_a_sound_device_it_is_seen_and_says_so(screen: Any, tmp_path: Path) -> None:
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')\n")
    program = screen("--speed", "8", sound=(), PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    program.until(lambda: "nothing can be heard: PortAudio is not installed" in program.shown)
    gave_back(program)


def test_a_torn_recording_is_told_of_once_on_the_screen(
    screen: Any, library: Path, tmp_path: Path
) -> None:
    torn = altered(library / "second", tmp_path / "torn", lambda text: text[: len(text) // 2])
    with Program("replay", str(torn), "--no-audio", "--speed", "8", at_terminal=True) as program:
        gave_back(program)
        assert program.shown.count("the recording ended suddenly") == 1
        assert "ended suddenly, " in program.shown
