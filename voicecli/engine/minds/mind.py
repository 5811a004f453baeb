"""What answers: the interface of a mind, and the choice of one.

The minds themselves are in `rules` (no weights), `llama` (weights on this machine) and `endpoint`
(a server that speaks the chat completions protocol); each is imported when it is chosen.
"""

import importlib.util
import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from datetime import datetime
from typing import Protocol, TypeAlias, runtime_checkable

from voicecli.engine.catalog import Model
from voicecli.engine.dialogue.messages import NO_OFFER, Message, Offer, Piece
from voicecli.engine.store import ModelStore
from voicecli.errors import ConfigError

TIERS = {"small": "qwen-0.5b", "standard": "qwen-1.5b"}
"The models behind the tiers that have weights, the better one last."

SPOKEN_STYLE = (
    "You are a friendly voice assistant. Your answer is spoken aloud, so reply in one or two "
    "short, plain sentences, without lists, markup, code or emoji."
)

KEY_VARIABLE = "VOICECLI_MIND_KEY"

_LOOK_AGAIN_S = 0.02

Emit: TypeAlias = Callable[[Piece], bool]
"Takes a piece of an answer; false once no more is wanted."


class Mind(Protocol):
    """Answers the last of some messages."""

    @property
    def name(self) -> str:
        """What a person is told about who answers."""
        ...

    def reply(
        self,
        messages: Sequence[Message],
        *,
        stopped: Callable[[], bool],
        max_tokens: int | None = None,
        offer: Offer = NO_OFFER,
    ) -> Iterator[Piece]:
        """Text and calls in pieces as they come; ends within one piece once `stopped()` is true.

        May be closed early. Joined, the texts are the answer: plain words, no markup.

        Args:
            messages: oldest first; system messages instruct, wherever they stand.
            stopped: cheap; asked between pieces, from any thread.
            max_tokens: a bound on the answer's length in the mind's own tokens.
            offer: the functions that it may call, or must.
        """
        ...


@runtime_checkable
class Preparing(Protocol):
    """A mind whose first answer comes sooner when it has read the instructions before."""

    def prepare(self, instructions: str, offer: Offer) -> None:
        """Read them now; blocks until done, on any thread."""
        ...


def load_mind(
    spec: str,
    store: ModelStore,
    *,
    model: str | None = None,
    key_variable: str = KEY_VARIABLE,
    now: Callable[[], datetime] = datetime.now,
) -> Mind:
    """Build the mind that `spec` names; blocks for seconds where weights are loaded.

    Args:
        spec: "rules", "small", "standard", "auto" for the best of these that can run here, or the
            URL of a server that speaks the chat completions protocol.
        store: where the weights are.
        model: the model to ask for at a URL; by default the first that the server lists.
        key_variable: the environment variable that holds the key for a URL.
        now: the local time, for questions about it.

    Raises:
        ConfigError: the spec is none of these.
        ModelError: the weights or their runtime are missing or damaged.
    """
    from voicecli.engine.minds.rules import RulesFirst, RulesMind

    if spec.startswith(("http://", "https://")):
        from voicecli.engine.minds.endpoint import EndpointMind

        return EndpointMind(spec, model=model, key_variable=key_variable)
    tier = best_tier(store) if spec == "auto" else spec
    if tier == "rules":
        return RulesMind(now)
    if tier not in TIERS:
        known = ", ".join(("auto", "rules", *TIERS))
        raise ConfigError(f"unknown mind {spec!r}", f"one of {known}, or a URL")
    from voicecli.engine.minds.llama import LlamaMind

    name = TIERS[tier]
    weights = store.path(name) / _only_file(store.model(name))
    return RulesFirst(RulesMind(now), LlamaMind(weights, name=name, cautious=tier == "small"))


def best_tier(store: ModelStore) -> str:
    """The tier that "auto" stands for: the best whose weights are present and can be run."""
    if importlib.util.find_spec("xllamacpp") is not None:
        for tier, name in reversed(TIERS.items()):
            if store.is_present(name):
                return tier
    return "rules"


def _only_file(model: Model) -> str:
    (file,) = model.files
    return file.name


def instructions(messages: Sequence[Message]) -> str:
    """The spoken style, then every system message: the part of a prompt that seldom changes."""
    return "\n".join(
        [SPOKEN_STYLE, *(message.text for message in messages if message.role == "system")]
    )


def pieces_from(
    worker: Executor,
    work: Callable[[Emit], None],
    *,
    stopped: Callable[[], bool],
    abandon: Callable[[], None] = lambda: None,
) -> Iterator[Piece]:
    """Run a blocking producer elsewhere and yield its pieces here.

    Ends soon after `stopped()` is true even when the producer is silent. What waits is bounded by
    what the producer may write: its token limit.

    Args:
        worker: runs the producer.
        work: gets `emit(piece)`, which returns False once no more is wanted; its errors are raised
            here.
        stopped: see `Mind.reply`.
        abandon: called when the reader leaves; may wake a producer that waits.
    """
    pieces: queue.SimpleQueue[Piece | None] = queue.SimpleQueue()
    left = False

    def emit(piece: Piece) -> bool:
        if left or stopped():
            return False
        pieces.put(piece)
        return True

    future: Future[None] = worker.submit(work, emit)
    future.add_done_callback(lambda _: pieces.put(None))
    try:
        while not stopped():
            try:
                piece = pieces.get(timeout=_LOOK_AGAIN_S)
            except queue.Empty:
                continue
            if piece is None:
                future.result()
                return
            if piece and not stopped():
                yield piece
    finally:
        left = True
        future.cancel()
        abandon()
