"""The stages of the engine from their settings: models of this machine, or other servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from voicecli.config import Local

if TYPE_CHECKING:
    from voicecli.engine.ears.ears import Ears
    from voicecli.engine.stages import Models
    from voicecli.engine.store import ModelStore
    from voicecli.engine.voices.voices import Voice

REMOTE_AT_ONCE = 16
"Requests that another server is given at a time; how many it works on at once is its own affair."
REACH_TIMEOUT_S = 2.0
"How long a start waits for the servers that it will need, to warn of those that are not there."


def is_url(spec: str) -> bool:
    """Whether a stage is another server."""
    return spec.startswith(("http://", "https://"))


def check_addresses(local: Local) -> None:
    """Whether each stage at a URL is at one that can be.

    Raises:
        ConfigError: one is not.
    """
    from voicecli.engine.remote import split_url

    for spec in _urls(local):
        split_url(spec)


def unreachable(local: Local, wait_s: float = REACH_TIMEOUT_S) -> list[str]:
    """Which of the stages at a URL do not answer now, as sentences.

    Asks all of them at the same time, on threads of their own: a name that nobody looks up, or a
    host that is silent, is waited for `wait_s` and no longer, and less if a signal comes.
    """
    import threading
    import time

    from voicecli.engine.remote import split_url, why_unreachable

    urls = list(_urls(local))
    found: dict[str, str] = {}

    def ask(url: str) -> None:
        found[url] = why_unreachable(url, wait_s)

    threads = [threading.Thread(target=ask, args=(url,), daemon=True) for url in urls]
    for thread in threads:
        thread.start()
    until = time.monotonic() + wait_s
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    problems = {url: found.get(url, "it does not answer") for url in urls}
    # Not the whole URL: there may be a key in it.
    return [
        f"the {stage} at {split_url(url).hostname!r} cannot be reached now ({problems[url]}); "
        "answers fail until it can"
        for url, stage in _urls(local).items()
        if problems[url]
    ]


def _urls(local: Local) -> dict[str, str]:
    """The stages that are other servers, by URL."""
    specs = {"mind": local.mind, "ears": local.ears, "voice": local.voices}
    urls: dict[str, str] = {}
    for stage, spec in specs.items():
        if is_url(spec):
            urls[spec] = f"{urls[spec]} and {stage}" if spec in urls else stage
    return urls


def options(local: Local) -> list[str]:
    """What `voicecli serve` takes for these settings."""
    given = {
        "--mind": local.mind, "--mind-model": local.mind_model,
        "--mind-key-env": local.mind_key_env,
        "--ears": local.ears, "--ears-model": local.ears_model,
        "--ears-key-env": local.ears_key_env,
        "--voice-endpoint": local.voices, "--voice-model": local.voices_model,
        "--voice-name": local.voices_name, "--voice-key-env": local.voices_key_env,
    }  # fmt: skip
    return [word for flag, value in given.items() if value for word in (flag, value)]


def build(local: Local, threads: int, told: Callable[[str], None] = lambda _: None) -> Models:
    """Load what these settings name; blocks for as long as that takes.

    Args:
        local: with the mind decided.
        threads: of the ears.
        told: what is being loaded, each time that begins.

    Raises:
        VoicecliError: something cannot be loaded.
    """
    from voicecli.engine.ears.judge import load_judge
    from voicecli.engine.minds.mind import KEY_VARIABLE, load_mind
    from voicecli.engine.stages import Models
    from voicecli.engine.store import ModelStore

    store = ModelStore()
    told("ears")
    ears = _ears(local, store, threads)
    told("voice")
    voice = _voice(local)
    told("mind")
    key_variable = local.mind_key_env or KEY_VARIABLE
    mind = load_mind(local.mind, store, model=local.mind_model or None, key_variable=key_variable)
    specs = {"ears": local.ears, "mind": local.mind, "voice": local.voices}
    at_once = {name: REMOTE_AT_ONCE for name, spec in specs.items() if is_url(spec)}
    captions = not is_url(local.ears)  # each would be a request, and may cost money
    return Models(ears, mind, voice, load_judge(store), captions=captions, at_once=at_once)


def _ears(local: Local, store: ModelStore, threads: int) -> Ears:
    if not local.ears:
        from voicecli.engine.ears.ears import load_ears

        return load_ears(store, threads)
    from voicecli.engine.ears import endpoint_ears

    return endpoint_ears.EndpointEars(
        local.ears,
        model=local.ears_model or None,
        key_variable=local.ears_key_env or endpoint_ears.KEY_VARIABLE,
    )


def _voice(local: Local) -> Voice:
    if not local.voices:
        from voicecli.engine.voices.voices import HibariVoice

        return HibariVoice()
    from voicecli.engine.voices import endpoint_voice

    return endpoint_voice.EndpointVoice(
        local.voices,
        model=local.voices_model or None,
        voice=local.voices_name or None,
        key_variable=local.voices_key_env or endpoint_voice.KEY_VARIABLE,
    )
