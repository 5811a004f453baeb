"""`voicecli demo` as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pyte
import pytest
from helpers_program import Program, engine_can_run
from helpers_recording import Exchange, Maker

from voicecli.demo.builtin import FOLDER, SECONDS

needs_engine = pytest.mark.skipif(not engine_can_run(), reason="the embedded engine is not here")

HEAD = '[session]\nserver = "local"\nlocal.mind = "rules"\nvad.silence_ms = 300\n'
TYPED = f'{HEAD}[[step]]\ntype = "What is 2 + 2?"\n[[step]]\nexpect.assistant = "4"\n'
WRONG = TYPED.replace('"4"\n', '"five"\n')


def ran(*arguments: str, timeout_s: float = 55.0) -> tuple[int, str, str]:
    """The exit code, stdout and stderr of a demo."""
    with Program("demo", *arguments) as program:
        code = program.wait(timeout_s)
        return code, program.shown, program.complaint


def until(condition: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Wait for what the program does elsewhere than in its output."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def written(folder: Path, text: str, name: str = "tide.toml") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


# ----------------------------------------------------------------------- without the engine


@needs_engine
def test_models_that_are_missing_are_announced_with_their_size_before_they_are_fetched(
    tmp_path: Path,
):
    nowhere = "http://127.0.0.1:9/"
    environment = {
        "VOICECLI_MODELS": str(tmp_path), "https_proxy": nowhere, "HTTPS_PROXY": nowhere,
        "PIP_INDEX_URL": nowhere, "PIP_RETRIES": "0",
    }  # fmt: skip
    script = written(tmp_path, TYPED)
    with Program("demo", script, "--fast", "--headless", environment=environment) as program:
        assert program.wait(40) == 7
        first, *_ = program.complaint.splitlines()
        assert first.startswith("voicecli: fetching moonshine-tiny-en (")
        assert f" MB) into {tmp_path}, once" in first
        assert "cannot fetch" in program.complaint
        assert "Traceback" not in program.complaint


def test_the_list_names_every_script_that_comes_along_with_its_title():
    code, shown, _ = ran("--list")
    assert code == 0
    assert [line.split()[0] for line in shown.splitlines()[1:]] == list(SECONDS)
    code, shown, _ = ran("--list", "--json")
    assert all(json.loads(line)["title"] for line in shown.splitlines())


def test_every_script_in_the_package_is_in_the_list_or_follows_one_that_is():
    then = {path.stem for path in FOLDER.glob("*.toml") for one in FOLDER.glob("*.toml")
            if f'then = "{path.name}"' in one.read_text("utf-8")}  # fmt: skip
    assert {path.stem for path in FOLDER.glob("*.toml")} == set(SECONDS) | then


def test_a_name_that_is_nearly_right_is_told():
    code, _, complaint = ran("bargein")
    assert code == 2
    assert "did you mean 'barge-in'?" in complaint


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--jobs", "0"], "--jobs 0 is out of range"),
        (["--repeat", "0"], "--repeat 0 is out of range"),
        (["--set", "nothing"], "is no NAME=VALUE"),
        (["tour", "barge-in", "--svg", "x.svg"], "a picture shows one script"),
        (["--repeat", "2", "--speaker", "x.wav"], "--speaker plays one script once"),
        (["--set", "no_such=1", "--headless"], "no script has such a variable"),
        (["--server", "openai", "--headless"], "no key for 'openai'"),
        (["nowhere.toml"], "there is no script"),
        (["--junit", "no_such_folder/results.xml"], "cannot write 'no_such_folder/results.xml'"),
        (["--svg", "."], "cannot write '.': it is a folder"),
    ],
)
def test_what_cannot_be_is_told_before_anything_begins(arguments: list[str], told: str):
    code, shown, complaint = ran(*arguments)
    assert code == 2
    assert told in complaint
    assert shown == ""


def test_no_demo_writes_into_a_recording(tmp_path: Path):
    (tmp_path / "events.jsonl").touch()
    for arguments, told in (
        (("--record", str(tmp_path)), "is a recording already"),
        (("--junit", str(tmp_path / "events.jsonl")), "it is a part of a recording"),
    ):
        code, _, complaint = ran("tour", "--headless", *arguments)
        assert code == 2
        assert told in complaint
    assert [path.name for path in tmp_path.iterdir()] == ["events.jsonl"]


def test_fast_is_for_the_engine_inside():
    code, _, complaint = ran("--fast", "--server", "ws://127.0.0.1:9/v1/realtime", "--headless")
    assert code == 2
    assert "--fast cannot hurry the server" in complaint


@pytest.mark.parametrize("setting", ['server = "lokal"', 'local.mind = "rule"'])
def test_a_server_or_mind_that_is_not_known_is_told_with_the_script(tmp_path: Path, setting: str):
    key, _, value = setting.partition(" = ")
    lines = [line for line in TYPED.splitlines() if not line.startswith(key)]
    code, _, complaint = ran(written(tmp_path, "\n".join([lines[0], setting, *lines[1:]])))
    assert code == 2
    assert f"tide.toml: session.{key}: unknown {key.split('.')[-1]} '{value[1:-1]}'" in complaint


def test_a_mistake_in_a_script_names_its_line(tmp_path: Path):
    code, _, complaint = ran(written(tmp_path, TYPED.replace("type =", "typ =")))
    assert code == 2
    assert "tide.toml:6" in complaint


# ------------------------------------------------------------------------------ with the engine


@needs_engine
def test_a_script_is_shown_as_lines_and_its_result_last(tmp_path: Path):
    code, shown, complaint = ran(written(tmp_path, TYPED), "--fast")
    assert (code, complaint) == (0, "")
    assert "assistant: 2 plus 2 is 4." in shown
    assert shown.splitlines()[-1] == "tide: 1 of 1 expectations met"


@needs_engine
@pytest.mark.parametrize(
    ("step", "told"),
    [
        ('press.say = { recording = "none-such", turn = 1 }', "press.say: there is no recording"),
        ('press.say = { wav = "tide.toml" }', "press.say: cannot read"),
        ('noise = { wav = "tide.toml" }', "noise: cannot read"),
    ],
)
def test_a_file_that_cannot_be_heard_is_told_with_its_line(tmp_path: Path, step: str, told: str):
    script = written(tmp_path, f'{HEAD}vad.mode = "none"\n[[step]]\n{step}\n')
    code, _, complaint = ran(script, "--headless")
    assert code not in (0, 1)
    assert f"tide.toml:7: {told}" in complaint


@needs_engine
def test_an_expectation_that_is_not_met_gives_exit_code_1_and_what_came_instead(tmp_path: Path):
    results = tmp_path / "results.xml"
    script = written(tmp_path, WRONG)
    code, shown, _ = ran(script, "--fast", "--headless", "--junit", str(results))
    assert code == 1
    assert "tide.toml:8: the assistant says 'five': it said '2 plus 2 is 4.'" in shown
    failure = ElementTree.parse(results).find(".//failure")
    assert failure is not None
    assert failure.get("message") == "it said '2 plus 2 is 4.'"


@needs_engine
def test_json_has_the_talk_then_the_verdicts_and_the_result(tmp_path: Path):
    code, shown, _ = ran(written(tmp_path, TYPED), "--fast", "--json")
    lines = [json.loads(line) for line in shown.splitlines()]
    kinds = [line["type"] for line in lines]
    assert code == 0
    assert kinds[0] == "session"
    assert kinds[-3:] == ["summary", "verdict", "demo"]
    assert lines[-1]["said"] == [
        {"by": "user", "text": "What is 2 + 2?", "cut": False},
        {"by": "assistant", "text": "2 plus 2 is 4.", "cut": False},
    ]
    assert lines[-1]["latencies_ms"] is None


@needs_engine
def test_many_scripts_many_times_are_a_table_and_a_line_for_each_failure(tmp_path: Path):
    scripts = [written(tmp_path, TYPED), written(tmp_path, WRONG, "wrong.toml")]
    code, shown, complaint = ran(*scripts, "--repeat", "3", "--fast")
    assert code == 1
    rows = {line.split()[0]: line.split()[1:3] for line in shown.splitlines()}
    assert rows["tide"] == ["3/3", "3/3"]
    assert rows["wrong"] == ["0/3", "0/3"]
    assert complaint.count("wrong") >= 3


@needs_engine
def test_all_scripts_that_come_along_hold_what_they_expect_and_take_as_long_as_the_list_says():
    code, shown, _ = ran(*SECONDS, "--fast", "--json")
    lines = [json.loads(line) for line in shown.splitlines()]
    results = {line["name"]: line for line in lines if line["type"] == "demo"}
    assert [failure for one in results.values() for failure in one["failures"]] == []
    assert list(results) == list(SECONDS)
    assert code == 0
    for name, seconds in SECONDS.items():
        assert results[name]["seconds"] == pytest.approx(seconds, rel=0.1, abs=2)


@needs_engine
def test_a_talk_is_recorded_and_the_recording_becomes_a_script_that_plays(tmp_path: Path):
    place = tmp_path / "rec"
    code, _, complaint = ran("telephone", "--fast", "--headless", "--record", str(place))
    assert code == 0
    assert f"recorded to {place}" in complaint
    code, text, _ = ran("--from", str(place))
    assert code == 0
    again = written(tmp_path, text)
    code, shown, complaint = ran(again, "--fast", "--headless")
    assert (code, complaint) == (0, ""), shown


@pytest.mark.parametrize("typed", ["last", "second", "second-talk"])
def test_a_script_names_the_recording_that_was_found_however_it_was_named(
    tmp_path: Path, typed: str
):
    library = tmp_path / "library"
    for number, name in enumerate(("first-talk", "second-talk")):
        Maker(library / name).talk(5, [Exchange(1.0, 1000)])
        os.utime(library / name / "events.jsonl", (number, number))
    environment = {"VOICECLI_RECORDING__PATH": str(library)}
    with Program("demo", "--from", typed, environment=environment) as program:
        assert program.wait() == 0, program.complaint
        script = tomllib.loads(program.shown)
    assert script["demo"]["title"] == "After the recording second-talk"
    recordings = [step["say"]["recording"] for step in script["step"] if "say" in step]
    assert recordings == ["second-talk"]


def test_a_speaker_that_is_no_wav_file_is_told_before_anything_is_fetched(tmp_path: Path):
    environment = {"VOICECLI_MODELS": str(tmp_path)}
    arguments = ("demo", "--headless", "--speaker", "out.mp3")
    with Program(*arguments, environment=environment) as program:
        assert program.wait() == 2
        assert "'out.mp3' is no WAV file" in program.complaint
        assert "fetching" not in program.complaint


def test_a_film_without_what_makes_it_is_a_wrong_command(tmp_path: Path):
    environment = {"PATH": str(tmp_path)}
    arguments = ("demo", "--fast", "--headless", "--gif", str(tmp_path / "x.gif"))
    with Program(*arguments, environment=environment) as program:
        assert program.wait() == 2
        assert "--gif needs agg" in program.complaint


@needs_engine
def test_pictures_show_what_was_said(tmp_path: Path):
    cast, svg = tmp_path / "demo.cast", tmp_path / "demo.svg"
    code, _, complaint = ran(
        written(tmp_path, TYPED), "--fast", "--headless", "--cast", str(cast), "--svg", str(svg)
    )
    assert (code, complaint) == (0, "")
    header, *events = [json.loads(line) for line in cast.read_text("utf-8").splitlines()]
    assert header["version"] == 3
    screen = pyte.Screen(header["term"]["cols"], header["term"]["rows"])
    stream = pyte.Stream(screen)
    for _, kind, text in events:
        if kind == "o":
            stream.feed(text)
    shown = "\n".join(line.rstrip() for line in screen.display)
    assert "assistant  2 plus 2 is 4." in shown
    assert "tide: 1 of 1 expectations met" in shown
    picture = ElementTree.fromstring(svg.read_text("utf-8"))
    words = " ".join("".join(picture.itertext()).replace("\xa0", " ").split())
    assert "2 plus 2 is 4." in words
    assert "http" not in words


@needs_engine
def test_the_sound_of_a_demo_with_two_sessions_is_in_two_files(tmp_path: Path):
    second = written(tmp_path, TYPED, "second.toml")
    first = written(tmp_path, f'[demo]\nthen = "{Path(second).name}"\n{TYPED}')
    code, _, _ = ran(first, "--fast", "--headless", "--speaker", str(tmp_path / "out.wav"))
    assert code == 0
    assert (tmp_path / "out.wav").stat().st_size > 50_000
    assert (tmp_path / "out-2.wav").stat().st_size > 50_000


@needs_engine
def test_ctrl_c_ends_a_demo_in_good_order():
    with Program("demo", "--json", "--speaker", "none") as program:
        program.until_line("user", timeout_s=40)
        program.kill(signal.SIGINT)
        assert program.wait() == 130
        assert program.lines[-1]["stopped"] is True
        assert program.lines_of("summary")[0]["reason"] == "quit"
        assert program.complaint == ""


@needs_engine
def test_ctrl_c_ends_a_fast_demo_before_the_scripts_of_another_engine(tmp_path: Path):
    other = written(tmp_path, TYPED.replace("vad.", 'local.mind_model = "other"\nvad.'))
    records = tmp_path / "records"
    records.mkdir()
    with Program("demo", "tour", other, "--fast", "--record", str(records)) as program:
        program.until(lambda: any(records.iterdir()), timeout_s=40)
        program.kill(signal.SIGINT)
        assert program.wait() == 130
        assert "tide" not in program.shown


@needs_engine
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_ended_early_leaves_nothing_temporary_behind(tmp_path: Path, number: int):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    arguments = ("--fast", "--headless", "--svg", str(tmp_path / "demo.svg"))
    with Program(
        "demo", written(tmp_path, TYPED), *arguments, environment={"TMPDIR": str(temporary)}
    ) as program:
        until(lambda: any(temporary.glob("voicecli*")))
        program.kill(number)
        # 0: it was through before the signal came.
        assert program.wait() in (0, 130), program.complaint
    assert list(temporary.glob("voicecli*")) == []


@needs_engine
def test_fast_has_one_engine_for_the_sessions_of_a_script(tmp_path: Path):
    written(tmp_path, TYPED.replace("vad.", 'local.mind_model = "other"\nvad.'), "next.toml")
    script = written(tmp_path, f'[demo]\nthen = "next.toml"\n{TYPED}')
    code, _, complaint = ran(script, "--fast", "--headless")
    assert code == 2
    assert "--fast has one engine for 'tide'" in complaint


@needs_engine
def test_at_a_terminal_the_screen_is_that_of_a_talk_and_given_back(tmp_path: Path):
    with Program("demo", written(tmp_path, TYPED), at_terminal=True) as program:
        assert program.wait(40) == 0
        assert "nothing will be heard" in program.shown
        assert "● listening" in program.shown
        assert "1 of 1 expectations met" in program.shown
        assert program.modes == program.modes_before
