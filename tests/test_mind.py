import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from voicecli.engine.dialogue.messages import (
    Call,
    CallArguments,
    CallStart,
    Message,
    Offer,
    Tool,
)
from voicecli.engine.minds.llama import LlamaMind, recent
from voicecli.engine.minds.mind import Mind, best_tier, load_mind
from voicecli.engine.store import ModelStore
from voicecli.errors import (
    ConfigError,
    ConnectionFailed,
    ModelError,
    NetworkStalled,
    NotAuthorized,
)

QUESTION = [Message("system", "Be kind."), Message("user", "Hello?")]


class Endpoint:
    """A chat completions server that streams pieces; from `gated_from` on only past the gate."""

    def __init__(self, pieces: list[str], *, status: int = 200, gated_from: int = 0) -> None:
        self.pieces = pieces
        self.status = status
        self.requests: list[tuple[str, str | None, dict[str, object]]] = []
        self.gate = threading.Event()
        self.gate.set()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                endpoint._note(self, {})
                self._answer(json.dumps({"data": [{"id": "first"}, {"id": "second"}]}))

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                endpoint._note(self, json.loads(self.rfile.read(length)))
                if endpoint.status != 200:
                    self._answer('{"error": {"message": "no such model"}}')
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                try:
                    for index, piece in enumerate(endpoint.pieces):
                        if index >= gated_from:
                            endpoint.gate.wait()
                        event = {"choices": [{"delta": {"content": piece}}]}
                        self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
                    self.wfile.write(b"data: [DONE]\n\n")
                except OSError:
                    pass

            def _answer(self, body: str) -> None:
                self.send_response(endpoint.status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _note(self, handler: BaseHTTPRequestHandler, body: dict[str, object]) -> None:
        self.requests.append((handler.path, handler.headers["Authorization"], body))

    def __enter__(self) -> "Endpoint":
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()


def answer(mind: Mind, stopped: Callable[[], bool] = lambda: False) -> str:
    return "".join(mind.reply(QUESTION, stopped=stopped))


def mind_at(url: str, **options: str) -> Mind:
    return load_mind(url, ModelStore(Path("unused")), **options)


def test_an_endpoint_streams_its_answer_without_markup() -> None:
    with Endpoint(["**He", "llo** ", "there."]) as endpoint:
        mind = mind_at(endpoint.url)
        assert answer(mind) == "Hello there."
        assert mind.name == "first at 127.0.0.1"
    path, _, body = endpoint.requests[-1]
    assert path == "/v1/chat/completions"
    assert body["model"] == "first"
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert body["messages"][0]["content"].endswith("Be kind.")


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/", "/v1/chat/completions"])
def test_the_address_may_be_short_or_long(path: str) -> None:
    with Endpoint(["Yes."]) as endpoint:
        assert answer(mind_at(endpoint.url + path, model="mine")) == "Yes."
    assert [(path, body["model"]) for path, _, body in endpoint.requests] == [
        ("/v1/chat/completions", "mine")
    ]


def test_the_key_comes_from_the_named_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "secret")
    with Endpoint(["Yes."]) as endpoint:
        answer(mind_at(endpoint.url, key_variable="MY_KEY"))
        answer(mind_at(endpoint.url, key_variable="NO_KEY"))
    assert [key for _, key, _ in endpoint.requests] == ["Bearer secret"] * 2 + [None] * 2


def test_an_endpoint_is_left_at_once_when_stopped_in_silence() -> None:
    with Endpoint(["One ", "two ", "three."], gated_from=1) as endpoint:
        endpoint.gate.clear()
        stop = threading.Event()
        pieces = mind_at(endpoint.url).reply(QUESTION, stopped=stop.is_set)
        assert next(pieces) == "One "
        stop.set()
        assert list(pieces) == []


def test_an_answer_may_be_closed_early() -> None:
    with Endpoint(["One "] * 1000) as endpoint:
        mind = mind_at(endpoint.url)
        for _ in range(6):
            pieces = mind.reply(QUESTION, stopped=lambda: False)
            next(pieces)
            pieces.close()


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_said(status: int) -> None:
    with Endpoint([], status=status) as endpoint, pytest.raises(NotAuthorized):
        answer(mind_at(endpoint.url, model="mine"))


def test_a_refused_request_quotes_the_server() -> None:
    with Endpoint([], status=404) as endpoint, pytest.raises(ModelError, match="no such model"):
        answer(mind_at(endpoint.url, model="mine"))


def test_a_server_that_is_not_there_is_a_failed_connection() -> None:
    with Endpoint([]) as endpoint:
        url = endpoint.url
    with pytest.raises(ConnectionFailed):
        answer(mind_at(url))


def test_a_silent_server_has_stalled() -> None:
    from voicecli.engine.minds.endpoint import EndpointMind

    with Endpoint(["Late."]) as endpoint:
        endpoint.gate.clear()
        mind = EndpointMind(endpoint.url, model="mine", timeout_s=0.05)
        with pytest.raises(NetworkStalled):
            answer(mind)


