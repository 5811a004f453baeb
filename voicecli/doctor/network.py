"""The way to a server, step by step: its name, its port, its certificate."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from voicecli.doctor.findings import Finding

_SOON_DAYS: Final = 14
_TRUST = "export SSL_CERT_FILE=/path/to/its-certificate.pem"


@dataclass(frozen=True)
class Place:
    """Where a server is, without anything secret."""

    host: str
    port: int
    is_secure: bool
    is_loopback: bool


def resolved(place: Place, clock: Callable[[], float] = time.monotonic) -> Finding:
    """Whether the name has an address; blocks for as long as the resolver likes."""
    before = clock()
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        told = f"{place.host!r} has no address: {reason}"
        advice = "is the name right, and is there a network? the engine inside needs none"
        fixes = ("voicecli talk --server local",)
        return Finding("server", "dns", "problem", told, advice, fixes)
    took_ms = (clock() - before) * 1000
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    if addresses == [place.host]:
        told = f"{place.host} is an address: there is no name to look up"
        return Finding("server", "dns", "ok", told, facts={"addresses": addresses})
    told = f"{place.host} is {addresses[0]}"
    if len(addresses) > 1:
        told += f" and {len(addresses) - 1} more"
    facts = {"addresses": addresses, "took_ms": round(took_ms, 1)}
    return Finding("server", "dns", "ok", f"{told} ({took_ms:.0f} ms)", facts=facts)


def reached(place: Place, limit_s: float, clock: Callable[[], float] = time.monotonic) -> Finding:
    """Whether something listens at the port; blocks for `limit_s` at most an address."""
    before = clock()
    try:
        socket.create_connection((place.host, place.port), timeout=limit_s).close()
    except OSError as exc:
        reason = "no answer" if isinstance(exc, TimeoutError) else exc.strerror or str(exc)
        told = f"port {place.port} of {place.host} cannot be reached: {reason}"
        advice = "is the server running, and does a firewall let you through?"
        fixes = ("voicecli serve",) if place.is_loopback else ("voicecli talk --server local",)
        return Finding("server", "tcp", "problem", told, advice, fixes)
    took_ms = (clock() - before) * 1000
    told = f"port {place.port} answers ({took_ms:.0f} ms)"
    return Finding("server", "tcp", "ok", told, facts={"took_ms": round(took_ms, 1)})


def secured(
    place: Place,
    limit_s: float,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    context: ssl.SSLContext | None = None,
) -> Finding:
    """Whether the connection is secret, and for how long the certificate is good.

    Args:
        place: the server.
        limit_s: for each step.
        now: for the certificate's age.
        context: what is trusted; None: what the system trusts, and `SSL_CERT_FILE`.
    """
    if not place.is_secure:
        return _unsecured(place)
    try:
        trusted = context or ssl.create_default_context()
        with (
            socket.create_connection((place.host, place.port), timeout=limit_s) as plain,
            trusted.wrap_socket(plain, server_hostname=place.host) as encrypted,
        ):
            certificate = encrypted.getpeercert() or {}
            version = encrypted.version() or "TLS"
    except ssl.SSLCertVerificationError as exc:
        return _untrusted(place, exc)
    except TimeoutError:
        told = f"{place.host} takes the connection and then says nothing of TLS"
        return Finding("server", "tls", "problem", told, "is it wss:// there, and not ws://?")
    except OSError as exc:  # ssl.SSLError is one
        reason = getattr(exc, "reason", None) or exc.strerror or str(exc)
        told = f"no secure connection to {place.host}: {str(reason).replace('_', ' ').lower()}"
        advice = "what answers there may speak no TLS: then the address begins with ws://"
        return Finding("server", "tls", "problem", told, advice)
    return _trusted(version, str(certificate.get("notAfter", "")), now())


def _unsecured(place: Place) -> Finding:
    if place.is_loopback:
        return Finding("server", "tls", "skipped", "not needed: the server is on this machine")
    told = "none: your voice, and the key, can be read on the way"
    return Finding("server", "tls", "warning", told, "use wss:// if the server has it")


def _trusted(version: str, not_after: str, now: datetime) -> Finding:
    told = version.replace("TLSv", "TLS ")
    if not not_after:
        return Finding("server", "tls", "ok", told)
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(not_after), UTC)
    days = (ends - now).days
    told += f", certificate good until {ends:%Y-%m-%d} ({days} days)"
    facts = {"version": version, "expires": ends.isoformat(), "days_left": days}
    if days < _SOON_DAYS:
        advice = "whoever runs the server has to renew it"
        return Finding("server", "tls", "warning", told, advice, facts=facts)
    return Finding("server", "tls", "ok", told, facts=facts)


def _untrusted(place: Place, exc: ssl.SSLCertVerificationError) -> Finding:
    reason = exc.verify_message or "it cannot be verified"
    told = f"the certificate of {place.host} is refused: {reason}"
    facts = {"reason": reason}
    if "expired" in reason:
        advice = "whoever runs the server has to renew it; is your own clock right?"
        return Finding("server", "tls", "problem", told, advice, ("date -u",), facts)
    if "self-signed" in reason or "self signed" in reason or "issuer" in reason:
        advice = "if it is yours, trust it; if not, someone may be listening in"
        fixes = (_TRUST, _fetched(place))
        return Finding("server", "tls", "problem", told, advice, fixes, facts)
    advice = "the name in the address is not the one in the certificate"
    return Finding("server", "tls", "problem", told, advice, facts=facts)


def _fetched(place: Place) -> str:
    return (
        f"openssl s_client -connect {place.host}:{place.port} -showcerts </dev/null "
        "| openssl x509 -noout -subject -issuer -dates -fingerprint"
    )
