"""The examination of the embedded engine: its models, and whether it starts and answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Final

from voicecli.errors import ConfigError, VoicecliError

if TYPE_CHECKING:
    from voicecli.config import Config, Local
    from voicecli.doctor.findings import Finding, State
    from voicecli.engine.store import ModelStore

_ENGINE_LIMIT_S: Final = 8.0
_DEEP_LIMIT_S: Final = 90.0


async def examine_models(
    config: Config,
    tell: Callable[[Finding], None],
    working: Callable[[str], None],
    *,
    is_deep: bool,
) -> None:
    """What is here of the models; the engine is started where a talk would use it.

    Args:
        config: in force.
        tell: gets each finding.
        working: told what is being done.
        is_deep: start it in any case, with the mind of a talk, however long that takes.
    """
    from voicecli.cli.stages import is_url, unreachable
    from voicecli.config import destination
    from voicecli.doctor import machine
    from voicecli.doctor.findings import Finding
    from voicecli.doctor.weights import Weights, judged_weights
    from voicecli.engine.store import ModelStore

    is_used = True
    with suppress(ConfigError):
        is_used = destination(config).name == "local"
    obstacle = _obstacle(config.local, is_wanted=is_used or is_deep)
    if obstacle is not None:
        tell(obstacle)
        return
    store = ModelStore()
    models = [
        Weights(one.name, one.purpose, one.bytes, store.state(one.name).value)
        for one in store.models.values()
    ]
    mind, needed = _needed(config.local, store)
    memory = machine.available_memory()
    for one in judged_weights(models, needed, memory, is_used=is_used or is_deep):
        tell(one)
    if not (is_used or is_deep):
        told = "the talk goes elsewhere (--deep starts it all the same)"
        tell(Finding("models", "engine", "skipped", told))
        return
    away = await asyncio.to_thread(unreachable, config.local)
    for told in away:
        tell(Finding("models", "stages", "problem", told, "start it, or take a model of ours"))
    if away:
        told = "a server that it needs cannot be reached"
        tell(Finding("models", "engine", "skipped", told))
    elif not all(store.is_present(name) for name in needed):
        told = "its models are not here yet"
        tell(Finding("models", "engine", "skipped", told))
    else:
        is_whole = is_deep or is_url(mind)
        tell(await _engine(config.local, mind if is_whole else "rules", working, is_deep=is_deep))


def _obstacle(local: Local, *, is_wanted: bool) -> Finding | None:
    """Why no engine can be started with these settings; None: one can."""
    from voicecli.cli.local import check_stages
    from voicecli.doctor.findings import Finding

    lacking = ", ".join(_lacking(local))
    if lacking and not is_wanted:
        told = f"the engine inside is not installed ({lacking}), nor is it used"
        return Finding("models", "engine", "skipped", told)
    if lacking:
        told = f"the engine inside is not installed: {lacking} missing"
        return Finding("models", "engine", "problem", told, "", ('pip install "voicecli[local]"',))
    try:
        check_stages(local)
    except ConfigError as exc:
        state: State = "problem" if is_wanted else "warning"
        return Finding("models", "engine", state, exc.message, exc.hint, ("voicecli config",))
    return None


async def _engine(
    local: Local, mind: str, working: Callable[[str], None], *, is_deep: bool
) -> Finding:
    """Start it as a talk does, ask it something, and stop at the first sound."""
    import msgspec

    from voicecli.cli.stages import is_url
    from voicecli.config import Destination
    from voicecli.doctor.findings import Finding
    from voicecli.doctor.session import QUESTIONS, first_audio_s
    from voicecli.doctor.weights import judged_engine

    working("starting the engine")
    limit_s = _DEEP_LIMIT_S if is_deep else _ENGINE_LIMIT_S
    loop = asyncio.get_running_loop()
    before = loop.time()
    try:
        async with asyncio.timeout(limit_s), AsyncExitStack() as stack:
            from voicecli.cli.wiring import connect, open_server

            target = Destination("local", "", "", "", "")
            ready = msgspec.structs.replace(local, mind=mind)
            url = await open_server(target, ready, stack)
            link = await connect(target, url, stack)
            # It takes questions while it loads, and answers the first when it has.
            await first_audio_s(link, QUESTIONS[0])
            load_s = loop.time() - before
            working("asking the engine something")
            audio_s = await first_audio_s(link, QUESTIONS[1])
            return judged_engine(load_s, audio_s, mind)
    except TimeoutError:
        is_remote = is_url(mind) or bool(local.voices)
        reason = "a server that it needs is slow" if is_remote else "its models load slowly here"
        told = f"no answer within {limit_s:g} s: {reason}"
        longer = ("voicecli doctor --deep --only models", "voicecli talk --mind rules")
        return Finding("models", "engine", "warning", told, "give it longer", longer)
    except VoicecliError as exc:
        fixes = () if is_url(mind) or local.voices else ("voicecli models verify",)
        return Finding("models", "engine", "problem", exc.message, exc.hint, fixes)


def _lacking(local: Local) -> list[str]:
    """The packages that the engine needs for these settings and that are not installed."""
    import importlib.util

    wanted = (("onnxruntime", local.ears), ("hibari", local.voices))
    return [name for name, url in wanted if not url and importlib.util.find_spec(name) is None]


def _needed(local: Local, store: ModelStore) -> tuple[str, list[str]]:
    """The mind that a talk would take, and the models that it would load."""
    from voicecli.cli.local import EARS
    from voicecli.engine.minds.mind import TIERS, best_tier

    mind = best_tier(store) if local.mind == "auto" else local.mind
    ears = [] if local.ears else [EARS]
    return mind, [*ears, *([TIERS[mind]] if mind in TIERS else [])]
