"""Currency pairs, their process-local numbers, and the venues' own spellings of them.

A pair is interned: one object and one number (an i32) per pair and process. The number never leaves the process.
All functions may be called from any thread.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Self

from hftcore.derivatives import (
    coinbase_spelling,
    kraken_future_spelling,
    pair_text_of_coinbase,
    pair_text_of_kraken_future,
)
from hftcore.enums import Exchange

MAX_SYMBOL_BYTES = 64
MAX_SYMBOLS = 1 << 20

# Longest first: an unseparated spelling is split by the longest that fits.
QUOTES = tuple(
    sorted(
        (
            "usdt usdc busd fdusd tusd usdp usds usde usd1 dai pax ust "
            "usd eur gbp jpy aud cad chf try brl rub uah ngn zar idr idrt bidr bvnd pln ron ars czk mxn cop krw inr "
            "bkrw vai gyen hbot eurc euri eurs aeur btc xbt eth bnb trx xrp doge dot sol ltc ada"
        ).split(),
        key=len,
        reverse=True,
    )
)
# Currencies that a longer quote would cut: BNBUSD is bnb/usd, not bn/busd; BATUSD bat/usd, ADAEUR ada/eur.
BASES = frozenset(
    (
        "act ant apt ast bat bit blast bnt crpt dent dot gft gmt grt hft hnt hot lit lpt mdt mnt nft not ont oxt pnut "
        "qnt rbnt snt usdt ust vet xrt "
        "bb bnb bob dgb orb shib trb "
        "ada asta aura ava beta data dia ela elsa fida gala iota kava kda lista luna mana mina pha theta "
        "tia uma"
    ).split()
)
ALIASES = {"xbt": "btc", "xdg": "doge"}
# What the venues' own spellings say, where that is not a pair in one of the spellings of CurrencyPair.
PAIR_TEXTS: dict[Exchange, Callable[[str], str]] = {
    Exchange.COINBASE: pair_text_of_coinbase,
    Exchange.KRAKEN_FUTURE: pair_text_of_kraken_future,
}

_lock = threading.Lock()
_pairs: list["CurrencyPair"] = []
_by_text: dict[str, "CurrencyPair"] = {}
_instruments: dict[Exchange, dict[str, "CurrencyPair"]] = {}
_native: dict[tuple[Exchange, "CurrencyPair"], str] = {}
_listeners: list[Callable[[Exchange], None]] = []


class _PairType(type):
    def __getattr__(cls, name: str) -> "CurrencyPair":
        # CurrencyPair.BTC_USDT: any BASE_QUOTE in capitals.
        if name.isupper() and "_" in name and not name.startswith("_"):
            pair = CurrencyPair(name)
            setattr(cls, name, pair)
            return pair
        raise AttributeError(f"{cls.__name__} has no attribute {name!r}; a pair reads CurrencyPair.BASE_QUOTE")


class CurrencyPair(str, metaclass=_PairType):
    """A pair such as ``btc/usdt``, or ``btc/usdt:usdt`` for a perpetual settled in usdt, or ``btc/usdt:usdt-260327``
    for a future that expires on 2026-03-27.

    It is the string of its canonical spelling (lower case), so it can stand wherever text is expected.

    Parameters
    ----------
    text
        ``btc/usdt``, ``BTC-USDT``, ``BTC_USDT``, ``btc/usdt:usdt``, ``btc/usdt:usdt-260327``, or unseparated
        (``btcusdt``), which is split by the longest known quote currency. XBT is btc, XDG is doge.

    Raises
    ------
    TypeError
        If `text` is not a string.
    ValueError
        If `text` is no pair, or is longer than 64 bytes of UTF-8.
    """

    base: str
    quote: str
    settle: str
    expiry: str
    id: int

    def __new__(cls, text: str) -> Self:
        if type(text) is cls:
            return text
        if not isinstance(text, str):
            raise TypeError(f"a currency pair must be a str, was {text!r}")
        known = _by_text.get(text)
        if known is None:
            known = _intern(*_split(text))
        return known  # type: ignore[return-value]

    def __repr__(self) -> str:
        return f"CurrencyPair({str.__str__(self)!r})"

    def __str__(self) -> str:
        return str.__str__(self)

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return CurrencyPair, (str.__str__(self),)

    @property
    def topic(self) -> str:
        """The pair without separators (``btcusdt``)."""
        return self.base + self.quote + self.settle + self.expiry


def _split(text: str) -> tuple[str, str, str, str]:
    lower = text.lower()
    pair, _, settle = lower.partition(":")
    settle, dated, expiry = settle.partition("-")
    if dated and not (len(expiry) == 6 and expiry.isascii() and expiry.isdigit()):
        raise ValueError(f"an expiry must read yymmdd, was {text!r}")
    for separator in "/-_":
        base, found, quote = pair.partition(separator)
        if found:
            break
    else:
        base, quote = _split_unseparated(pair, text)
    parts = tuple(ALIASES.get(part, part) for part in (base, quote, settle))
    for part in parts:
        if any(character in "/-_:" or character.isspace() or not character.isprintable() for character in part):
            raise ValueError(f"a currency pair must read base/quote, was {text!r}")
    if not base or not quote or (":" in lower and not settle):
        raise ValueError(f"a currency pair must read base/quote, was {text!r}")
    return parts[0], parts[1], parts[2], expiry


def _split_unseparated(lower: str, text: str) -> tuple[str, str]:
    for quote in QUOTES:
        base = lower[: -len(quote)]
        # "usd" is the base of no market: usdtusd is usdt/usd, not usd/tusd.
        if base and base != "usd" and lower.endswith(quote):
            if base + quote[0] in BASES and quote[1:] in QUOTES:
                return base + quote[0], quote[1:]
            return base, quote
    raise ValueError(f"a currency pair must read base/quote or end in a known quote currency, was {text!r}")


def _intern(base: str, quote: str, settle: str, expiry: str) -> CurrencyPair:
    text = f"{base}/{quote}" + (f":{settle}" if settle else "") + (f"-{expiry}" if expiry else "")
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_SYMBOL_BYTES:
        raise ValueError(f"a currency pair must have at most {MAX_SYMBOL_BYTES} bytes, was {text!r} ({size})")
    with _lock:
        pair = _by_text.get(text)
        if pair is None:
            if len(_pairs) >= MAX_SYMBOLS:
                raise ValueError(f"more than {MAX_SYMBOLS} currency pairs, the last was {text!r}")
            pair = str.__new__(CurrencyPair, text)
            pair.base, pair.quote, pair.settle, pair.expiry, pair.id = base, quote, settle, expiry, len(_pairs)
            _pairs.append(pair)
            _by_text[text] = pair
        return pair


def pair_of_id(number: int) -> CurrencyPair:
    """The pair with this process-local number.

    Raises
    ------
    ValueError
        If no pair has that number in this process.
    """
    if not 0 <= number < len(_pairs):
        raise ValueError(f"no currency pair has the number {number} in this process")
    return _pairs[number]


def register_instruments(exchange: Exchange, instruments: Mapping[str, str]) -> None:
    """Tell how a venue spells its pairs, from its instrument list.

    Parameters
    ----------
    exchange
        The venue.
    instruments
        From the venue's spelling (``BTCUSDT``) to the pair (``btc/usdt``).
    """
    pairs = {native: CurrencyPair(pair) for native, pair in instruments.items()}
    with _lock:
        _instruments.setdefault(exchange, {}).update(pairs)
        _native.update({(exchange, pair): native for native, pair in pairs.items()})
    for listener in _listeners:
        listener(exchange)


def on_instruments(listener: Callable[[Exchange], None]) -> None:
    """Call `listener` whenever a venue's instruments change, so that it can forget what it remembered."""
    _listeners.append(listener)


