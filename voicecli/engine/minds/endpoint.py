"""A mind at a URL: any server that speaks the chat completions protocol and streams."""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

from voicecli.engine.dialogue.messages import (
    NO_OFFER,
    CallArguments,
    CallStart,
    Message,
    Offer,
    Piece,
)
from voicecli.engine.minds.mind import KEY_VARIABLE, Emit, instructions, pieces_from
from voicecli.engine.minds.sentences import MarkupFilter
from voicecli.engine.remote import Line, Remote, problem_of, server_sent
from voicecli.errors import ModelError

AT_ONCE = 16
"Answers at a time; further ones wait."
_REPLY_TOKENS = 300
_WITH_TOOLS_TOKENS = 1000
"Arguments may be long, and a call that is cut off is worth nothing."


class EndpointMind:
    """Asks a chat completions server, such as llama.cpp's, Ollama's, vLLM's or OpenAI's.

    Nothing is sent before the first reply.

    Args:
        url: "http://host:port", with or without "/v1" and "/chat/completions".
        model: the model to ask for; by default the first that the server lists.
        key_variable: the environment variable that holds the key; unset means no key.
        timeout_s: how long the server may be silent.

    Raises:
        ConfigError: the URL has no host.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        key_variable: str = KEY_VARIABLE,
        timeout_s: float = 30.0,
    ) -> None:
        self._remote = Remote(
            url, "/chat/completions", speaks="chat completions", model=model,
            key_variable=key_variable, timeout_s=timeout_s,
        )  # fmt: skip
        self._workers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="mind")

    @property
    def name(self) -> str:
        """The model, as far as it is known, and the host."""
        return self._remote.name

    def close(self) -> None:
        """Refuse further replies."""
        self._workers.shutdown(wait=False, cancel_futures=True)

    def reply(
        self,
        messages: Sequence[Message],
        *,
        stopped: Callable[[], bool],
        max_tokens: int | None = None,
        offer: Offer = NO_OFFER,
    ) -> Iterator[Piece]:
        """See `Mind.reply`; may be called from any thread.

        Raises:
            NotAuthorized: the server wants another key.
            NetworkStalled: the server was silent for too long.
            ConnectionFailed: the server cannot be reached or went away, in mid-answer too.
            ModelError: the server refused the request, or answers in another protocol.
        """
        usual = _WITH_TOOLS_TOKENS if offer.tools else _REPLY_TOKENS
        request = {
            "messages": _chat(messages), "max_tokens": max_tokens or usual, "stream": True,
            **_offered(offer),
        }  # fmt: skip
        line = self._remote.line()

        def work(emit: Emit) -> None:
            with closing(line), self._remote.mapped_errors():
                self._stream(line, {"model": self._remote.model(), **request}, emit)

        return pieces_from(self._workers, work, stopped=stopped, abandon=line.cut)

    def _stream(self, line: Line, request: dict[str, Any], emit: Emit) -> None:
        answer = self._remote.post_json(line, request, "text/event-stream")
        markup, calls = MarkupFilter(), _Calls()
        for chunk in server_sent(answer):
            if "error" in chunk:
                raise ModelError(f"the server at {self._remote.host!r} failed: {problem_of(chunk)}")
            said = _said(chunk)
            pieces: list[Piece] = [markup.push(str(said.get("content") or ""))]
            if said.get("tool_calls"):
                pieces += [markup.finish(), *calls.push(said["tool_calls"])]
            if not all(emit(piece) for piece in pieces if piece):
                return
        emit(markup.finish())


class _Calls:
    """Puts streamed calls together; one after the other, as all servers send them."""

    def __init__(self) -> None:
        self._key: object = None

    def push(self, deltas: Sequence[dict[str, Any]]) -> Iterator[Piece]:
        for delta in deltas:
            function = delta.get("function") or {}
            if self._is_new(delta, function):
                yield CallStart(str(function["name"]))
            arguments = function.get("arguments")
            # Some servers send an object where the protocol has its text.
            text = json.dumps(arguments) if isinstance(arguments, dict) else str(arguments or "")
            if text:
                yield CallArguments(text)

    def _is_new(self, delta: dict[str, Any], function: dict[str, Any]) -> bool:
        """Whether a call begins: with a new id, or, without ids, a new index.

        Ollama has given every call the index 0; others repeat id and name in each piece.
        """
        index, call_id = delta.get("index", 0), delta.get("id")
        key = (index, call_id)
        known = self._key
        if known is None or (call_id and key != known) or (not call_id and index != _index(known)):
            self._key = key
            return True
        return bool(function.get("name")) and not call_id


def _index(key: object) -> object:
    return key[0] if isinstance(key, tuple) else None


def _said(chunk: dict[str, Any]) -> dict[str, Any]:
    for choice in chunk.get("choices") or ():
        found: dict[str, Any] = choice.get("delta") or choice.get("message") or {}
        return found
    return {}


def _chat(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The messages as the protocol has them."""
    chat: list[dict[str, Any]] = [{"role": "system", "content": instructions(messages)}]
    for message in messages:
        match message.role:
            case "system":
                continue
            case "tool":
                shown: dict[str, Any] = {"tool_call_id": message.call_id, "content": message.text}
            case _ if message.calls:
                shown = {"content": message.text or None, "tool_calls": _called(message)}
            case _:
                shown = {"content": message.text}
        chat.append({"role": message.role, **shown})
    return chat


def _called(message: Message) -> list[dict[str, Any]]:
    return [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments or "{}"},
        }
        for call in message.calls
    ]


def _offered(offer: Offer) -> dict[str, Any]:
    if not offer.tools:
        return {}
    tools = [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters or {"type": "object", "properties": {}},
            },
        }
        for tool in offer.tools
    ]
    choice: Any = offer.choice
    if offer.choice == "required" and len(tools) == 1:
        # More servers know this than the word.
        choice = {"type": "function", "function": {"name": offer.tools[0].name}}
    return {"tools": tools, "tool_choice": choice}
