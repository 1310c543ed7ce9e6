"""Numbers and times as the venues write them."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

_encoder = msgspec.json.Encoder(decimal_format="number")


def dumps(value: Any) -> str:
    """JSON; decimals become numbers with all their digits."""
    return _encoder.encode(value).decode()


def plain(number: Decimal) -> str:
    """A decimal without exponent, trailing zeros kept."""
    return format(number, "f")


def raw(number: Decimal) -> msgspec.Raw:
    """A decimal as JSON number without exponent."""
    return msgspec.Raw(format(number, "f").encode())


def trimmed(number: Decimal) -> Decimal:
    """Without trailing zeros."""
    return Decimal(format(number.normalize(), "f"))


def rfc3339(time_ns: int) -> str:
    """``2026-01-19T14:45:24.534338Z``"""
    moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ns // 1000 % 1_000_000:06d}Z"


def wire_bytes(text: str) -> bytes:
    """The bytes of a recorded message as on the wire; a lone surrogate that stands for no byte becomes ``?``."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")