def pair_of_native(exchange: Exchange, native: str) -> CurrencyPair:
    """The pair that a venue spells `native`.

    Raises
    ------
    ValueError
        If it is in no instrument list that was registered and cannot be split.
    """
    pair = _instruments.get(exchange, {}).get(native)
    if pair is None:
        read = PAIR_TEXTS.get(exchange)
        pair = CurrencyPair(native if read is None else read(native))
        with _lock:
            _native.setdefault((exchange, pair), native)
    return pair


def native_symbol(exchange: Exchange, pair: str) -> str:
    """How a venue spells a pair: as it was registered or seen, else by the venue's rule.

    Raises
    ------
    ValueError
        If `pair` is no pair, or the venue has no such contract.
    """
    pair = CurrencyPair(pair)
    native = _native.get((exchange, pair))
    if native is not None:
        return native
    base, quote = pair.base.upper(), pair.quote.upper()
    match exchange:
        case Exchange.BINANCE | Exchange.BINANCE_FUTURE:
            return base + quote
        case Exchange.COINBASE:
            return coinbase_spelling(pair.base, pair.quote, pair.settle, pair.expiry)
        case Exchange.OKX:
            return f"{base}-{quote}"
        case Exchange.OKX_SWAP:
            return f"{base}-{quote}-SWAP"
        case Exchange.KRAKEN_FUTURE:
            return kraken_future_spelling(pair.base, pair.quote, pair.settle, pair.expiry)
        case _:
            return f"{base}/{quote}"


def known_pairs() -> Iterable[CurrencyPair]:
    """All pairs of this process, in the order of their numbers."""
    return tuple(_pairs)
