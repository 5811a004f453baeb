"""What must never be written down: keys, headers, tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

REMOVED: Final = "[removed]"

SHORTEST: Final = 6
"What is shorter is no key, and would be found everywhere."

_SECRET_FIELDS: Final = frozenset(
    {"authorization", "headers", "client_secret", "api_key", "apikey", "access_token", "password"}
)
_MAY_HOLD: Final = re.compile(
    b'"(?:' + "|".join(sorted(_SECRET_FIELDS)).encode() + b')"\\s*:', re.IGNORECASE
)


class Censor:
    """Takes secrets out of JSON text.

    Two things are taken out: the values it was given, wherever they stand, and whatever stands in a
    field that holds a secret by its name, as the `authorization` of an MCP tool does.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets if len(secret) >= SHORTEST for form in _forms(secret)}
        # The longest first: one secret may be a part of another.
        self._secrets = sorted(forms, key=len, reverse=True)

    def clean(self, text: bytes) -> bytes:
        """JSON text without its secrets; text that is no JSON ends with the first secret field."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, REMOVED.encode())
        if found := _MAY_HOLD.search(text):
            try:
                return msgspec.json.encode(without_secret_fields(msgspec.json.decode(text)))
            except (msgspec.MsgspecError, UnicodeError, RecursionError):
                # Where the secret ends cannot be told.
                return text[: found.end()] + msgspec.json.encode(REMOVED)
        return text


def without_secret_fields(value: Any) -> Any:
    """Plain values with the content of secret fields removed."""
    if isinstance(value, dict):
        return {
            key: REMOVED
            if key.lower() in _SECRET_FIELDS and field not in (None, "")
            else without_secret_fields(field)
            for key, field in value.items()
        }
    if isinstance(value, list):
        return [without_secret_fields(one) for one in value]
    return value


def _forms(secret: str) -> set[bytes]:
    return {secret.encode(), json.dumps(secret)[1:-1].encode()}
