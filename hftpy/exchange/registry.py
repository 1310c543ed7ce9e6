"""Which venue has which stream and which API. A new venue is one file and one line here."""

import importlib
from typing import Any

from hftcore.enums import Exchange
from hftpy.exchange.stream import StreamBase

STREAMS: dict[Exchange, str] = {
    Exchange.KRAKEN: "hftpy.exchange.kraken:KrakenStream",
    Exchange.BINANCE: "hftpy.exchange.binance:BinanceStream",
}


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
