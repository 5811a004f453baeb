"""What all who come to a server share: what is allowed, what is known of it, who is there."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from voicecli.engine.dialogue.dialogue import MODEL
from voicecli.engine.dialogue.session_fields import SessionKind
from voicecli.engine.dialogue.session_state import SessionState
from voicecli.engine.server.access import (
    SECRET_PREFIX,
    ClientSecrets,
    Doorkeeper,
    is_loopback,
    key_of,
    wants_beta,
)
from voicecli.engine.server.connection import Connection, Worker
from voicecli.engine.server.journal import Journal
from voicecli.engine.server.metrics import Metrics

if TYPE_CHECKING:
    import ssl

    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request

    from voicecli.engine.stages import Workshop

MAX_SESSIONS: Final = 32
GRACE_S: Final = 10.0
STOPPING: Final = "The server is going down."

_ID_CHARS: Final = string.ascii_letters + string.digits
_ID_LENGTH: Final = 21
_SECRET_LENGTH: Final = 40


@dataclass(frozen=True)
class Policy:
    """What a server allows."""

    token: str | None = None
    "What clients have to show; None: nothing."
    origins: Collection[str] = ()
    "Of web pages that may connect."
    max_sessions: int = MAX_SESSIONS
    "Clients at a time; more are refused with 503."
    session_limit_s: float = 0.0
    "A session is ended after so long; 0: never."
    grace_s: float = GRACE_S
    "How long answers in progress may take when the server is told to stop."
    tls: ssl.SSLContext | None = None
    "None: what goes over the network can be read there."


def new_id(prefix: str) -> str:
    """A random id of the API's shape, such as `item_3Xq…`."""
    return f"{prefix}_{_random(_ID_LENGTH)}"


def _new_secret(prefix: str) -> str:
    return f"{prefix}_{_random(_SECRET_LENGTH)}"


def _random(length: int) -> str:
    return "".join(secrets.choice(_ID_CHARS) for _ in range(length))


@dataclass
class House:
    """One server."""

    host: str
    policy: Policy
    voices: Collection[str]
    "Names of voices beside those of the API."
    journal: Journal
    metrics: Metrics
    workshop: Workshop | None
    "None: there are no models."
    make_worker: Callable[[Connection], Worker]
    progress: Callable[[], str]
    "Says which of the models is being loaded."
    clock: Callable[[], float]
    "Seconds that never go back."
    now: Callable[[], float]
    "Seconds since 1970."
    connections: set[Connection] = field(default_factory=set)
    lines: set[ServerConnection] = field(default_factory=set)
    "All that are open, also for HTTP and handshakes."
    is_stopping: bool = False

    def __post_init__(self) -> None:
        is_here = is_loopback(self.host) and self.policy.token is None
        self.doorkeeper = Doorkeeper(self.policy.token, self.policy.origins, only_here=is_here)
        self.secrets = ClientSecrets(_new_secret, self._new_session)

    @property
    def is_full(self) -> bool:
        """Whether no more sessions may begin."""
        return self.is_stopping or len(self.connections) >= self.policy.max_sessions

    def has_token(self, request: Request) -> bool:
        """Whether a request shows the token; secrets made for clients only begin sessions."""
        return self.doorkeeper.admits_key(_key_in(request))

    def session_for(self, request: Request | None) -> dict[str, Any] | None:
        """What a session begins with, from the key that the client shows; None: a wrong one."""
        key = "" if request is None else _key_in(request)
        if key.startswith(SECRET_PREFIX):
            return self.secrets.session_of(key, self.now())
        return {} if self.doorkeeper.admits_key(key) else None

    def wants_beta(self, request: Request | None) -> bool:
        """Whether a client expects the API as it was before its release."""
        if request is None:
            return False
        return wants_beta(request.headers.get_all("OpenAI-Beta"), _subprotocols_in(request))

    def refuse(self, reason: str, **fields: Any) -> None:
        """Note that somebody was turned away."""
        self.metrics.count("refused_total", reason=reason)
        self.journal.write("refused", reason=reason, **fields)

    def _new_session(self, kind: SessionKind) -> SessionState:
        return SessionState(new_id("sess"), MODEL, self.voices, kind=kind)


def _key_in(request: Request) -> str:
    authorizations = request.headers.get_all("Authorization")
    return key_of(authorizations[0] if authorizations else None, _subprotocols_in(request))


def _subprotocols_in(request: Request) -> list[str]:
    offered = ",".join(request.headers.get_all("Sec-WebSocket-Protocol")).split(",")
    return [one.strip() for one in offered]
