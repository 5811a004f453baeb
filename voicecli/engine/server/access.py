"""Who may connect: the token, secrets made for clients, and the pages of browsers.

Pure: it is told the headers of a request and the time, and says what is allowed.

A browser sends the origin of a page along with whatever the page asks for, and any page may ask for
addresses of the machine it is looked at on. So a request that has an origin is refused unless that
origin was allowed. Some libraries that are no browsers send the address of the server itself as
their origin; that is let through where no page can have it.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from voicecli.engine.dialogue import checks
from voicecli.engine.dialogue.checks import Refusal
from voicecli.engine.dialogue.session_fields import SessionKind
from voicecli.engine.dialogue.session_state import SessionState
from voicecli.protocol.objects import JsonDict

KEY_PROTOCOL: Final = "openai-insecure-api-key."
"What a browser, which cannot set headers, puts before the key in the name of a sub-protocol."

BETA: Final = "realtime=v1"
BETA_PROTOCOL: Final = "openai-beta.realtime-v1"

SECRET_PREFIX: Final = "ek_"
MAX_SECRETS: Final = 1000
"Secrets that have not expired; more are refused until some have."

_SECONDS: Final = 600


def key_of(authorization: str | None, subprotocols: Iterable[str]) -> str:
    """The key that a client shows, "" for none; the header goes before the sub-protocol."""
    scheme, _, key = (authorization or "").strip().partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    for name in subprotocols:
        if name.startswith(KEY_PROTOCOL):
            return name.removeprefix(KEY_PROTOCOL)
    return ""


def wants_beta(betas: Iterable[str], subprotocols: Iterable[str]) -> bool:
    """Whether a client expects the events of the beta, which are others.

    Args:
        betas: the `OpenAI-Beta` headers.
        subprotocols: those it offers.
    """
    named = (one.strip().lower() for header in betas for one in header.split(","))
    return BETA in named or BETA_PROTOCOL in subprotocols


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach the address or name."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return False


def _is_address(host: str) -> bool:
    with suppress(ValueError):
        ipaddress.ip_address(host)
        return True
    return False


def _without_port(host: str) -> str:
    """The name or address in a `Host` header, or in an origin after its scheme."""
    name, colon, port = host.rpartition(":")
    has_port = colon and (port.isdigit() or not port) and not name.endswith(":")
    return (name if has_port else host).removeprefix("[").removesuffix("]").lower()


@dataclass(frozen=True)
class Doorkeeper:
    """The rules for all who come.

    Args:
        token: what a client has to show; None: anything and nothing will do.
        origins: of pages that may connect, such as `https://app.example`.
        only_here: whether all who come have to call this machine by a name of its own. A page
            whose name was made to point here after it was loaded does not.
    """

    token: str | None = None
    origins: Collection[str] = ()
    only_here: bool = False

    def admits_key(self, key: str) -> bool:
        """Whether the key is the token; takes the same time for every wrong one."""
        if self.token is None:
            return True
        # Of digests, which are of one length whatever the keys are.
        shown, right = (hashlib.sha256(one.encode()).digest() for one in (key, self.token))
        return hmac.compare_digest(shown, right)

    def admits_page(self, origin: str | None, host: str | None) -> bool:
        """Whether a request is from no page, or from one that was allowed.

        Args:
            origin: the `Origin` header.
            host: the `Host` header.
        """
        if origin is None or origin in self.origins:
            return True
        # The server has no pages, and nobody else can be at its own address.
        scheme, _, place = origin.partition("://")
        name = _without_port(place)
        is_own = scheme in {"http", "https"} and place == host
        return is_own and (_is_address(name) or is_loopback(name))

    def admits_host(self, host: str | None) -> bool:
        """Whether the `Host` header is one that clients of this server may send."""
        return not self.only_here or host is None or is_loopback(_without_port(host))


@dataclass(frozen=True)
class _Secret:
    session: JsonDict
    expires_at: float


class ClientSecrets:
    """Keys that may be given to others: each begins sessions for a while, with settings of its own.

    Times are in seconds since 1970. Kept by their digests, so that finding one takes the same time
    for every wrong one.

    Args:
        new_value: makes a value that nobody can guess, from a prefix.
        new_session: makes the state of a fresh session of this kind.

    Source: `POST /v1/realtime/client_secrets` of the API.
    """

    def __init__(
        self, new_value: Callable[[str], str], new_session: Callable[[SessionKind], SessionState]
    ) -> None:
        self._new_value = new_value
        self._new_session = new_session
        self._secrets: dict[bytes, _Secret] = {}
        expiry = checks.fields(
            {"anchor": checks.one_of("created_at"), "seconds": checks.integer(10, 7200)}
        )
        self._check = checks.fields(
            {"expires_after": checks.nullable(expiry), "session": checks.nullable(checks.anything)}
        )

    def create(self, request: Any, now: float) -> JsonDict:
        """A new secret and the session it begins, as the API's answer has them.

        Args:
            request: the body as JSON.
            now: the time.

        Raises:
            Refusal: a field is not allowed, or there are too many secrets.
        """
        wanted = self._check(request, "body")
        session = wanted.get("session") or {"type": "realtime"}
        state = self._new_session(kind_of(session))
        state.update(session, answering=False)
        seconds = (wanted.get("expires_after") or {}).get("seconds", _SECONDS)
        self._forget_expired(now)
        if len(self._secrets) >= MAX_SECRETS:
            raise Refusal("rate_limit_exceeded", f"There are {MAX_SECRETS} secrets already.")
        value = SECRET_PREFIX + self._new_value("secret").partition("_")[2]
        expires_at = int(now) + seconds
        self._secrets[_digest(value)] = _Secret(session, expires_at)
        shown = {**state.to_wire(), "expires_at": 0}
        return {"value": value, "expires_at": expires_at, "session": shown}

    def session_of(self, key: str, now: float) -> JsonDict | None:
        """What a session begun with this secret is set to; None: it is none, or has expired."""
        found = self._secrets.get(_digest(key))
        return None if found is None or found.expires_at <= now else found.session

    def _forget_expired(self, now: float) -> None:
        self._secrets = {key: one for key, one in self._secrets.items() if one.expires_at > now}


def kind_of(session: Any) -> SessionKind:
    """The kind that a session's settings name; conversations unless they name the other one."""
    wanted = session.get("type") if isinstance(session, dict) else None
    return "transcription" if wanted == "transcription" else "realtime"


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
