"""A mind with its weights on this machine, run by llama.cpp inside this process."""

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from voicecli.engine.dialogue.messages import (
    NO_OFFER,
    Call,
    Message,
    Offer,
    Piece,
)
from voicecli.engine.minds import call_text
from voicecli.engine.minds.call_text import CallReader
from voicecli.engine.minds.mind import Emit, instructions, pieces_from
from voicecli.engine.minds.sentences import MarkupFilter
from voicecli.engine.minds.tool_words import spoken_result
from voicecli.errors import ModelError
from voicecli.protocol.objects import JsonDict

_CONTEXT_TOKENS = 2048
_REPLY_TOKENS = 200
# Above this much the oldest messages go, down to the second figure at once: each cut makes the
# model read again what is left, so it must not happen with every turn.
_HISTORY_TOKENS = 1200
_HISTORY_TOKENS_KEPT = 400
_MESSAGE_TOKENS = 5
_BYTES_PER_TOKEN = 3
_TEMPERATURE = 0.4
_CALL_TEMPERATURE = 0.0
_SAID_LATELY = 3
"Messages in which there must be a reason for a call, for models that are not to be trusted."


class LlamaMind:
    """A chat model in a GGUF file; answers one at a time, others wait.

    The instructions are read into the model's cache at construction, so that the first answer need
    not wait for them.

    Args:
        weights: the GGUF file.
        name: what a person is told.
        threads: the number of real cores to use.
        cautious: let it call only functions that what was said has something to do with.

    Raises:
        ModelError: xllamacpp is not installed, or the file cannot be loaded.
    """

    def __init__(
        self, weights: Path, *, name: str = "llama", threads: int = 2, cautious: bool = False
    ) -> None:
        self.name = name
        self._cautious = cautious
        self._server = _load(weights, threads)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="mind")
        self.prepare("", NO_OFFER)

    def close(self) -> None:
        """Wait for an answer under way to end, then refuse more."""
        self._worker.shutdown(cancel_futures=True)

    def prepare(self, instructions: str, offer: Offer) -> None:
        """Read instructions and functions into the cache; blocks until done."""
        messages = [Message("system", instructions)] if instructions else []
        prompt = _prompt([*messages, Message("user", "Hi")], offer)
        reading = _Reading(None, lambda _: False)
        self._worker.submit(self._answer, prompt, [Message("user", "Hi")], 1, reading).result()

    def reply(
        self,
        messages: Sequence[Message],
        *,
        stopped: Callable[[], bool],
        max_tokens: int | None = None,
        offer: Offer = NO_OFFER,
    ) -> Iterator[Piece]:
        """See `Mind.reply`; may be called from any thread.

        Functions are called as `call_text` says: one at most in an answer. When a function was
        called since the user spoke, its result is told, also where a call is required.

        History that does not fit the context is forgotten, oldest first. A stop while the prompt is
        still being read ends the iterator at once, and the model with its first token.

        Raises:
            ModelError: the model failed, or the instructions alone exceed the context.
        """
        spoken = call_text.flattened(messages)
        limit = min(max_tokens or _REPLY_TOKENS, _CONTEXT_TOKENS // 2)
        has_result = bool(messages) and messages[-1].role == "tool"
        must_call = offer.choice == "required" and bool(offer.tools) and not has_result
        form = call_text.call_schema(offer) if must_call else None
        said = [message.text for message in messages if message.role in ("user", "assistant")]
        done = _calls_since_the_user_spoke(messages)
        cautious = self._cautious and not must_call

        def work(emit: Emit) -> None:
            calls = None
            if offer.tools:
                lately = " ".join(said[-_SAID_LATELY:])
                calls = CallReader(offer, lately, done, cautious=cautious)
            reading = _Reading(calls, emit)
            self._answer(_prompt(messages, offer), spoken, limit, reading, form)
            if reading.is_empty and has_result:
                emit(spoken_result(messages[-1].text))
            elif reading.is_empty and offer.tools and not stopped():
                # It has written a call that makes no sense; without functions it has words.
                self._answer(_prompt(messages, NO_OFFER), spoken, limit, _Reading(None, emit))

        return pieces_from(self._worker, work, stopped=stopped)

    def _answer(
        self,
        prompt: Sequence[Message],
        history: Sequence[Message],
        limit: int,
        reading: "_Reading",
        form: JsonDict | None = None,
    ) -> None:
        """One answer, to as much of the history as fits. Blocks; called by the worker."""
        history = recent(history)
        while not self._generate([*prompt, *history], limit, reading, form):
            if len(history) < 2:
                raise ModelError(
                    "the instructions and the question are longer than the model's context",
                    "shorten the instructions",
                )
            history = history[len(history) // 2 :]

    def _generate(
        self, messages: Sequence[Message], limit: int, reading: "_Reading", form: JsonDict | None
    ) -> bool:
        """One answer; False when the prompt did not fit. Blocks; called by the worker."""
        problems: list[dict[str, Any]] = []

        # True stops the generation at once; an exception would not.
        def take(answer: dict[str, Any] | list[dict[str, Any]]) -> bool:
            for chunk in answer if isinstance(answer, list) else [answer]:
                if "error" in chunk:
                    problems.append(chunk["error"])
                    return True
                if not reading.push(_text(chunk)):
                    return True
            return False

        request: JsonDict = {
            "messages": [{"role": one.role, "content": one.text} for one in messages],
            "max_tokens": limit,
            "stream": True,
            "cache_prompt": True,
            "temperature": _CALL_TEMPERATURE if reading.calls else _TEMPERATURE,
        }
        if form is not None:
            request["response_format"] = {"type": "json_schema", "json_schema": {"schema": form}}
        try:
            self._server.handle_chat_completions(request, take)
        # A compiled library: its errors have no base of their own.
        except Exception as exc:
            raise ModelError(f"the model {self.name!r} failed: {exc}") from exc
        if any(problem.get("type") == "exceed_context_size_error" for problem in problems):
            return False
        if problems:
            raise ModelError(f"the model {self.name!r} failed: {problems[0].get('message')}")
        reading.finish()
        return True


class _Reading:
    """What the model writes, on its way out: calls found, markup taken away.

    Args:
        calls: finds them; None when there are none to find.
        emit: takes the pieces.
    """

    def __init__(self, calls: CallReader | None, emit: Emit) -> None:
        self.calls = calls
        self.is_empty = True
        "Nothing has come out of it."
        self._emit = emit
        self._markup = MarkupFilter()

    def push(self, text: str) -> bool:
        """Take more text; False once no more is wanted."""
        if self.calls is None:
            return self._pass_on([text])
        return self._pass_on(self.calls.push(text)) and not self.calls.found

    def finish(self) -> None:
        """The model has ended, or was ended after a call."""
        if self.calls is not None:
            self._pass_on(self.calls.finish())
        self._out(self._markup.finish())

    def _pass_on(self, pieces: Sequence[Piece]) -> bool:
        return all(
            self._out(self._markup.push(piece) if isinstance(piece, str) else piece)
            for piece in pieces
        )

    def _out(self, piece: Piece) -> bool:
        self.is_empty = self.is_empty and not piece
        return self._emit(piece)


def _prompt(messages: Sequence[Message], offer: Offer) -> list[Message]:
    """What stands before the conversation and seldom changes."""
    system = instructions(messages)
    if not offer.tools:
        return [Message("system", system)]
    return [Message("system", f"{system}\n{call_text.manual(offer)}"), *call_text.examples(offer)]


def _calls_since_the_user_spoke(messages: Sequence[Message]) -> list[Call]:
    done: list[Call] = []
    for message in messages:
        done = [] if message.role == "user" else [*done, *message.calls]
    return done


def recent(messages: Sequence[Message]) -> list[Message]:
    """The latest messages that fit, by a guess on the safe side.

    A longer history keeps the same beginning over many turns: the model has that in its cache.
    """
    first = total = 0
    for index, message in enumerate(messages):
        total += _tokens(message)
        if total > _HISTORY_TOKENS:
            while first < index and total > _HISTORY_TOKENS_KEPT:
                total -= _tokens(messages[first])
                first += 1
    return list(messages[first:])


def _tokens(message: Message) -> int:
    return len(message.text.encode()) // _BYTES_PER_TOKEN + _MESSAGE_TOKENS


def _text(chunk: dict[str, Any]) -> str:
    choices = chunk.get("choices") or [{}]
    return str(choices[0].get("delta", {}).get("content") or "")


def _load(weights: Path, threads: int) -> Any:
    # The library waits for work in a busy loop, and any other busy program then slows it to a
    # crawl; the variable is read when the library is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    try:
        import xllamacpp
    except ImportError as exc:
        raise ModelError(
            "xllamacpp is not installed", 'install it: pip install "voicecli[local]"'
        ) from exc
    if not weights.is_file():
        raise ModelError(f"there are no weights at {str(weights)!r}", "voicecli models list")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights)
    parameters.n_ctx = _CONTEXT_TOKENS
    parameters.n_parallel = 1
    parameters.verbosity = -1
    parameters.use_jinja = True
    # The library also listens on a port of this machine, which nobody needs: a key that nobody has
    # shuts it. Calls from inside are not asked for it.
    parameters.api_keys = [secrets.token_hex()]
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = threads
    try:
        return xllamacpp.Server(parameters)
    except Exception as exc:
        raise ModelError(
            f"cannot load the model {weights.name!r}: {exc}",
            "check the file: voicecli models verify",
        ) from exc
