"""The instruments that a venue lists by REST: symbol, the venue's own spelling, tick and lot.

Sources: Kraken `AssetPairs`, Binance `exchangeInfo` (spot and USD-M), OKX v5 `instruments`, Coinbase Advanced Trade
`market/products`, Kraken Futures v3 `instruments`.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import aiohttp
import msgspec

from hftcore.enums import Exchange
from hftcore.symbols import CurrencyPair, pair_of_native, register_instruments
from hftpy.errors import VenueError
from hftpy.exchange.base_url import REST_SCHEMES, check_base_url
from hftpy.exchange.hooks import recorded_answer
from hftpy.exchange.rest_body import read_body

TIMEOUT_S = 30.0
MAX_BODY_BYTES = 64 * 1024 * 1024


class ListedInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument; `tick` is the step of prices, `lot` of amounts, `minimum` the smallest amount; None: not said."""

    symbol: CurrencyPair
    native: str
    tick: Decimal | None
    lot: Decimal | None
    minimum: Decimal | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON types alone; numbers as text with the venue's digits."""
        numbers = {name: getattr(self, name) for name in ("tick", "lot", "minimum")}
        texts = {name: None if value is None else f"{value:f}" for name, value in numbers.items()}
        return {"symbol": str(self.symbol), "native": self.native, **texts}


def _kraken(body: Any) -> Iterator[ListedInstrument]:
    for row in body["result"].values():
        base, _, quote = row["wsname"].partition("/")
        pair = CurrencyPair(f"{base}/{quote}")
        tick = row.get("tick_size") or Decimal(1).scaleb(-int(row["pair_decimals"]))
        lot, minimum = Decimal(1).scaleb(-int(row["lot_decimals"])), _number(row.get("ordermin"))
        native = f"{pair.base}/{pair.quote}".upper()
        yield ListedInstrument(symbol=pair, native=native, tick=_number(tick), lot=lot, minimum=minimum)


def _binance(body: Any) -> Iterator[ListedInstrument]:
    for row in body["symbols"]:
        if row.get("contractType") not in (None, "", "PERPETUAL"):
            continue
        filters = {item["filterType"]: item for item in row.get("filters", ())}
        price, lot = filters.get("PRICE_FILTER", {}), filters.get("LOT_SIZE", {})
        settle = f":{row['marginAsset']}" if "marginAsset" in row else ""
        yield ListedInstrument(
            symbol=CurrencyPair(f"{row['baseAsset']}/{row['quoteAsset']}{settle}"), native=row["symbol"],
            tick=_number(price.get("tickSize")), lot=_number(lot.get("stepSize")), minimum=_number(lot.get("minQty")),
        )  # fmt: skip


def _okx(body: Any) -> Iterator[ListedInstrument]:
    for row in body["data"]:
        yield ListedInstrument(
            symbol=pair_of_native(Exchange.OKX, row["instId"]), native=row["instId"], tick=_number(row.get("tickSz")),
            lot=_number(row.get("lotSz")), minimum=_number(row.get("minSz")),
        )  # fmt: skip


def _coinbase(body: Any) -> Iterator[ListedInstrument]:
    for row in body["products"]:
        native = row["product_id"]
        yield ListedInstrument(
            symbol=pair_of_native(Exchange.COINBASE, native), native=native,
            tick=_number(row.get("price_increment") or row.get("quote_increment")),
            lot=_number(row.get("base_increment")), minimum=_number(row.get("base_min_size")),
        )  # fmt: skip


def _kraken_future(body: Any) -> Iterator[ListedInstrument]:
    for row in body["instruments"]:
        native = row["symbol"].upper()
        if native[:3] not in ("PF_", "PI_", "PV_", "FF_", "FI_", "FV_"):
            continue  # indices, options
        digits = row.get("contractValueTradePrecision")
        yield ListedInstrument(
            symbol=pair_of_native(Exchange.KRAKEN_FUTURE, native), native=native, tick=_number(row.get("tickSize")),
            lot=Decimal(1) if digits is None else Decimal(1).scaleb(-int(digits)),
        )  # fmt: skip


