"""The examination of the way to a server; those steps that come after a broken one are skipped."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Final

from voicecli.errors import ConfigError

if TYPE_CHECKING:
    from voicecli.config import Config, Destination
    from voicecli.doctor.findings import Finding
    from voicecli.doctor.limits import Patience
    from voicecli.doctor.network import Place

_STEP_LIMIT_S: Final = 3.0
_SESSION_LIMIT_S: Final = 6.0
_PINGS_LIMIT_S: Final = 3.0


async def examine_server(
    config: Config, patience: Patience, tell: Callable[[Finding], None]
) -> None:
    """Every step of the way to the server that a talk would go to."""
    from voicecli import config as configuration
    from voicecli.connection import url_with_model
    from voicecli.doctor.findings import Finding
    from voicecli.doctor.keys import judged_key

    try:
        target = configuration.destination(config)
        if target.name != "local":
            url_with_model(target.url, target.model)
    except ConfigError as exc:
        tell(Finding("server", "server", "problem", exc.message, exc.hint, ("voicecli config",)))
        return
    if target.name == "local":
        told = "the engine inside: no network and no key are needed"
        tell(Finding("server", "server", "ok", told, facts={"name": "local"}))
        return
    from voicecli.connection import Address

    shown = Address(target.url).shown
    told = shown if "://" in target.name else f"{target.name}, {shown}"
    name = shown if "://" in target.name else target.name
    tell(Finding("server", "server", "ok", told, facts={"name": name, "url": shown}))
    key = judged_key(target.key_env, os.environ.get(target.key_env), sys.platform)
    tell(key)
    is_reached = await _way(_place(target.url), patience, tell)
    if not is_reached:
        _skip(tell, "the server cannot be reached", "session", "round trip")
    elif key.state == "problem":
        _skip(tell, "there is no usable key", "session", "round trip")
    else:
        await _session(target, tell)


async def _way(place: Place, patience: Patience, tell: Callable[[Finding], None]) -> bool:
    """Name, port and certificate; whether all of it is well."""
    from voicecli.doctor import network

    proxy = _proxy_for(place)
    if proxy:
        _skip(tell, f"all goes through the proxy {proxy}", "dns", "tcp", "tls")
        return True
    steps: list[tuple[str, Callable[[], Finding]]] = [
        ("dns", lambda: network.resolved(place)),
        ("tcp", lambda: network.reached(place, _STEP_LIMIT_S)),
        ("tls", lambda: network.secured(place, _STEP_LIMIT_S)),
    ]
    for number, (check, step) in enumerate(steps):
        found = await _step(check, step, patience)
        tell(found)
        if found.state == "problem":
            _skip(tell, f"{check} failed", *(name for name, _ in steps[number + 1 :]))
            return False
    return True


async def _step(check: str, step: Callable[[], Finding], patience: Patience) -> Finding:
    from voicecli.doctor.findings import Finding

    limit_s = 2 * _STEP_LIMIT_S
    try:
        return await patience.run(step, limit_s)
    except TimeoutError:
        told = f"no answer within {limit_s:g} s"
        return Finding("server", check, "problem", told, "is there a network?")


async def _session(target: Destination, tell: Callable[[Finding], None]) -> None:
    from voicecli.cli.wiring import connect
    from voicecli.doctor.session import opened, pinged

    async with AsyncExitStack() as stack:
        finding, link = await opened(
            lambda: connect(target, target.url, stack),
            _SESSION_LIMIT_S,
            key_variable=target.key_env,
            platform=sys.platform,
        )
        tell(finding)
        if link is None:
            _skip(tell, "there is no session", "round trip")
        else:
            tell(await pinged(link, _PINGS_LIMIT_S))


def _skip(tell: Callable[[Finding], None], reason: str, *checks: str) -> None:
    from voicecli.doctor.findings import Finding

    for check in checks:
        tell(Finding("server", check, "skipped", reason))


def _place(url: str) -> Place:
    from urllib.parse import urlsplit

    from voicecli.connection import Address
    from voicecli.doctor.network import Place

    parts = urlsplit(url)
    is_secure = parts.scheme == "wss"
    port = parts.port or (443 if is_secure else 80)
    return Place(parts.hostname or "", port, is_secure, Address(url).is_loopback)


def _proxy_for(place: Place) -> str:
    """The host of the proxy that stands between, without user and password; empty: none."""
    from urllib.parse import urlsplit
    from urllib.request import getproxies, proxy_bypass

    if place.is_loopback or proxy_bypass(place.host):
        return ""
    proxies = getproxies()
    schemes = (
        ("wss", "socks", "https", "http") if place.is_secure else ("ws", "socks", "https", "http")
    )
    found = next((proxies[one] for one in schemes if proxies.get(one)), "")
    with suppress(ValueError):
        return urlsplit(found).hostname or ""
    return "that is set"
