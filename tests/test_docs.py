"""The reference documents say what is true, all of it, and nothing else."""

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer.main

from voicecli import reports
from voicecli.cli import app
from voicecli.config import Config, load
from voicecli.reports import Report, encode_report

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]
JSON_MD = (DOCS / "json.md").read_text(encoding="utf-8")
CONFIGURATION_MD = (DOCS / "configuration.md").read_text(encoding="utf-8")

KINDS = {
    str(one.__struct_config__.tag): one
    for one in vars(reports).values()
    if isinstance(one, type) and issubclass(one, Report) and one is not Report
}
_, *_SECTIONS = re.split(r"^## ", JSON_MD.partition("\n# ")[0], flags=re.MULTILINE)
SECTIONS = {section.partition("\n")[0]: section for section in _SECTIONS}


def test_every_type_of_report_has_its_section_and_there_are_no_others():
    assert list(SECTIONS) == list(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_every_field_of_a_report_is_described_and_there_are_no_others(name):
    described = re.findall(r"^\| `(\w+)` \| \S", SECTIONS[name], flags=re.MULTILINE)
    assert described == list(KINDS[name].__struct_fields__)


@pytest.mark.parametrize("name", KINDS)
def test_what_may_be_null_is_said_to_be_and_nothing_else_is(name):
    # Of a turn this is said once, of all its times.
    if name == "turn":
        assert "is `null`" in SECTIONS[name].partition("\n| field")[0]
        return
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", SECTIONS[name], flags=re.MULTILINE))
    said = {field for field, told in rows.items() if "`null`" in told}
    types = KINDS[name].__annotations__
    assert said == {field for field, kind in types.items() if "None" in str(kind)}


@pytest.mark.parametrize("name", KINDS)
def test_the_example_of_a_report_is_one_that_the_program_would_write(name):
    (line,) = re.findall(r"^```json\n(.+)\n```$", SECTIONS[name], flags=re.MULTILINE)
    fields = json.loads(line)
    report = msgspec.convert(fields, KINDS[name])
    assert encode_report(report, fields["at_ms"]).decode() == line


def test_the_reasons_of_the_summary_are_those_that_are_in_the_code():
    told = SECTIONS["summary"].partition("`reason` |")[2].partition("\n")[0]
    source = "".join(
        (DOCS.parent / "voicecli" / name).read_text(encoding="utf-8")
        for name in ("conversation.py", "session.py")
    )
    given = set(re.findall(r'(?:_finish|actions\.Finish)\(\s*"([^"]+)"', source))
    assert set(re.findall(r"`([^`]+)`", told)) == given


def test_the_files_in_the_configuration_document_can_be_loaded(tmp_path):
    blocks = re.findall(r"^```toml\n(.+?)^```$", CONFIGURATION_MD, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for number, block in enumerate(blocks):
        path = tmp_path / f"{number}.toml"
        path.write_text(block, encoding="utf-8")
        for profile in [None, *tomllib.loads(block).get("profiles", {})]:
            assert load({}, path=path, profile=profile, environ={}).config != Config()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_links_to_files_that_exist(document):
    targets = re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8"))
    assert [one for one in targets if not (document.parent / one).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_names_only_files_of_the_tests_that_exist(document):
    named = re.findall(r"\btests/[\w/]+\.\w+", document.read_text(encoding="utf-8"))
    assert [one for one in named if not (ROOT / one).exists()] == []


def commands_in(text: str) -> list[str]:
    """What a document tells to type, from `voicecli` on."""
    blocks = re.findall(r"^```(?:sh)?\n(.+?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`(voicecli [^`]+)`", text)
    return [found[1] for line in lines if (found := re.search(r"(?:^|[ /])(voicecli .*)", line))]


def unknown_in(line: str) -> list[str]:
    """The words of a command that the command line does not know."""
    words = shlex.split(line.partition(" | ")[0], comments=True)[1:]
    command: Any = typer.main.get_command(app)
    unknown = []
    for word in words:
        options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
        options |= {"-h", "--help"}
        subcommands = getattr(command, "commands", None)
        if re.match(r"--?[a-z]", word):
            unknown += [word] if word.partition("=")[0] not in options else []
        elif subcommands is not None:
            if word not in subcommands:
                return [*unknown, word]
            command = subcommands[word]
    return unknown


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_tells_to_type_only_what_there_is(document):
    lines = commands_in(document.read_text(encoding="utf-8"))
    assert {line: words for line in lines if (words := unknown_in(line))} == {}


def test_the_commands_of_the_readme_are_found():
    assert len(commands_in((ROOT / "README.md").read_text(encoding="utf-8"))) > 12
    assert unknown_in("voicecli talk --vol 1 --vad none") == ["--vol"]
    assert unknown_in("voicecli models fetch x") == ["fetch"]


def test_the_readme_tells_the_exit_codes_that_there_are():
    from voicecli import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.exit_code for kind in kinds} - {1}
    told = (ROOT / "README.md").read_text(encoding="utf-8").partition("tells how it ended: ")[2]
    assert set(map(int, re.findall(r"\d", told.partition("\n\n")[0]))) == codes | {0}


TESTS = {
    name
    for path in (ROOT / "tests").glob("test_*.py")
    for name in re.findall(
        r"^(?:async )?def test_(\w+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
}


def rows_with_tests(text: str) -> list[tuple[str, list[str]]]:
    """The rows of all tables whose last column is called "test…": the row, and the names in it."""
    rows = []
    for table in re.findall(r"(?:^\|.*\|\n)+", text, flags=re.MULTILINE):
        head, _, *body = table.splitlines()
        if head.split("|")[-2].strip().startswith("test"):
            names = [re.findall(r"`([a-z]\w+)`", one.split("|")[-2]) for one in body]
            rows += list(zip(body, names, strict=True))
    return rows


@pytest.mark.parametrize("name", ["engine.md", "engine-protocol.md"])
def test_each_row_names_tests_that_exist(name):
    rows = rows_with_tests((DOCS / name).read_text(encoding="utf-8"))
    assert len(rows) > 10
    assert {row: [one for one in names if one not in TESTS] for row, names in rows} == {
        row: [] for row, _ in rows
    }
    assert [
        row for row, names in rows if not names and "tests/" not in row and ".py" not in row
    ] == []


def test_every_event_of_the_api_has_its_row_or_is_said_never_to_be_sent():
    from openai_types import event_names

    text = (DOCS / "engine-protocol.md").read_text(encoding="utf-8")
    sections = dict(one.split("\n", 1) for one in text.split("\n## ")[1:])
    for side, names in event_names().items():
        table, _, never = sections[f"{side.title()} events"].partition("Never sent:")
        told = re.findall(r"^\| `([\w.]+)` \|", table, flags=re.MULTILINE)
        told += re.findall(r"`([\w.]+)`", never)
        assert sorted(told) == sorted(names)
