"""Currency pairs, their process-local numbers, and the venues' own spellings of them.

A pair is interned: one object and one number (an i32) per pair and process. The number never leaves the process.
All functions may be called from any thread.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Self

from hftcore.enums import Exchange
from hftcore.errors import shown
from hftcore.spelling import CONTRACT, native_text, pair_text, split_unseparated

MAX_SYMBOL_BYTES = 64
MAX_SYMBOLS = 1 << 20

ALIASES = {"xbt": "btc", "xdg": "doge"}

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
    """A pair such as ``btc/usdt``, or ``btc/usdt:usdt`` for a perpetual settled in usdt.

    A dated future names its day of expiry (``btc/usdt:usdt-240927``), an option its strike and right as well
    (``btc/usd:btc-240927-60000-c``): `contract` is what stands behind the dash, empty for spot and perpetuals.

    It is the string of its canonical spelling (lower case), so it can stand wherever text is expected.

    Parameters
    ----------
    text
        ``btc/usdt``, ``BTC-USDT``, ``BTC_USDT``, ``btc/usdt:usdt``, or unseparated (``btcusdt``), which is split by
        the longest known quote currency. XBT is btc, XDG is doge.

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
    contract: str
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
        return self.base + self.quote + self.settle + self.contract.replace("-", "")


def _split(text: str) -> tuple[str, str, str, str]:
    lower = text.lower()
    pair, _, end = lower.partition(":")
    settle, dash, contract = end.partition("-")
    for separator in "/-_":
        base, found, quote = pair.partition(separator)
        if found:
            break
    else:
        base, quote = split_unseparated(pair, text)
    base, quote, settle = (ALIASES.get(part, part) for part in (base, quote, settle))
    for part in (base, quote, settle):
        if any(character in "/-_:" or character.isspace() or not character.isprintable() for character in part):
            raise ValueError(f"a currency pair must read base/quote, was {shown(text)}")
    if not base or not quote or (":" in lower and not settle) or (dash and not CONTRACT.fullmatch(contract)):
        raise ValueError(f"a currency pair must read base/quote, was {shown(text)}")
    return base, quote, settle, contract


def _intern(base: str, quote: str, settle: str, contract: str) -> CurrencyPair:
    text = f"{base}/{quote}" + (f":{settle}" if settle else "") + (f"-{contract}" if contract else "")
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_SYMBOL_BYTES:
        raise ValueError(f"a currency pair must have at most {MAX_SYMBOL_BYTES} bytes, was {shown(text)} ({size})")
    with _lock:
        pair = _by_text.get(text)
        if pair is None:
            if len(_pairs) >= MAX_SYMBOLS:
                raise ValueError(f"more than {MAX_SYMBOLS} currency pairs, the last was {shown(text)}")
            pair = str.__new__(CurrencyPair, text)
            pair.base, pair.quote, pair.settle, pair.contract = base, quote, settle, contract
            pair.id = len(_pairs)
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
        _native.update({(exchange, pair): native for native, pair in pairs.items() if not _is_old(exchange, native)})
    for listener in _listeners:
        listener(exchange)


def on_instruments(listener: Callable[[Exchange], None]) -> None:
    """Call `listener` whenever a venue's instruments change, so that it can forget what it remembered."""
    _listeners.append(listener)


def pair_of_native(exchange: Exchange, native: str) -> CurrencyPair:
    """The pair that a venue spells `native`: as its registered instrument list says, else by the venue's rule.

    Raises
    ------
    ValueError
        If it is in no list that was registered, and the rule does not take it or cannot split it.
    """
    pair = _instruments.get(exchange, {}).get(native)
    return CurrencyPair(pair_text(exchange, native)) if pair is None else pair


def _is_old(exchange: Exchange, native: str) -> bool:
    """Whether only Kraken's older API spells a pair so: the newer one takes no XBT and no XDG."""
    return exchange is Exchange.KRAKEN and any(part.lower() in ALIASES for part in native.split("/"))


def native_symbol(exchange: Exchange, pair: str) -> str:
    """How a venue spells a pair: as it was registered, else by the venue's rule.

    Raises
    ------
    ValueError
        If `pair` is no pair, or one of a kind that the venue does not have.
    """
    pair = CurrencyPair(pair)
    native = _native.get((exchange, pair))
    if native is not None:
        return native
    return native_text(exchange, pair.base, pair.quote, pair.settle, pair.contract)


def known_pairs() -> Iterable[CurrencyPair]:
    """All pairs of this process, in the order of their numbers."""
    return tuple(_pairs)
