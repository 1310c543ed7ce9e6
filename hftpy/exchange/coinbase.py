"""Coinbase Advanced Trade: tickers, trades and order books."""

from hftcore.enums import Channel, Exchange
from hftpy.exchange.coinbase_book import CoinbaseBookProtocol
from hftpy.exchange.coinbase_market import CoinbaseMarketProtocol
from hftpy.exchange.venue import NativeStream


class CoinbaseStream(NativeStream):
    """Coinbase Advanced Trade: ticker (``ticker``; ``ticker_batch`` with ``{"batch": True}``), trade, book.

    The last 100 trades of each pair come first, flagged SNAPSHOT; on a new connection those of them that were not
    delivered before. The frames of the older Exchange feed are read too, where somebody brings them to the parser.
    """

    exchange = Exchange.COINBASE

    async def ticker_channel(self) -> None:
        """Best bid and ask."""
        await self._market(Channel.TICKER)

    async def trade_channel(self) -> None:
        """Trades; lost ones are found by the venue's trade numbers, lost frames by theirs."""
        await self._market(Channel.TRADE)

    async def book_channel(self) -> None:
        """Order books, of every level."""
        await self.run_protocol(CoinbaseBookProtocol(Channel.BOOK, self.currency_pairs, self.args_of(Channel.BOOK)))

    async def _market(self, channel: Channel) -> None:
        await self.run_protocol(CoinbaseMarketProtocol(channel, self.currency_pairs, self.args_of(channel)))
