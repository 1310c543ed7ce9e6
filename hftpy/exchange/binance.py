"""Binance spot: combined market streams, best bid and ask (``bookTicker``) and trades.

Source: https://github.com/binance/binance-spot-api-docs, web-socket-streams.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from hftcore.enums import Channel, Exchange
from hftcore.symbols import CurrencyPair
from hftpy.errors import ConfigError
from hftpy.exchange.binance_book import BinanceBookProtocol
from hftpy.exchange.binance_market import BinanceMarketProtocol
from hftpy.exchange.book_rest import SnapshotLoader
from hftpy.exchange.stream import gather_all
from hftpy.exchange.venue import NativeStream


class BinanceStream(NativeStream):
    """Binance spot: ticker (``bookTicker``), trade (``trade``; ``aggTrade`` with ``{"aggregate": True}``) and book.

    Books need snapshots of the REST API, at ``subscribe_args["book"]["rest_host"]`` or ``api_auth_data["rest_host"]``
    where one is given.

    More than 1024 pairs are spread over several connections.
    """

    exchange = Exchange.BINANCE
    absent_channels: ClassVar[Mapping[Channel, str]] = {Channel.FUNDING: "spot pairs have no funding"}
    protocol: ClassVar[type[BinanceMarketProtocol]] = BinanceMarketProtocol
    book_protocol: ClassVar[type[BinanceBookProtocol]] = BinanceBookProtocol

    async def ticker_channel(self) -> None:
        """Best bid and ask."""
        await self._market(Channel.TICKER)

    async def trade_channel(self) -> None:
        """Trades; lost ones are found by the venue's trade numbers."""
        await self._market(Channel.TRADE)

    async def kline_channel(self) -> None:
        """Klines."""
        await self._periodic(Channel.KLINE)

    async def book_channel(self) -> None:
        """Order books; a missing update is found by the venue's numbers."""
        await gather_all([self._book(part) for part in self._parts()])

    async def _book(self, pairs: Sequence[CurrencyPair]) -> None:
        args = self.args_of(Channel.BOOK)
        auth = self._api_auth_data if isinstance(self._api_auth_data, Mapping) else {}
        rest_host = args.pop("rest_host", None) or auth.get("rest_host")
        if self.api_host and not rest_host:
            raise ConfigError(
                "subscribe_args must name the book's rest_host where api_host is given: snapshots of one venue do not "
                "fit the stream of another"
            )
        protocol = self.book_protocol(Channel.BOOK, pairs, args)
        loader = SnapshotLoader(
            rest_host or protocol.rest_url,
            protocol.path_of,
            protocol.take_snapshot,
            protocol.ask,
            0.0 if rest_host else protocol.request_interval_s,
        )
        protocol.fetch = loader.fetch
        try:
            await self.run_protocol(protocol)
        finally:
            await loader.close()

    def _parts(self) -> list[list[CurrencyPair]]:
        pairs, most = self.currency_pairs, self.protocol.streams_per_connection
        return [pairs[i : i + most] for i in range(0, len(pairs), most)]

    async def _periodic(self, channel: Channel) -> None:
        # Imported where it is used: it is made of the protocols of the streams' own modules.
        from hftpy.exchange import binance_periodic

        future = self.exchange is Exchange.BINANCE_FUTURE
        make = binance_periodic.BinanceFuturePeriodicProtocol if future else binance_periodic.BinancePeriodicProtocol
        args = self.args_of(channel)
        await gather_all([self.run_protocol(make(channel, part, args)) for part in self._parts()])

    async def _market(self, channel: Channel) -> None:
        args = self.args_of(channel)
        await gather_all([self.run_protocol(self.protocol(channel, part, args)) for part in self._parts()])
