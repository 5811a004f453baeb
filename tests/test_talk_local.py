"""`voicecli talk --server local`: functions that the engine calls, stages that are elsewhere."""

from __future__ import annotations

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
