"""Which venue has which stream and which API. A new venue is one file and one line here."""

import importlib
from typing import Any

from hftcore.enums import Exchange
from hftpy.errors import ConfigError
from hftpy.exchange.stream import StreamBase

STREAMS: dict[Exchange, str] = {
    Exchange.KRAKEN: "hftpy.exchange.kraken:KrakenStream",
    Exchange.BINANCE: "hftpy.exchange.binance:BinanceStream",
    Exchange.IB: "hftpy.exchange.ib:IBStream",
    Exchange.BINANCE_FUTURE: "hftpy.exchange.binance_future:BinanceFutureStream",
    Exchange.COINBASE: "hftpy.exchange.coinbase:CoinbaseStream",
    Exchange.KRAKEN_FUTURE: "hftpy.exchange.kraken_future:KrakenFutureStream",
    Exchange.OKX: "hftpy.exchange.okx:OkxStream",
    Exchange.OKX_SWAP: "hftpy.exchange.okx:OkxSwapStream",
}
APIS: dict[Exchange, str] = {Exchange.KRAKEN: "hftpy.exchange.kraken_api:KrakenApi"}
WS_APIS: dict[Exchange, str] = {Exchange.KRAKEN: "hftpy.exchange.kraken_ws_api:KrakenWsApi"}

_apis: dict[Exchange, Any] = {}
_ws_apis: dict[Exchange, Any] = {}


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def _find(table: dict[Exchange, str], exchange: Exchange | str | int, what: str) -> Any:
    member = Exchange.parse(exchange)
    place = table.get(member)
    if place is None:
        raise ValueError(f"exchange must be one of {', '.join(map(str, table))} for {what}, was {str(member)!r}")
    return _load(place)


def get_exchange_stream(exchange: Exchange | str | int, **settings: Any) -> StreamBase:
    """A stream of one venue; the settings are those of `StreamBase`.

    Raises
    ------
    ValueError
        If there is no stream for the venue, or a setting cannot be used.
    TypeError
        If there is no such setting.
    """
    stream: StreamBase = _find(STREAMS, exchange, "a stream")(**settings)
    return stream


def create_exchange_api(
    exchange: Exchange | str | int,
    api_key: str | None = "",
    api_secret: str | None = "",
    rest_host: str | None = None,
    **settings: Any,
) -> Any:
    """A venue's REST API, which `get_exchange_api` gives from now on.

    Raises
    ------
    ValueError
        If there is none for the venue, or a setting cannot be used.
    """
    made = _find(APIS, exchange, "a REST API")(api_key or "", api_secret or "", rest_host or None, **settings)
    _apis[Exchange.parse(exchange)] = made
    return made


def find_exchange_api(exchange: Exchange) -> Any:
    """The REST API that was created last for a venue, or None."""
    return _apis.get(exchange)


def get_exchange_api(exchange: Exchange | str | int) -> Any:
    """The REST API that was created last for a venue.

    Raises
    ------
    ConfigError
        If none was created.
    """
    return _created(_apis, exchange, "create_exchange_api")


def create_exchange_ws_api(
    exchange: Exchange | str | int,
    api_key: str | None = "",
    api_secret: str | None = "",
    api_host: str | None = None,
    rest_host: str | None = None,
    **settings: Any,
) -> Any:
    """A venue's order entry over WebSocket, which `get_exchange_ws_api` gives from now on.

    Its tokens come from the REST API of `create_exchange_api` where that has the same host and keys, else from one
    of its own.

    Raises
    ------
    ValueError
        If there is none for the venue, or a setting cannot be used.
    ConfigError
        If `api_host` is given without a REST host: the keys of one venue are not sent to another.
    """
    factory = _find(WS_APIS, exchange, "order entry over WebSocket")
    member = Exchange.parse(exchange)
    shared = _apis.get(member)
    own = _find(APIS, exchange, "a REST API")(api_key or "", api_secret or "", rest_host or None)
    if shared is not None and (not api_key or shared.same_account(own)) and (
        not rest_host or shared.rest_host == own.rest_host
    ):
        own = shared
    elif api_host and not rest_host:
        raise ConfigError("rest_host must be given with api_host: the keys of one venue are not sent to another")
    if not own.has_keys:
        raise ConfigError(f"api_key and api_secret of {member} are needed for order entry")
    made = factory(own, api_host or None, owns_api=own is not shared, **settings)
    _ws_apis[member] = made
    return made


def get_exchange_ws_api(exchange: Exchange | str | int) -> Any:
    """The WebSocket order entry that was created last for a venue.

    Raises
    ------
    ConfigError
        If none was created.
    """
    return _created(_ws_apis, exchange, "create_exchange_ws_api")


def _created(table: dict[Exchange, Any], exchange: Exchange | str | int, creator: str) -> Any:
    member = Exchange.parse(exchange)
    if member not in table:
        raise ConfigError(f"there is no API of {member} yet: call {creator} first")
    return table[member]
