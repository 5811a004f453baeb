"""`voicecli recordings export` as a shell sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from helpers_program import ROOT, clean_environment
from helpers_recording import Exchange, Maker

from voicecli.audio.wav import decode_wav
from voicecli.cli.export import Form

TEXTS = ("md", "txt", "json", "srt", "vtt")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    turns = [Exchange(1.0, 4000, cut_after_ms=1000), Exchange(5.0, 2000)]
    return Maker(tmp_path_factory.mktemp("export") / "made").talk(10.0, turns)


@pytest.fixture
def export(made, tmp_path):
    """Run the command in an empty folder."""

    def run(
        *arguments: str, code: int = 0, recording: Path = made
    ) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "voicecli", "recordings", "export", str(recording)]
        done = subprocess.run(
            [*command, *arguments], capture_output=True, cwd=tmp_path, stdin=subprocess.DEVNULL,
            env=clean_environment(str(tmp_path)) | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return done

    return run


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


@pytest.mark.parametrize("form", TEXTS)
def test_text_goes_to_stdout(export, tmp_path, form):
    done = export("--format", form)
    assert b"the tide comes in" in done.stdout
    assert done.stderr == b""
    assert names(tmp_path) == []


def test_several_texts_follow_each_other_on_stdout(export):
    done = export("-f", "srt", "-f", "vtt")
    assert done.stdout.startswith(b"1\n00:00:0")
    assert b"\nWEBVTT\n" in done.stdout


@pytest.mark.parametrize("form", ["wav", "flac", "html", "cast"])
def test_the_others_go_to_files_named_after_the_recording_in_the_current_folder(
    export, tmp_path, form
):
    done = export("--format", form)
    assert done.stdout == b""
    assert done.stderr.startswith(f"voicecli: wrote made.{form} (".encode())
    assert names(tmp_path) == [f"made.{form}"]


def test_all_of_it_goes_to_a_folder(export, tmp_path):
    export("--all", "out/here")
    assert names(tmp_path / "out" / "here") == sorted(f"made.{form.value}" for form in Form)


@pytest.mark.parametrize(
    ("name", "begins"),
    [("a.md", b"# made"), ("A.SRT", b"1\n"), ("a.b.wav", b"RIFF"), ("x.flac", b"fLaC")],
)
def test_the_ending_of_a_file_says_what_to_make(export, tmp_path, name, begins):
    export("--to", name)
    assert (tmp_path / name).read_bytes().startswith(begins)


def test_a_named_format_goes_into_any_file_and_into_a_folder_under_the_recordings_name(
    export, tmp_path
):
    export("--format", "json", "--to", "notes")
    assert json.loads((tmp_path / "notes").read_bytes())["facts"]["name"] == "made"
    (tmp_path / "folder").mkdir()
    export("--format", "vtt", "--to", "folder")
    assert names(tmp_path / "folder") == ["made.vtt"]


def test_sound_goes_into_a_pipe(export, made):
    done = export("--format", "wav", "--only", "user", "--to", "-")
    assert len(decode_wav(done.stdout).pcm) > 48_000 * 9
    assert done.stderr == b""


def test_sound_can_be_one_side_or_mixed(export, tmp_path):
    for number, more in enumerate((["--only", "assistant"], ["--mono"], [])):
        export("--to", f"{number}.wav", *more)
    sizes = [(tmp_path / f"{number}.wav").stat().st_size for number in range(3)]
    assert sizes[0] == sizes[1] == pytest.approx(sizes[2] / 2, abs=80)


def test_a_pipe_with_a_name_is_written_to_and_stays_one(export, tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    came: list[bytes] = []
    reader = threading.Thread(target=lambda: came.append(path.read_bytes()))
    reader.start()
    export("--format", "wav", "--to", "pipe")
    reader.join(10)
    assert came[0].startswith(b"RIFF")
    assert path.is_fifo()


def test_files_are_never_written_over_unless_that_is_wanted(export, tmp_path):
    for name in ("made.wav", "a.md"):
        (tmp_path / name).write_text("precious")
    for arguments in (("--format", "wav"), ("--to", "a.md")):
        done = export(*arguments, code=6)
        assert b"is there already" in done.stderr
        assert b"--force" in done.stderr
    assert {(tmp_path / name).read_text() for name in names(tmp_path)} == {"precious"}
    export("--format", "wav", "--force")
    export("--to", "a.md", "--force")
    assert (tmp_path / "a.md").read_text().startswith("# made")


@pytest.mark.parametrize("name", ["user.pcm", "assistant.pcm", "events.jsonl", "link"])
def test_a_recording_is_never_written_over(export, tmp_path, name):
    own = Maker(tmp_path / "own").talk(3.0, [Exchange(1.0, 1000)])
    (own / "link").symlink_to(own / "user.pcm")
    before = {path: path.read_bytes() for path in own.iterdir()}
    for to in (f"own/{name}", str(own / name)):
        done = export("--format", "wav", "--to", to, "--force", code=6, recording=own)
        assert b"is a part of a recording" in done.stderr
    assert {path: path.read_bytes() for path in own.iterdir()} == before


def test_nothing_is_made_when_not_all_of_it_can_be(export, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "made.vtt").touch()
    export("--all", "out", code=6)
    assert names(tmp_path / "out") == ["made.vtt"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "what should the recording be made into?"),
        (("--to", "talk.xyz"), "does not say what to make"),
        (("--to", "-"), "what should go to stdout?"),
        (("-f", "md", "-f", "txt", "--to", "x"), "several --format"),
        (("--all", "x", "--format", "md"), "takes no --format"),
        (("--format", "md", "--mono"), "for sound"),
        (("--format", "wav", "--mono", "--only", "user"), "cannot go together"),
        (("--format", "md", "--from-turn", "2"), "for a fixture"),
        (("--format", "mp3"), "mp3"),
    ],
)
def test_what_is_not_clear_is_refused_with_what_to_do_instead(export, tmp_path, arguments, told):
    done = export(*arguments, code=2)
    assert told in done.stderr.decode()
    assert names(tmp_path) == []


def test_a_folder_that_is_not_there_is_told(export):
    assert b"No such file or directory" in export("--to", "no/x.md", code=6).stderr


def test_without_the_library_for_flac_everything_else_is_still_made(made, export, tmp_path):
    (tmp_path / "soundfile.py").write_text("raise ImportError('not here')")
    code = "import sys; sys.path.insert(0, '.'); from voicecli.cli import main; main()"
    command = [sys.executable, "-c", code, "recordings", "export", str(made)]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments], capture_output=True, text=True, cwd=tmp_path,
            env=clean_environment(str(tmp_path)) | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    refused = run("--format", "flac")
    assert refused.returncode == 2
    assert 'pip install "voicecli[flac]"' in refused.stderr
    done = run("--all", "out")
    assert done.returncode == 0, done.stderr
    assert "left out flac" in done.stderr
    assert len(names(tmp_path / "out")) == len(Form) - 1


def test_a_fixture_tells_its_size_and_its_turns(export, tmp_path):
    done = export("--fixture", "tests/barge_in")
    assert names(tmp_path / "tests") == ["barge_in", "test_barge_in.py"]
    first, second = done.stderr.decode().splitlines()
    assert "% of " in first
    assert "turns 1 to 2" in first
    assert second.endswith("test_barge_in.py")


def test_what_could_not_be_read_is_told_once(export, made, tmp_path):
    torn = tmp_path / "torn"
    torn.mkdir()
    for file in made.iterdir():
        content = file.read_bytes()
        (torn / file.name).write_bytes(content[:-50] if file.suffix == ".jsonl" else content)
    done = export("--format", "txt", "-f", "srt", recording=torn)
    assert done.stderr.decode().count("ended suddenly") == 1
    assert b"the tide comes in" in done.stdout
