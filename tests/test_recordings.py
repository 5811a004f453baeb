"""`voicecli recordings`, as a user and as a script runs it; exporting has tests of its own."""

import io
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from helpers_program import Program
from helpers_recording import Exchange, Maker
from rich.console import Console
from rich.text import Text
from typer.testing import CliRunner

from voicecli import inputs
from voicecli.cli.diff import sections_of
from voicecli.cli.recordings import app
from voicecli.cli.shelf import table_of
from voicecli.cli.signals import quiet_interrupt
from voicecli.cli.tables import Column, fitted
from voicecli.errors import ConfigError, RecordingError, VoicecliError
from voicecli.recording.export.talk import talk_of
from voicecli.recording.files import Recording
from voicecli.recording.rerun.compare import compare
from voicecli.recording.shelf import prune, upkeep
from voicecli.recording.shelf.names import check_name
from voicecli.recording.shelf.shelf import shelved_in
from voicecli.ui import amounts

LONG_AGO = 1_000_000_000.0
DAY_S = 86_400.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two turns; the first answer is cut off."""
    maker = Maker(tmp_path_factory.mktemp("made") / "made", audio="none")
    return maker.talk(20, [Exchange(1.0, 4000, 2000), Exchange(5.5, 4000)])


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("VOICECLI_CONFIG", raising=False)
    monkeypatch.setenv("VOICECLI_RECORDING__PATH", str(tmp_path / "library"))
    return tmp_path / "library"


def put(
    library: Path, made: Path, name: str, *, days: int = 0, size: int = 0, sudden: bool = False
) -> Path:
    """A recording of that name, made so many days before 2026, with so much audio."""
    path = library / name
    path.mkdir(parents=True)
    created = (datetime(2026, 1, 1, tzinfo=UTC) - timedelta(days=days)).isoformat()
    text = (made / "events.jsonl").read_bytes()
    text = text.replace(b"2026-01-01T00:00:00Z", created.encode(), 1)
    if sudden:
        text = text[: text.rindex(b'"woke"')] if b'"woke"' in text else text[:-10]
    (path / "events.jsonl").write_bytes(text)
    (path / "user.pcm").write_bytes(bytes(size))
    os.utime(path / "events.jsonl", (LONG_AGO, LONG_AGO))
    return path


def run(*arguments: str, code: int = 0) -> Any:
    """Run a command; what it printed. Our own errors are raised."""
    result = CliRunner().invoke(app, arguments)
    if isinstance(result.exception, VoicecliError):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def names_in(library: Path) -> list[str]:
    return sorted(path.name for path in library.iterdir())


# ------------------------------------------------------------------------------------------- list


def test_the_list_has_tabs_between_values_for_a_pipe(library, made):
    put(library, made, "second", days=1)
    put(library, made, "first", days=2, size=1000)
    rows = [line.split("\t") for line in run("list").stdout.splitlines()]
    assert [row[0] for row in rows] == ["first", "second"]
    size = sum(file.stat().st_size for file in (library / "first").iterdir())
    assert rows[0][2:] == ["20.0", "2", "1", "made", "m", str(size), "complete"]


def test_the_list_for_programs_is_json(library, made):
    put(library, made, "one")
    (library / "empty").mkdir()
    (library / "empty" / "events.jsonl").touch()
    one, empty = sorted(json.loads(run("list", "--json").stdout), key=lambda row: row["name"])[::-1]
    assert (one["name"], one["turns"], one["interruptions"], one["state"]) == (
        "one", 2, 1, "complete",
    )  # fmt: skip
    assert one["path"] == str(library / "one")
    assert (empty["state"], empty["turns"]) == ("broken", None)
    assert "empty" in empty["error"]


def test_one_that_is_broken_is_in_the_list_with_its_error(library, made):
    put(library, made, "good")
    (library / "bad").mkdir()
    (library / "bad" / "events.jsonl").write_text("nothing")
    lines = run("list").stdout.splitlines()
    (bad,) = [line for line in lines if line.startswith("bad\t")]
    assert bad.endswith("\tbroken: this is not a recording of voicecli")
    assert len(lines) == 2


def test_an_empty_library_says_how_to_make_a_recording(library):
    result = run("list")
    assert result.stdout == ""
    assert "voicecli talk --record" in result.stderr
    assert str(library) in result.stderr
    assert json.loads(run("list", "--json").stdout) == []


def test_another_folder_can_be_listed(library, made, tmp_path):
    put(tmp_path / "results", made, "one")
    assert run("list", str(tmp_path / "results")).stdout.startswith("one\t")


def test_a_name_cannot_give_orders_to_the_terminal(library, made):
    put(library, made, "a\x1b[2Jb\tc\nd")
    output = run("list").stdout
    assert "\x1b" not in output
    assert output.count("\n") == 1
    assert output.split("\t")[0] == "ab c d"


def drawn(library: Path, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(table_of(shelved_in(library, 0.0), width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", range(20, 110, 5))
def test_every_recording_is_one_line_on_any_terminal(library, made, width):
    put(library, made, "2026-11-25-030412")
    put(library, made, "a long name that somebody has given, longer than many terminals are wide")
    put(library, made, "killed", sudden=True)
    lines = drawn(library, width)
    assert len(lines) == 4
    assert all(len(line.rstrip()) <= width for line in lines)


def test_columns_go_before_names_are_cut(library, made):
    put(library, made, "2026-11-25-030412")
    titles = " ".join(drawn(library, 100)[0].split())
    assert titles == "name date length turns cut off server model size"
    assert drawn(library, 45)[0].split() == ["name", "date", "length"]
    assert drawn(library, 20)[0].split() == ["name", "length"]
    assert "…" in drawn(library, 20)[1]


def test_one_that_ended_suddenly_is_marked(library, made):
    put(library, made, "killed", sudden=True)
    assert "ended suddenly" in "".join(drawn(library, 100))
    assert run("list").stdout.rstrip().endswith("\tsudden")


def test_a_table_may_be_narrower_than_its_narrowest(library):
    columns = [Column("name", least=20), Column("length")]
    table = fitted(columns, [[Text("x" * 30), Text("1:00")]], 5)
    assert len(table.columns) == 2


def test_the_list_at_a_terminal_is_a_table(library, made):
    put(library, made, "one")
    environment = {"VOICECLI_RECORDING__PATH": str(library)}
    with Program("recordings", "list", at_terminal=True, environment=environment) as program:
        assert program.wait() == 0
        assert "length" in program.shown
        assert "1 recording, " in program.shown


# ------------------------------------------------------------------------------------------- show


def test_the_conversation_is_shown_with_its_times(library, made):
    put(library, made, "one")
    lines = run("show", "one").stdout.splitlines()
    assert lines[0] == "recording: one"
    you = [line for line in lines if " you: " in line]
    assert [line.partition(" ")[0] for line in you] == ["0:00", "0:05"]
    (cut,) = [line for line in lines if "[cut off:" in line]
    assert "[cut off: pulls at the sea]" in cut
    assert re.search(r"\d+ ms \(turn end \d+, response \d+, first audio \d+\)", cut)
    assert re.search(r"cut off by voice after 3\.\d\d of 4\.00 s", cut)
    assert lines[-1].startswith("end: quit, 2 turns, 1 interruption")


def test_a_recording_is_shown_by_the_beginning_of_its_name_and_as_the_last_one(library, made):
    put(library, made, "2026-01-01-120000")
    assert run("show", "2026").stdout == run("show", "last").stdout


def test_the_conversation_as_json_is_what_an_export_is(library, made):
    put(library, made, "one")
    talk = json.loads(run("show", "one", "--json").stdout)
    assert [row["speaker"] for row in talk["rows"]] == ["user", "assistant"] * 2
    assert talk["facts"]["name"] == "one"


def test_typing_and_errors_are_shown_where_they_happened(library, tmp_path):
    maker = Maker(library / "one", audio="none")
    maker.open()
    maker.step(inputs.TextTyped("what time is it?"))
    maker.at = 3.0
    maker.step(inputs.Noticed("the disk is full", "recording"))
    maker.step(inputs.Noticed("quiet here", "note"))
    maker.at = 4.0
    maker.step(inputs.TextTyped("still there?"))
    maker.quit()
    text = run("show", "one").stdout
    assert "0:00 you: what time is it?  [typed]\n" in text
    rest = "0:03 error: the disk is full\n0:03 note: quiet here\n0:04 you: still there?"
    assert rest in text


def test_a_marker_is_shown_where_it_was_set(library):
    maker = Maker(library / "one", audio="none")
    maker.open()
    maker.step(inputs.TextTyped("first"))
    maker.at = 3.0
    maker.step(inputs.MarkerSet())
    maker.at = 4.0
    maker.step(inputs.TextTyped("second"))
    maker.quit()
    assert "\n0:03 marker: 1\n0:04 you: second" in run("show", "one").stdout
    environment = {"VOICECLI_RECORDING__PATH": str(library)}
    with Program("recordings", "show", "one", at_terminal=True, environment=environment) as program:
        assert program.wait() == 0
        assert "marker" in program.shown


def test_what_ended_suddenly_is_shown_as_far_as_it_goes(library, made):
    put(library, made, "killed", sudden=True)
    lines = run("show", "killed").stdout.splitlines()
    assert any(line.startswith("warning: the last line was cut off") for line in lines)
    assert lines[-1].startswith("end: ended suddenly")


def test_unheard_words_are_struck_through_at_a_terminal(library, made):
    put(library, made, "one")
    environment = {"VOICECLI_RECORDING__PATH": str(library)}
    with Program("recordings", "show", "one", at_terminal=True, environment=environment) as program:
        assert program.wait() == 0
        assert "\x1b[2;9m" in program.shown
        assert "[cut off" not in program.shown


@pytest.mark.parametrize("command", ["show", "delete"])
def test_an_unknown_name_is_an_error_with_a_hint(library, made, command):
    put(library, made, "friday")
    with pytest.raises(RecordingError) as caught:
        run(command, "fridax")
    assert caught.value.hint


# ------------------------------------------------------------------------------------------- diff


def test_two_recordings_are_laid_side_by_side(library, made):
    put(library, made, "a")
    other = put(library, made, "b")
    text = (other / "events.jsonl").read_bytes()
    (other / "events.jsonl").write_bytes(text.replace(b"moon", b"sun"))
    lines = run("diff", "a", "b").stdout.splitlines()
    assert lines[0] == "recording\ta\tb"
    answers = [line for line in lines if line.startswith("assistant\t")]
    assert len(answers) == 2
    assert all("because the [-moon-] {+sun+} pulls at the sea" in line for line in answers)
    assert [line for line in lines if line.startswith("turn ")] == ["turn 1", "turn 2"]


def test_the_comparison_for_programs_is_json(library, made):
    put(library, made, "a")
    put(library, made, "b")
    told = json.loads(run("diff", "a", "b", "--json").stdout)
    assert told["differs"] is False
    assert told["talks"]["a"]["name"] == "a"
    assert len(told["turns"]) == 2
    assert told["turns"][0]["cut"]["a"]["heard_ms"] == pytest.approx(3120, abs=50)


def test_a_script_is_told_by_the_exit_code_when_it_asks(library, made):
    put(library, made, "a")
    other = put(library, made, "b")
    run("diff", "a", "b", "--fail-if", "different", "--fail-if", "slower:10")
    text = (other / "events.jsonl").read_bytes()
    (other / "events.jsonl").write_bytes(text.replace(b"the tide come in", b"the tide go out"))
    assert run("diff", "a", "b").exit_code == 0
    result = run("diff", "a", "b", "--fail-if", "different", code=1)
    assert "2 turns differ" in result.stderr


@pytest.mark.parametrize("condition", ["", "slower", "slower:", "slower:x", "worse"])
def test_a_condition_that_is_none_is_refused_before_anything_is_read(library, condition):
    with pytest.raises(ConfigError, match="condition"):
        run("diff", "a", "b", "--fail-if", condition)


def test_the_cost_is_told_with_prices_and_not_without(library, made, tmp_path):
    put(library, made, "a")
    file = tmp_path / "prices.toml"
    file.write_text("[m]\ntext_in = 1\ntext_out = 1\naudio_in = 1\naudio_out = 1\n")
    assert "cost" not in run("diff", "a", "a").stdout
    told = json.loads(run("diff", "a", "a", "--prices", str(file), "--json").stdout)
    assert told["cost_usd"] == {"a": None, "b": None}, "the tokens are not told apart"


@pytest.mark.parametrize("content", [b"not toml", b"\xff", b"[m]\ntext_in = 1"])
def test_prices_that_cannot_be_read_are_an_error(library, tmp_path, content):
    file = tmp_path / "prices.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="prices"):
        run("diff", "a", "b", "--prices", str(file))


@pytest.mark.parametrize("width", [30, 60, 80, 120])
def test_the_comparison_fits_any_terminal(library, made, width):
    from voicecli.cli.diff import _table

    put(library, made, "a")
    with Recording.open(library / "a") as recording:
        talk = talk_of(recording)
    console = Console(file=io.StringIO(), width=width)
    for number, section in enumerate(sections_of(compare(talk, talk))):
        console.print(_table(section, width, is_first=number == 0))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert all(len(line.rstrip()) <= width for line in lines)


def test_the_comparison_at_a_terminal_has_both_names(library, made):
    put(library, made, "monday")
    put(library, made, "tuesday")
    environment = {"VOICECLI_RECORDING__PATH": str(library)}
    arguments = ("recordings", "diff", "monday", "tuesday")
    with Program(*arguments, at_terminal=True, environment=environment) as program:
        assert program.wait() == 0
        assert "monday" in program.shown
        assert "tuesday" in program.shown


# ----------------------------------------------------------------------------------------- rename


def test_a_recording_gets_another_name_in_its_folder(library, made, tmp_path):
    put(library, made, "old")
    put(tmp_path / "elsewhere", made, "old")
    run("rename", "old", "new name")
    run("rename", str(tmp_path / "elsewhere" / "old"), "there")
    assert names_in(library) == ["new name"]
    assert names_in(tmp_path / "elsewhere") == ["there"]


def test_a_name_that_is_there_is_not_taken(library, made):
    put(library, made, "old")
    (library / "new").mkdir()
    with pytest.raises(RecordingError, match="there already"):
        run("rename", "old", "new")
    with pytest.raises(RecordingError, match="there already"):
        run("rename", "old", "old")
    assert names_in(library) == ["new", "old"]


BAD_NAMES = [
    "", " ", ".", "..", "a/b", "../up", "a\\b", "C:x", 'a"b', "a<b", "a|b", "what?", "a*",
    "ends.", "ends ", " begins", "-option", "last", "LAST", "events.jsonl", "line\nend", "\x1b[2J",
    "con", "NUL", "nul.txt", "COM1", "com1.old", "LPT9", "aux ", "CONOUT$", "lpt³", "x" * 201,
    "hidden\u202eexe",
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_some_system_refuses_is_refused_everywhere(name):
    with pytest.raises(ConfigError, match="cannot be called"):
        check_name(name)


@pytest.mark.parametrize(
    "name", ["friday", "2026-11-25-030412", "für Elise", "con-fig", "a.b", "9"]
)
def test_other_names_are_taken(name):
    check_name(name)


def test_a_name_that_is_only_begun_is_not_guessed(library, made):
    put(library, made, "2026-one")
    for command in (("rename", "2026", "x"), ("delete", "2026", "--yes")):
        with pytest.raises(RecordingError) as caught:
            run(*command)
        assert "'2026-one'" in caught.value.hint
    assert names_in(library) == ["2026-one"]


# ----------------------------------------------------------------------------------------- delete


def test_recordings_are_deleted_with_their_folders(library, made):
    for name in ("a", "b", "c"):
        put(library, made, name)
    assert "deleted 2 recordings, " in run("delete", "a", "c", "a", "--yes").stdout
    assert names_in(library) == ["b"]


def test_nothing_is_deleted_when_nobody_can_be_asked(library, made):
    put(library, made, "a")
    with pytest.raises(ConfigError) as caught:
        run("delete", "a")
    assert caught.value.hint == "say --yes"
    assert names_in(library) == ["a"]


@pytest.mark.parametrize(("answer", "left"), [(b"n\r", ["a"]), (b"\r", ["a"]), (b"y\r", [])])
def test_it_asks_before_it_deletes(library, made, answer, left):
    put(library, made, "a")
    environment = {"VOICECLI_RECORDING__PATH": str(library)}
    with Program("recordings", "delete", "a", at_terminal=True, environment=environment) as program:
        program.until(lambda: "[y/N]" in program.shown)
        program.type(answer)
        assert program.wait() == (1 if left else 0)
    assert names_in(library) == left


def test_ctrl_c_at_the_question_deletes_nothing_and_is_quiet(library, made):
    put(library, made, "a")
    environment = {"VOICECLI_RECORDING__PATH": str(library)}
    with Program("recordings", "delete", "a", at_terminal=True, environment=environment) as program:
        program.until(lambda: "[y/N]" in program.shown)
        assert program.press_until_ended(b"\x03") == 130
        assert "Aborted" not in program.shown
    assert names_in(library) == ["a"]


@pytest.mark.parametrize(("kind", "code"), [(KeyboardInterrupt, 130), (EOFError, 1)])
def test_only_ctrl_c_at_a_question_is_an_interruption(kind, code):
    aborted = typer.Abort()
    aborted.__context__ = kind()
    with pytest.raises(typer.Exit) as caught, quiet_interrupt():
        raise aborted
    assert caught.value.exit_code == code


def test_a_folder_that_is_no_recording_is_left_alone(library, tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "user.pcm").write_bytes(b"mine")
    with pytest.raises(RecordingError, match="no recording"):
        run("delete", str(folder), "--yes", "--force")
    assert names_in(folder) == ["user.pcm"]


def test_the_library_itself_is_no_recording(library, made):
    put(library, made, "a")
    with pytest.raises(RecordingError, match="no recording"):
        run("delete", str(library), "--yes", "--force")
    assert names_in(library) == ["a"]


def test_other_files_in_the_folder_save_it_and_all_others_that_were_named(library, made):
    put(library, made, "clean")
    path = put(library, made, "a")
    (path / "notes.txt").write_text("mine")
    with pytest.raises(RecordingError, match=r"notes\.txt"):
        run("delete", "clean", "a", "--yes")
    assert names_in(library) == ["a", "clean"]
    run("delete", "a", "--yes", "--force")
    assert names_in(library) == ["clean"]


def test_a_link_to_a_recording_is_not_followed(library, made, tmp_path):
    target = put(tmp_path / "elsewhere", made, "a")
    library.mkdir()
    (library / "link").symlink_to(target, target_is_directory=True)
    with pytest.raises(RecordingError, match="link"):
        run("delete", "link", "--yes", "--force")
    assert sorted(path.name for path in target.iterdir()) == ["events.jsonl", "user.pcm"]


@pytest.mark.parametrize("more", [(), ("--force",)])
def test_what_a_link_in_a_recording_points_to_stays(library, made, tmp_path, more):
    path = put(library, made, "a")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("mine")
    if more:
        (path / "folder").symlink_to(tmp_path / "precious", target_is_directory=True)
    (path / "assistant.pcm").symlink_to(tmp_path / "precious" / "file")
    run("delete", "a", "--yes", *more)
    assert names_in(library) == []
    assert (tmp_path / "precious" / "file").read_text() == "mine"


def test_a_folder_with_the_name_of_a_file_is_something_foreign(library, made):
    path = put(library, made, "a")
    (path / "assistant.pcm").mkdir()
    with pytest.raises(RecordingError, match=r"assistant\.pcm"):
        run("delete", "a", "--yes")


def test_one_that_is_being_made_is_not_deleted(library, made):
    path = put(library, made, "a", sudden=True)
    os.utime(path / "events.jsonl")
    with pytest.raises(RecordingError, match="being recorded"):
        run("delete", "a", "--yes")
    run("delete", "a", "--yes", "--force")
    assert names_in(library) == []


def test_a_broken_recording_can_be_deleted(library):
    (library / "bad").mkdir(parents=True)
    (library / "bad" / "events.jsonl").touch()
    os.utime(library / "bad" / "events.jsonl", (LONG_AGO, LONG_AGO))
    run("delete", "bad", "--yes")
    assert names_in(library) == []


def test_what_is_left_of_a_deletion_cut_short_is_still_a_recording(library, made, monkeypatch):
    path = put(library, made, "a")
    unlink = Path.unlink

    def refuse(self: Path, missing_ok: bool = False) -> None:
        if self.name == "user.pcm":
            raise PermissionError(13, "Permission denied")
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(RecordingError, match="cannot delete"):
        upkeep.delete(path)
    assert (path / "events.jsonl").exists()


# ------------------------------------------------------------------------------------------ prune


class Kept:
    def __init__(self, name: str, made_at: float, size_bytes: int) -> None:
        self.name, self.made_at, self.size_bytes = name, made_at, size_bytes


def gone(rules: prune.Rules) -> str:
    """The letters of what goes: a is the oldest (5 days, 1 byte), e the newest (1 day, 16)."""
    kept = [
        Kept(name, -DAY_S * (5 - age) - 1, 2**age) for age, name in enumerate("abcde")
    ]  # fmt: skip
    return "".join(one.name for one in prune.going(kept[::-1], rules, 0.0))


@pytest.mark.parametrize(
    ("rules", "names"),
    [
        ({"older_than_s": 3 * DAY_S}, "abc"),
        ({"older_than_s": 10 * DAY_S}, ""),
        ({"larger_than_bytes": 4}, "de"),
        ({"larger_than_bytes": 1, "older_than_s": 3 * DAY_S}, "bc"),
        ({"keep": 2}, "abc"),
        ({"keep": 0}, "abcde"),
        ({"keep": 9}, ""),
        ({"keep": 4, "older_than_s": 3 * DAY_S}, "a"),
        ({"max_total_bytes": 31}, ""),
        ({"max_total_bytes": 30}, "a"),
        ({"max_total_bytes": 24}, "abc"),
        ({"max_total_bytes": 0}, "abcde"),
        ({"max_total_bytes": 0, "keep": 1}, "abcd"),
        ({"max_total_bytes": 15, "larger_than_bytes": 8}, "e"),
        ({"max_total_bytes": 14, "larger_than_bytes": 8}, "ae"),
        ({}, ""),
    ],
)
def test_the_rules_say_what_goes(rules, names):
    assert gone(prune.Rules(**rules)) == names


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12h", 43_200),
        ("30d", 30 * DAY_S),
        ("2w", 14 * DAY_S),
        ("1y", 365 * DAY_S),
        ("1.5 D", 129_600),
    ],
)
def test_lengths_of_time_are_understood(text, seconds):
    assert prune.seconds_in(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("500", 500),
        ("800kB", 800_000),
        ("500MB", 5e8),
        ("1.5G", 1.5e9),
        ("2GiB", 2 * 2**30),
        ("1 t", 1e12),
    ],
)
def test_sizes_are_understood(text, size):
    assert prune.bytes_in(text) == size


@pytest.mark.parametrize("text", ["", "d", "30", "-1d", "1m", "x1d", "1d2", "٣d", "1e3d"])
def test_other_lengths_of_time_are_refused(text):
    with pytest.raises(ConfigError, match="length of time"):
        prune.seconds_in(text)


@pytest.mark.parametrize("text", ["", "MB", "-1", "1ib", "1xb", "1 MB MB", "٣MB", "nan"])
def test_other_sizes_are_refused(text):
    with pytest.raises(ConfigError, match="size"):
        prune.bytes_in(text)


def test_pruning_shows_what_would_go_and_how_much_that_frees(library, made):
    put(library, made, "old", days=100_000 // 365, size=5000)
    put(library, made, "new")
    size = sum(file.stat().st_size for file in (library / "old").iterdir())
    output = run("prune", "--keep", "1", "--dry-run").stdout
    assert output.startswith("old\t")
    assert output.endswith(f"would free 1 recording, {amounts.size(size)}\n")
    assert names_in(library) == ["new", "old"]


def test_pruning_deletes_when_it_is_told_to(library, made):
    for days, name in enumerate(("newest", "newer", "older", "oldest")):
        put(library, made, name, days=days)
    with pytest.raises(ConfigError, match="nobody can be asked"):
        run("prune", "--keep", "2")
    assert "deleted 2 recordings" in run("prune", "--keep", "2", "--yes").stdout
    assert names_in(library) == ["newer", "newest"]
    assert run("prune", "--keep", "2").stdout == "nothing goes\n"


def test_pruning_goes_round_what_it_may_not_delete(library, made, tmp_path):
    (put(library, made, "notes") / "notes.txt").write_text("mine")
    running = put(library, made, "running", sudden=True)
    os.utime(running / "events.jsonl")
    target = put(tmp_path / "elsewhere", made, "linked")
    (library / "link").symlink_to(target, target_is_directory=True)
    put(library, made, "one")
    result = run("prune", "--keep", "0", "--yes")
    assert "deleted 1 recording" in result.stdout
    assert result.stderr.count("left alone: ") == 2
    assert names_in(library) == ["link", "notes", "running"]
    assert (target / "events.jsonl").exists()


def test_pruning_without_a_rule_is_refused(library):
    with pytest.raises(ConfigError, match="nothing says"):
        run("prune", "--yes")


# ------------------------------------------------------------------------- the path and the shell


def test_the_folder_is_named_for_scripts(library):
    assert run("path").stdout == f"{library}\n"


def completed(*words: str) -> list[str]:
    """What bash is offered for the last word."""
    environment = {
        "_VOICECLI_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["voicecli", *words]),
        "COMP_CWORD": str(len(words)),
    }
    command = ("-c", "import sys; sys.argv[0] = 'voicecli'; from voicecli.cli import main; main()")
    done = subprocess.run(
        [sys.executable, *command], env=os.environ | environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize("command", ["show", "delete", "rename", "diff"])
def test_the_shell_completes_names(library, made, command):
    put(library, made, "monday")
    put(library, made, "monster")
    put(library, made, "tuesday")
    assert completed("recordings", command, "mon") == ["monster", "monday"]


def test_the_shell_is_offered_the_word_for_the_newest(library, made):
    put(library, made, "one")
    assert completed("recordings", "show", "") == ["one", "last"]


def test_the_shell_is_told_nothing_of_errors(library, monkeypatch):
    monkeypatch.setenv("VOICECLI_RECORDING__AUDIO", "all of it")
    assert completed("recordings", "show", "o") == []


# ---------------------------------------------------------------------------------------- amounts


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0:00"), (59.9, "0:59"), (60, "1:00"), (3725, "1:02:05"), (-1, "0:00")],
)
def test_a_clock_reads(seconds, told):
    assert amounts.clock(seconds) == told


def test_a_length_is_rounded():
    assert [amounts.length(seconds) for seconds in (15.4, 15.5, 59.6)] == ["0:15", "0:16", "1:00"]


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (9960, "10 kB"), (999_499, "999 kB"),
        (999_600, "1.0 MB"), (1_259_939, "1.3 MB"), (64_000_000, "64 MB"), (5 * 10**12, "5.0 TB"),
    ],
)  # fmt: skip
def test_a_size_reads(count, told):
    assert amounts.size(count) == told


@pytest.fixture(autouse=True)
def _no_terminal_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
