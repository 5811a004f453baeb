"""`voicecli talk --server local`: functions that the engine calls, stages that are elsewhere."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from helpers_http import HttpServer, events, models, said
from helpers_program import Program, engine_can_run, spoken

SPEECH = Path(__file__).parent / "data" / "speech"
FORWARD = SPEECH / "goforward.wav"
LOCAL = ("--server", "local", "--mind", "rules")
needs_models = pytest.mark.skipif(
    not engine_can_run(), reason="the engine or the weights of its ears are not installed"
)
needs_mind = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None, reason="what runs a mind is not installed"
)
TOOLS = '''
def go_forward(meters: int) -> str:
    """Drive.

    Args:
        meters: how far.
    """
    return f"drove {meters} meters"
'''


@pytest.fixture
def tools(tmp_path: Path) -> str:
    path = tmp_path / "mytools.py"
    path.write_text(TOOLS)
    return str(path)


def answers(program: Program) -> list[str]:
    return [line["text"] for line in program.lines_of("assistant") if line["final"]]


@needs_models
def test_spoken_words_run_a_function_of_the_user_and_its_result_is_spoken(tools: str) -> None:
    with spoken(
        *LOCAL, "--tools", tools, "--mic", str(FORWARD), "--linger", "0.5", "--json"
    ) as program:
        assert program.wait(30) == 0, program.complaint
        (call,) = [one for one in program.lines_of("tool") if one["output"] is not None]
        assert (call["name"], json.loads(call["arguments"])) == ("go_forward", {"meters": 10})
        assert answers(program) == ["Drove 10 meters."]
        assert program.complaint == ""


@needs_models
@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals here")
def test_a_typed_message_runs_a_function_too(tools: str) -> None:
    with spoken(*LOCAL, "--tools", tools, at_terminal=True) as program:
        program.until(lambda: "listening" in program.shown.lower())
        program.type(b"\rGo forward seven meters, please.\r")
        program.until(lambda: "Drove 7 meters." in program.shown)
        program.type(b"q")
        assert program.wait() == 0


def without_models(folder: Path) -> dict[str, str]:
    """A program that has nothing yet, and can fetch nothing."""
    nowhere = "http://127.0.0.1:9/"
    return {
        "VOICECLI_MODELS": str(folder), "https_proxy": nowhere, "HTTPS_PROXY": nowhere,
        "PIP_INDEX_URL": nowhere, "PIP_RETRIES": "0",
    }  # fmt: skip


@needs_models
@needs_mind
@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals here")
def test_a_typing_error_at_the_question_what_shall_answer_asks_again(tmp_path: Path) -> None:
    question = "1, 2 or 3"
    with spoken(
        "--server", "local", at_terminal=True, environment=without_models(tmp_path)
    ) as program:
        for count, answer in enumerate((b"4\r", b"small?\r", b"what\r"), 1):
            program.until(lambda count=count: program.shown.count(question) == count)
            program.type(answer)
        assert program.wait() == 2
        assert "'what' is none of 1, 2 and 3" in program.shown
        assert "fetching" not in program.shown
    with spoken(
        "--server", "local", at_terminal=True, environment=without_models(tmp_path)
    ) as program:
        program.until(lambda: question in program.shown)
        program.type(b"5\r")
        program.until(lambda: program.shown.count(question) == 2)
        program.type(b"1\r")
        program.until(lambda: "fetching moonshine" in program.shown)
        program.kill()


@needs_models
@needs_mind
@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals here")
def test_ctrl_c_at_the_question_what_shall_answer_is_quiet(tmp_path: Path) -> None:
    with spoken(
        "--server", "local", at_terminal=True, environment=without_models(tmp_path)
    ) as program:
        program.until(lambda: "1, 2 or 3" in program.shown)
        assert program.press_until_ended(b"\x03") == 130
        assert "Aborted" not in program.shown


@needs_models
@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals here")
@pytest.mark.parametrize("mind", ["auto", "small"])
def test_a_microphone_that_is_not_there_is_told_before_anything_is_asked_or_fetched(
    tmp_path: Path, mind: str
) -> None:
    with spoken(
        *("--server", "local", "--mind", mind, "--mic", "no such device"),
        at_terminal=True,
        environment=without_models(tmp_path),
    ) as program:
        assert program.wait() == 3
        assert "1, 2 or 3" not in program.shown
        assert "fetching" not in program.shown


@needs_models
def test_all_stages_of_the_engine_may_be_servers_named_in_the_configuration(
    tmp_path: Path,
) -> None:
    heard = json.dumps({"text": "Go forward."}).encode()
    server = HttpServer(
        transcriptions=lambda handler: handler.whole(heard),
        completions=events(said("I am "), said("going.")),
        speech=lambda handler: handler.chunks([b"\1\0" * 2400] * 5, "audio/pcm"),
        models=models("m"),
    )
    config = tmp_path / "config.toml"
    config.write_text(
        f"""
        server = "local"
        [local]
        mind = "{server.url}"
        mind_model = "thinker"
        ears = "{server.url}/v1"
        ears_key_env = "EARS_SECRET"
        voices = "{server.url}/v1/audio/speech"
        voices_model = "kokoro"
        voices_name = "af_heart"
        """
    )
    with (
        server,
        spoken(
            *("--config", str(config), "--mic", str(FORWARD), "--linger", "0.5", "--json"),
            environment={"EARS_SECRET": "s3cret"},
        ) as program,
    ):
        assert program.wait(30) == 0, program.complaint
        assert answers(program) == ["I am going."]
        assert server.last("completions").json["model"] == "thinker"
        assert server.last("transcriptions").key == "Bearer s3cret"
        speech = server.last("speech")
        assert (speech.json["model"], speech.json["voice"], speech.key) == (
            "kokoro",
            "af_heart",
            None,
        )
