"""What tokens cost, from prices that the user gives: they age, so none are kept here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from voicecli.errors import ConfigError
from voicecli.protocol.objects import Usage

_Price: TypeAlias = Annotated[float, Meta(ge=0)]


class Prices(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of one model: US dollars for a million tokens."""

    text_in: _Price
    text_out: _Price
    audio_in: _Price
    audio_out: _Price
    cached_text_in: _Price | None = None
    "None: as others."
    cached_audio_in: _Price | None = None


def prices_from(tables: Mapping[str, Any], origin: str) -> dict[str, Prices]:
    """Prices by model, from a table for each.

    Args:
        tables: plain values.
        origin: where they are from, for the error.

    Raises:
        ConfigError: a price is missing, unknown or no number.
    """
    try:
        return msgspec.convert(dict(tables), dict[str, Prices])
    except msgspec.ValidationError as exc:
        raise ConfigError(
            f"the prices in {origin} cannot be used: {exc}",
            "each model is a table with text_in, text_out, audio_in and audio_out",
        ) from exc


def cost_of(usage: Usage, prices: Prices | None) -> float | None:
    """US dollars for these tokens.

    Returns:
        None without prices, and where the server did not tell how many of the tokens were text.
        Cached tokens that it did not tell apart are counted as others.
    """
    told_in = usage.input_text_tokens + usage.input_audio_tokens
    told_out = usage.output_text_tokens + usage.output_audio_tokens
    if prices is None or told_in < usage.input_tokens or told_out < usage.output_tokens:
        return None
    cached_text, cached_audio = usage.cached_text_tokens, usage.cached_audio_tokens
    millionths = (
        (usage.input_text_tokens - cached_text) * prices.text_in
        + (usage.input_audio_tokens - cached_audio) * prices.audio_in
        + cached_text * _or(prices.cached_text_in, prices.text_in)
        + cached_audio * _or(prices.cached_audio_in, prices.audio_in)
        + usage.output_text_tokens * prices.text_out
        + usage.output_audio_tokens * prices.audio_out
    )
    return millionths / 1_000_000


def _or(price: float | None, otherwise: float) -> float:
    return otherwise if price is None else price
