"""Binance USD-M futures: best bid and ask (``bookTicker``) and trades, each on the route that the venue serves it on.

What differs from spot; the rest is `hftpy.exchange.binance`'s.

Source: Binance derivatives documentation, USD-M futures, WebSocket market streams.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hftcore.enums import Channel, Exchange
from hftcore.symbols import CurrencyPair
from hftpy.errors import ConfigError
from hftpy.exchange.binance import BinanceStream
from hftpy.exchange.binance_book import BinanceFutureBookProtocol
from hftpy.exchange.binance_market import BinanceMarketProtocol
from hftpy.exchange.hooks import SESSION_SOURCE
from hftpy.exchange.market import FeedRules
from hftpy.exchange.venue import VenueProtocol

HOST = "wss://fstream.binance.com"
# Which half of the venue serves a stream. ``trade`` is on neither's list of streams; it is sent on the public one.
MARKET_STREAMS = ("aggTrade", "kline", "markPrice")


class BinanceFutureProtocol(BinanceMarketProtocol):
    """One combined connection of ``bookTicker``, ``trade`` or ``aggTrade`` streams of USD-M futures.

    A trade that is none (``X`` is ``NA``) uses up its number all the same: it is no event, and no gap.
    """

    exchange = Exchange.BINANCE_FUTURE
    rules = FeedRules(tickers="newest", trades="by_one")
    send_interval_s = 0.125  # the venue closes at more than 10 incoming messages a second, pongs included

    def __init__(self, channel: Channel, pairs: Sequence[CurrencyPair], args: Mapping[str, Any]) -> None:
        super().__init__(channel, pairs, args)
        route = "market" if self.stream_name.startswith(MARKET_STREAMS) else "public"
        self.url = f"{HOST}/{route}/stream"


class BinanceFutureStream(BinanceStream):
    """Binance USD-M futures: ticker (``bookTicker``) and trade (``trade``; ``aggTrade`` with ``{"aggregate": True}``).

    ``btc/usdt`` and ``btc/usdt:usdt`` both name the perpetual, ``btc/usdt:usdt-240927`` a dated future; events carry
    the pair as it was subscribed. More than 1024 pairs are spread over several connections. Pairs of COIN-M
    (``btc/usd:btc``) are played from recordings alone: to subscribe them is a `ConfigError`.
    """

    exchange = Exchange.BINANCE_FUTURE
    protocol = BinanceFutureProtocol
    book_protocol = BinanceFutureBookProtocol

    async def run_protocol(self, protocol: VenueProtocol, channels: Sequence[Channel] = ()) -> None:
        """Keep one connection of a protocol alive until the stream stops.

        Raises
        ------
        ConfigError
            If a pair is of COIN-M: this venue would acknowledge it and stay silent. A recording and a host that
            `api_host` names may have it.
        """
        inverse = next((pair for pair in protocol.pairs if pair.settle == pair.base), None)
        if inverse is not None and not self.api_host and SESSION_SOURCE.get() is None:
            raise ConfigError(
                f"currency_pairs of {self.exchange} must be of USD-M futures, was {str(inverse)!r}, which is of COIN-M"
            )
        await super().run_protocol(protocol, channels)

    async def funding_channel(self) -> None:
        """Funding rates, mark and index prices, each second."""
        await self._periodic(Channel.FUNDING)
