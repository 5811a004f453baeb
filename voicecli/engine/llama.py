"""A mind with its weights on this machine, run by llama.cpp inside this process."""

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from voicecli.engine.mind import Message, instructions, pieces_from
from voicecli.engine.sentences import MarkupFilter
from voicecli.errors import ModelError

_CONTEXT_TOKENS = 2048
_REPLY_TOKENS = 200
# Above this much the oldest messages go, down to the second figure at once: each cut makes the
# model read again what is left, so it must not happen with every turn.
_HISTORY_TOKENS = 1200
_HISTORY_TOKENS_KEPT = 400
_MESSAGE_TOKENS = 5
_BYTES_PER_TOKEN = 3


class LlamaMind:
    """A chat model in a GGUF file; answers one at a time, others wait.

    The instructions are read into the model's cache at construction, so that the first answer need
    not wait for them.

    Args:
        weights: the GGUF file.
        name: what a person is told.
        threads: the number of real cores to use.

    Raises:
        ModelError: xllamacpp is not installed, or the file cannot be loaded.
    """

    def __init__(self, weights: Path, *, name: str = "llama", threads: int = 2) -> None:
        self.name = name
        self._server = _load(weights, threads)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="mind")
        self.prime("")

    def close(self) -> None:
        """Wait for an answer under way to end, then refuse more."""
        self._worker.shutdown(cancel_futures=True)

    def prime(self, system: str) -> None:
        """Read instructions into the cache ahead of the first answer; blocks until done."""
        messages = [Message("system", system)] if system else []
        for _ in self.reply(
            [*messages, Message("user", "Hi")], stopped=lambda: False, max_tokens=1
        ):
            pass

    def reply(
        self,
        messages: Sequence[Message],
        *,
        stopped: Callable[[], bool],
        max_tokens: int | None = None,
    ) -> Iterator[str]:
        """See `Mind.reply`; may be called from any thread.

        History that does not fit the context is forgotten, oldest first. A stop while the prompt is
        still being read ends the iterator at once, and the model with its first token.

        Raises:
            ModelError: the model failed, or the instructions alone exceed the context.
        """
        system = instructions(messages)
        spoken = [message for message in messages if message.role != "system"]
        limit = min(max_tokens or _REPLY_TOKENS, _CONTEXT_TOKENS // 2)

        def work(emit: Callable[[str], bool]) -> None:
            history = recent(spoken)
            while not self._generate(system, history, limit, emit):
                if len(history) < 2:
                    raise ModelError(
                        "the instructions and the question are longer than the model's context",
                        "shorten the instructions",
                    )
                history = history[len(history) // 2 :]

        return pieces_from(self._worker, work, stopped=stopped)

    def _generate(
        self, system: str, history: Sequence[Message], limit: int, emit: Callable[[str], bool]
    ) -> bool:
        """One answer; False when the prompt did not fit. Blocks; called by the worker."""
        markup = MarkupFilter()
        problems: list[dict[str, Any]] = []

        # True stops the generation at once; an exception would not.
        def take(answer: dict[str, Any] | list[dict[str, Any]]) -> bool:
            for chunk in answer if isinstance(answer, list) else [answer]:
                if "error" in chunk:
                    problems.append(chunk["error"])
                    return True
                if not emit(markup.push(_text(chunk))):
                    return True
            return False

        chat = [{"role": "system", "content": system}]
        chat += [{"role": message.role, "content": message.text} for message in history]
        request = {
            "messages": chat,
            "max_tokens": limit,
            "stream": True,
            "cache_prompt": True,
            "temperature": 0.4,
        }
        try:
            self._server.handle_chat_completions(request, take)
        # A compiled library: its errors have no base of their own.
        except Exception as exc:
            raise ModelError(f"the model {self.name!r} failed: {exc}") from exc
        if any(problem.get("type") == "exceed_context_size_error" for problem in problems):
            return False
        if problems:
            raise ModelError(f"the model {self.name!r} failed: {problems[0].get('message')}")
        emit(markup.finish())
        return True


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
            "xllamacpp is not installed", "install it: pip install 'voicecli[local]'"
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
