import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from voicecli.cli.models import app
from voicecli.engine.store import ModelStore
from voicecli.errors import ConfigError, ModelError


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    monkeypatch.setenv("VOICECLI_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("COLUMNS", "120")
    return ModelStore()


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    if result.exception is not None:
        raise result.exception
    return result.output


def test_the_list_shows_purpose_size_and_state(store: ModelStore) -> None:
    rows = run("list").splitlines()
    (ears,) = [row for row in rows if row.startswith("moonshine-tiny-en")]
    assert "speech to text" in ears
    assert "44 MB" in ears
    assert "missing" in ears
    assert "MIT" in ears
    assert "".join(rows).endswith(f"in {store.root}")


def test_the_list_for_programs_is_json(store: ModelStore) -> None:
    rows = json.loads(run("list", "--json"))
    assert [row["name"] for row in rows] == list(store.models)
    assert {row["state"] for row in rows} == {"missing"}
    assert rows[0]["bytes"] == store.model("moonshine-tiny-en").bytes


def test_damage_is_shown_and_is_an_error(store: ModelStore) -> None:
    folder = store.root / "moonshine-tiny-en"
    folder.mkdir(parents=True)
    for file in store.model("moonshine-tiny-en").files:
        (folder / file.name).write_bytes(b"not weights")
    assert "damaged" in run("list")
    with pytest.raises(ModelError) as caught:
        run("verify")
    assert caught.value.hint == "fetch again: voicecli models pull moonshine-tiny-en"


def test_nothing_here_is_nothing_to_verify(store: ModelStore) -> None:
    assert run("verify") == "no models are here\n"


@pytest.mark.parametrize("command", ["pull", "verify", "rm"])
def test_an_unknown_name_is_refused_before_anything_is_done(
    store: ModelStore, command: str
) -> None:
    with pytest.raises(ModelError, match="'gpt'"):
        run(command, "moonshine-tiny-en", "gpt")


def test_pull_needs_a_name_or_all(store: ModelStore) -> None:
    with pytest.raises(ConfigError) as caught:
        run("pull")
    assert "--all" in caught.value.hint


def test_rm_deletes_and_says_when_there_was_nothing(store: ModelStore) -> None:
    (store.root / "qwen-0.5b").mkdir(parents=True)
    assert run("rm", "qwen-0.5b") == "qwen-0.5b: removed\n"
    assert run("rm", "qwen-0.5b") == "qwen-0.5b: was not here\n"
    assert not (store.root / "qwen-0.5b").exists()
