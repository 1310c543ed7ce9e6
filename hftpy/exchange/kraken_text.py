"""How Kraken writes numbers, times, statuses and names, for its private APIs."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from hftcore.enums import OrderStatus, OrderType
from hftcore.errors import ParseError
from hftcore.symbols import CurrencyPair

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

STATUSES = {
    "pending_new": OrderStatus.NONE,
    "pending": OrderStatus.NONE,
    "new": OrderStatus.NEW,
    "open": OrderStatus.NEW,
    "triggered": OrderStatus.NEW,
    "partially_filled": OrderStatus.PARTIAL_FILLED,
    "filled": OrderStatus.FILLED,
    "closed": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELED,
    "expired": OrderStatus.EXPIRED,
    "rejected": OrderStatus.FAILED,
}
# Assets that carry a class letter before their name; other names that begin with X or Z are names of their own.
LEGACY_ASSETS = {
    "XETC": "etc", "XETH": "eth", "XLTC": "ltc", "XMLN": "mln", "XREP": "rep", "XXBT": "btc", "XBT": "btc",
    "XXDG": "doge", "XDG": "doge", "XXLM": "xlm", "XXMR": "xmr", "XXRP": "xrp", "XZEC": "zec", "ZAUD": "aud",
    "ZCAD": "cad", "ZEUR": "eur", "ZGBP": "gbp", "ZJPY": "jpy", "ZUSD": "usd",
}  # fmt: skip
# What the venue quotes in, the longer spelling first. The symbol table's own list knows quotes of other venues, with
# which XBTUSD would read xb/tusd.
QUOTES = ("USDT", "USDC", "USDQ", "USDR", "EURQ", "USD", "EUR", "GBP", "JPY", "CAD", "AUD", "CHF", "XBT", "ETH", "DAI")
REST_NAMES = {"btc": "XBT", "doge": "XDG"}

# Errors that pass by themselves; the others need a change first.
RETRYABLE_ERRORS = (
    "EAPI:Rate limit exceeded",
    "EAPI:Invalid nonce",
    "EAPI:Invalid token",
    "ESession:",
    "EService:Unavailable",
    "EService:Busy",
    "EService:Timeout",
    "EService:Throttled",
    "EService:Deadline elapsed",
    "EGeneral:Internal error",
    "EOrder:Rate limit exceeded",
    "EOrder:Domain rate limit exceeded",
    "Exceeded msg rate",
)
# Errors after which an order may exist all the same.
AMBIGUOUS_ERRORS = ("EService:Unavailable", "EService:Timeout", "EGeneral:Internal error")


def decimal(value: Any, name: str) -> Decimal:
    """A number that the venue writes as a JSON number or as text, exactly.

    Raises
    ------
    ParseError
        If it is no finite number.
    """
    try:
        number = value if isinstance(value, Decimal) else Decimal(value if isinstance(value, int) else str(value))
    except InvalidOperation as error:
        raise ParseError(f"{name} must be a number, was {value!r}") from error
    if not number.is_finite():
        raise ParseError(f"{name} must be a finite number, was {value!r}")
    return number


def plain(number: Decimal) -> str:
    """A decimal without exponent."""
    return format(number, "f")


def microseconds(text: Any) -> int:
    """RFC 3339 as microseconds since 1970; 0 for nothing.

    Raises
    ------
    ParseError
        If it is no time.
    """
    if not text:
        return 0
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise ParseError(f"timestamp must be RFC 3339, was {text!r}") from error
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH) // MICROSECOND


def order_type(text: str) -> OrderType:
    """Market or limit; a stop counts as what it becomes."""
    return OrderType.MARKET if text in ("market", "stop-loss", "take-profit", "trailing-stop") else OrderType.LIMIT


def asset(name: str) -> str:
    """The common lower-case name of an asset."""
    return LEGACY_ASSETS.get(name, name.lower())


def rest_pair(pair: CurrencyPair) -> str:
    """The name of a pair in REST requests."""
    return REST_NAMES.get(pair.base, pair.base.upper()) + REST_NAMES.get(pair.quote, pair.quote.upper())


def pair_of_rest(name: str) -> CurrencyPair:
    """The pair of an ``altname`` such as XBTUSD, where the instruments are not known.

    Raises
    ------
    ParseError
        If it is none.
    """
    for quote in QUOTES:
        base = name[: -len(quote)]
        if base and name.endswith(quote):
            return CurrencyPair(f"{base}/{quote}")
    try:
        return CurrencyPair(name)
    except ValueError as error:
        raise ParseError(f"pair must be a pair, was {name!r}") from error