Reader = Callable[[Any], Iterator[ListedInstrument]]
# Host, path, how the answer is read.
VENUES: Mapping[Exchange, tuple[str, str, Reader]] = {
    Exchange.KRAKEN: ("https://api.kraken.com", "/0/public/AssetPairs", _kraken),
    Exchange.BINANCE: ("https://api.binance.com", "/api/v3/exchangeInfo", _binance),
    Exchange.BINANCE_FUTURE: ("https://fapi.binance.com", "/fapi/v1/exchangeInfo", _binance),
    Exchange.COINBASE: ("https://api.coinbase.com", "/api/v3/brokerage/market/products", _coinbase),
    Exchange.OKX: ("https://www.okx.com", "/api/v5/public/instruments?instType=SPOT", _okx),
    Exchange.OKX_SWAP: ("https://www.okx.com", "/api/v5/public/instruments?instType=SWAP", _okx),
    Exchange.KRAKEN_FUTURE: ("https://futures.kraken.com", "/derivatives/api/v3/instruments", _kraken_future),
}


def read_instruments(exchange: Exchange, body: str | bytes) -> list[ListedInstrument]:
    """The instruments of a venue's answer, in its order. An entry that is no pair of ours is left out.

    Raises
    ------
    ValueError
        If there is no list for the venue, or the answer is none.
    """
    if exchange not in VENUES:
        raise ValueError(f"exchange must be one of {', '.join(map(str, VENUES))}, was {str(exchange)!r}")
    try:
        rows = json.loads(body, parse_float=Decimal)
        return list(_each(VENUES[exchange][2], exchange, rows))
    except (KeyError, TypeError, AttributeError, InvalidOperation, RecursionError, ValueError) as error:
        raise ValueError(f"the list of instruments of {exchange} cannot be read: {error!r}") from error


def _each(reader: Reader, exchange: Exchange, body: Any) -> Iterator[ListedInstrument]:
    """One entry after the other, so that one that is no pair costs none of the others."""
    names = ("result", "symbols", "data", "products", "instruments") if isinstance(body, dict) else ()
    key = next((name for name in names if isinstance(body.get(name), list | dict)), None)
    if key is None:
        raise ValueError(f"there must be a list, was {json.dumps(body, default=str)[:200]}")
    rows = body[key]
    entries = [{name: row} for name, row in rows.items()] if isinstance(rows, dict) else [[row] for row in rows]
    for entry in entries:
        try:
            yield from reader({key: entry})
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError):
            continue


async def fetch_instruments(
    exchange: Exchange | str, rest_host: str | None = None, *, register: bool = True
) -> tuple[list[ListedInstrument], str, str]:
    """A venue's list of instruments.

    Parameters
    ----------
    exchange
        The venue.
    rest_host
        A base URL with scheme that replaces the venue's.
    register
        Whether the venue's spellings are registered for this process.

    Returns
    -------
    tuple
        The instruments, the URL, and the answer as it came.

    Raises
    ------
    ValueError
        If there is no list for the venue, or the answer is none.
    ConfigError
        If `rest_host` is no base URL.
    VenueError
        If the venue cannot be asked, or answers with an error; in a replay, if the list was not recorded.
    """
    venue = Exchange.parse(exchange)
    if venue not in VENUES:
        raise ValueError(f"exchange must be one of {', '.join(map(str, VENUES))}, was {str(venue)!r}")
    host, path, _ = VENUES[venue]
    url = check_base_url("rest_host", rest_host or host, REST_SCHEMES).rstrip("/") + path
    recorded = recorded_answer("GET", url)
    body = await _get(url) if recorded is None else recorded
    found = read_instruments(venue, body)
    if register:
        register_instruments(venue, {item.native: item.symbol for item in found})
    return found, url, body


async def _get(url: str) -> str:
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as client,
            client.get(url) as reply,
        ):
            content = await read_body(reply, MAX_BODY_BYTES)
            body = content.decode("utf-8", "replace")
            if reply.status != 200:
                raise VenueError(f"{url}: HTTP {reply.status}: {body[:200]}", code=str(reply.status), retryable=True)
            if len(content) > MAX_BODY_BYTES:
                raise VenueError(f"{url}: the answer must have at most {MAX_BODY_BYTES} bytes, began {body[:200]!r}")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        why = str(error) or f"no answer within {TIMEOUT_S:g} s"
        raise VenueError(f"{url}: {type(error).__name__}: {why}", retryable=True) from error
    return body


def _number(value: Any) -> Decimal | None:
    return None if value in (None, "") else Decimal(str(value))