def test_what_is_no_mind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'clever'"):
        load_mind("clever", ModelStore(tmp_path))
    with pytest.raises(ConfigError):
        load_mind("http://", ModelStore(tmp_path))


def test_without_weights_auto_is_rules_and_a_tier_is_an_error(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    assert best_tier(store) == "rules"
    assert load_mind("auto", store).name == "rules"
    with pytest.raises(ModelError) as caught:
        load_mind("small", store)
    assert "voicecli models pull qwen-0.5b" in caught.value.hint


def test_a_short_history_is_kept_whole() -> None:
    said = [Message("user", "Hello"), Message("assistant", "Hello!")]
    assert recent(said) == said


def test_a_long_history_loses_its_oldest_part_but_seldom_moves() -> None:
    said = [Message("user", f"{number} " + "word " * 40) for number in range(200)]
    starts = [recent(said[: count + 1])[0].text.split()[0] for count in range(200)]
    assert recent(said)[-1] == said[-1]
    assert sum(len(message.text) for message in recent(said)) < 1200 * 3
    assert 1 < len(set(starts)) < 30


def test_the_last_message_is_never_forgotten() -> None:
    assert [m.text[0] for m in recent([Message("user", "a"), Message("user", "b" * 9999)])] == ["b"]


@pytest.fixture(scope="module")
def llama() -> Iterator[LlamaMind]:
    pytest.importorskip("xllamacpp")
    store = ModelStore()
    if not store.is_present("qwen-0.5b"):
        pytest.skip("no weights: voicecli models pull qwen-0.5b")
    mind = LlamaMind(next(store.path("qwen-0.5b").glob("*.gguf")), name="qwen-0.5b")
    yield mind
    mind.close()


def test_a_local_model_knows_a_capital(llama: LlamaMind) -> None:
    question = [Message("user", "What is the capital of France?")]
    assert "Paris" in "".join(llama.reply(question, stopped=lambda: False))


def test_a_local_model_stops_within_one_token_and_answers_again(llama: LlamaMind) -> None:
    question = [Message("user", "Tell me a very long tale about the sea.")]
    stop = threading.Event()
    heard = []
    for piece in llama.reply(question, stopped=stop.is_set):
        heard.append(piece)
        if len(heard) == 3:
            stop.set()
    assert len(heard) == 3
    assert answer(llama)


def test_a_local_model_keeps_the_bound_on_tokens(llama: LlamaMind) -> None:
    question = [Message("user", "Count from one to fifty.")]
    pieces = list(llama.reply(question, stopped=lambda: False, max_tokens=5))
    assert 0 < len(pieces) <= 6


def test_a_question_longer_than_the_context_is_an_error(llama: LlamaMind) -> None:
    with pytest.raises(ModelError, match="longer than the model's context"):
        list(llama.reply([Message("user", "hello " * 3000)], stopped=lambda: False))


def test_a_history_that_turns_out_too_long_is_cut(llama: LlamaMind) -> None:
    dense = Message("user", "7 " * 1150)
    messages = [dense, Message("user", "Hi")]
    assert "".join(llama.reply(messages, stopped=lambda: False, max_tokens=3))


SWITCH = Tool(
    "switch_light",
    "Switch the light of a room.",
    {
        "type": "object",
        "properties": {"room": {"type": "string"}, "state": {"enum": ["on", "off"]}},
        "required": ["room", "state"],
    },
)


def called(mind: Mind, messages: list[Message], choice: Any = "auto") -> tuple[str, Any, str]:
    """The function, its arguments, and the words."""
    offer = Offer((SWITCH,), choice)
    pieces = list(mind.reply(messages, stopped=lambda: False, offer=offer))
    names = [one.name for one in pieces if isinstance(one, CallStart)]
    arguments = "".join(one.text for one in pieces if isinstance(one, CallArguments))
    words = "".join(one for one in pieces if isinstance(one, str))
    return "".join(names), json.loads(arguments or "null"), words


def test_a_local_model_calls_a_function_and_tells_its_result(llama: LlamaMind) -> None:
    llama.prepare("", Offer((SWITCH,)))
    asked = [Message("user", "Turn on the light in the kitchen.")]
    name, arguments, words = called(llama, asked)
    assert (name, words) == ("switch_light", "")
    assert arguments == {"room": "kitchen", "state": "on"}
    call = Call("c", name, json.dumps(arguments))
    asked += [
        Message("assistant", "", calls=(call,)),
        Message("tool", "the light is on", call_id="c"),
    ]
    name, _, words = called(llama, asked)
    assert not name
    assert "light" in words.lower()


def test_a_local_model_can_be_made_to_call_a_function(llama: LlamaMind) -> None:
    name, arguments, _ = called(llama, [Message("user", "Good evening.")], "required")
    assert name == "switch_light"
    assert arguments["state"] in ("on", "off")


def test_a_file_that_is_no_model_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    bad = tmp_path / "bad.gguf"
    with pytest.raises(ModelError):
        LlamaMind(bad)
    bad.write_bytes(b"nothing")
    with pytest.raises(ModelError):
        LlamaMind(bad)
