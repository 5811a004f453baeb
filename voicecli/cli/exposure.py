"""Who will be able to reach a server: its token, its certificate, and what that means in words."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from voicecli.errors import ConfigError

if TYPE_CHECKING:
    import ssl

SHORT_TOKEN = 16
"Fewer characters than this can be guessed over a network."

_PEM: Final = (
    "--tls-cert takes a PEM file with the certificate and its chain, --tls-key one with the "
    "private key, without a password"
)

MAKE_ONE = 'make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"'


def read_token(
    token: str | None,
    variable: str | None,
    file: Path | None,
    environment: Mapping[str, str] = os.environ,
) -> str | None:
    """The token from wherever it was given; None: there is none.

    Raises:
        ConfigError: it was given twice, is not there, or cannot be sent in a header.
    """
    given = [one for one in (token, variable, file) if one is not None]
    if not given:
        return None
    if len(given) > 1:
        raise ConfigError("the token is given more than once", "give one of the three options")
    if token is not None:
        return _checked(token, "--token")
    if variable is not None:
        if not environment.get(variable):
            raise ConfigError(f"the environment variable {variable!r} is not set", MAKE_ONE)
        return _checked(environment[variable], f"the variable {variable!r}")
    assert file is not None
    try:
        text = file.expanduser().read_text("utf-8-sig")
    except FileNotFoundError as exc:
        raise ConfigError(f"there is no file {str(file)!r}", "--token-file names one") from exc
    except (OSError, UnicodeError) as exc:
        raise ConfigError(f"cannot read the token from {str(file)!r}: {_reason(exc)}") from exc
    return _checked(text.strip(), f"the file {str(file)!r}")


def _checked(token: str, source: str) -> str:
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(
            f"the token in {source} cannot be used",
            f"it is one or more printable ASCII characters without spaces; {MAKE_ONE}",
        )
    if token.startswith("ek_"):
        raise ConfigError(
            f"the token in {source} begins with 'ek_'",
            "secrets for clients begin so; choose another",
        )
    return token


def tls_context(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """What the server proves its name with; None: no TLS.

    Raises:
        ConfigError: one of the files is missing, unreadable, or does not fit the other.
    """
    if certificate is None and key is None:
        return None
    if certificate is None:
        raise ConfigError("--tls-key needs --tls-cert")
    for one in (certificate, key):
        if one is not None and not one.expanduser().exists():
            raise ConfigError(f"there is no file {str(one)!r}", _PEM)
    import ssl

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # An empty password, so that an encrypted key fails instead of asking for one.
        context.load_cert_chain(
            certificate.expanduser(), None if key is None else key.expanduser(), password=""
        )
    except (OSError, ValueError) as exc:  # ssl's own errors are OSErrors
        raise ConfigError(
            f"cannot use the certificate {str(certificate)!r}: {_reason(exc)}", _PEM
        ) from exc
    return context


def _reason(exc: Exception) -> str:
    """What went wrong, without a number."""
    return exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)


def check_origins(origins: Sequence[str]) -> list[str]:
    """The origins in the form in which browsers send them.

    Raises:
        ConfigError: one is no origin.
    """
    return [_origin(one) for one in origins]


def _origin(text: str) -> str:
    try:
        parts = urlsplit(text.rstrip("/"))
        is_origin = bool(parts.scheme and parts.hostname) and not parts.path and not parts.query
    except ValueError:
        is_origin = False
    if not is_origin:
        raise ConfigError(
            f"{text!r} is not an origin", 'an origin is like "https://app.example" or '
            '"http://localhost:3000"; there is none that means all'
        )  # fmt: skip
    return text.rstrip("/").lower()


def check_exposure(host: str, *, token: str | None, has_tls: bool, insecure: bool) -> list[str]:
    """What a person has to know about who can reach this server, a sentence a line.

    Raises:
        ConfigError: others could use it, and nobody said that they may.
    """
    from voicecli.engine.server.access import is_loopback

    if is_loopback(host):
        return []
    if token is None and not insecure:
        raise ConfigError(
            f"{host!r} can be reached from other machines",
            "give a token that clients have to show (--token-env NAME or --token-file FILE), or "
            "add --insecure to let anyone there use this engine",
        )
    told = []
    if token is None:
        told.append(f"anyone who can reach {host} can use this engine and hear its answers")
    elif len(token) < SHORT_TOKEN:
        told.append(f"a token of fewer than {SHORT_TOKEN} characters can be guessed")
    if not has_tls:
        what = "the token and all that is said" if token else "all that is said"
        told.append(f"without --tls-cert {what} can be read on the way by others in the network")
    return told
