"""Kraken Futures: tickers, trades and order books."""

from hftcore.enums import Channel, Exchange
from hftpy.exchange.kraken_future_book import KrakenFutureBookProtocol
from hftpy.exchange.kraken_future_market import KrakenFutureMarketProtocol
from hftpy.exchange.venue import NativeStream


class KrakenFutureStream(NativeStream):
    """Kraken Futures: ticker (feed ``ticker``; ``ticker_lite``, without sizes, with ``{"lite": True}``), trade,
    book.

    ``btc/usd:usd`` is the linear perpetual PF_XBTUSD, and so is ``btc/usd``; ``btc/usd:btc`` the inverse PI_XBTUSD;
    ``btc/usd:btc-210625`` a dated future. Events carry the pair as it was subscribed. The last 100 trades of each
    product come first, flagged SNAPSHOT; on a new connection those of them that were not delivered before.
    """

    exchange = Exchange.KRAKEN_FUTURE

    async def ticker_channel(self) -> None:
        """Best bid and ask."""
        await self._market(Channel.TICKER)

    async def trade_channel(self) -> None:
        """Trades; lost ones are found by the venue's numbers."""
        await self._market(Channel.TRADE)

    async def book_channel(self) -> None:
        """Order books, of every level."""
        await self.run_protocol(KrakenFutureBookProtocol(Channel.BOOK, self.currency_pairs, self.args_of(Channel.BOOK)))

    async def _market(self, channel: Channel) -> None:
        await self.run_protocol(KrakenFutureMarketProtocol(channel, self.currency_pairs, self.args_of(channel)))
