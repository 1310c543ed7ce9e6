"""Kraken spot: WebSocket API v2, ticker and trade; books in `kraken_book`, private channels in `kraken_executions`.

Source: https://docs.kraken.com/api/docs/websocket-v2 (ticker, trade, heartbeat, status).
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from hftcore.enums import Channel, Exchange
from hftpy.errors import ConfigError
from hftpy.exchange import registry
from hftpy.exchange.kraken_api import KrakenApi
from hftpy.exchange.kraken_book import KrakenBookProtocol
from hftpy.exchange.kraken_executions import ExecutionsProtocol
from hftpy.exchange.kraken_kline import KrakenKlineProtocol
from hftpy.exchange.kraken_market import KrakenMarketProtocol
from hftpy.exchange.venue import NativeStream, VenueProtocol


class KrakenStream(NativeStream):
    """Kraken spot: ticker, trade, book, kline; and with keys my_order, my_order_batch, my_trade.

    The private channels share one connection. Its token comes from the REST API of `create_exchange_api` if there is
    one, else from one made of `api_key` and `api_secret`, at ``api_auth_data["rest_host"]`` where that is given.
    Currency pairs, where there are any, filter orders and fills too.

    `subscribe_args` go into the subscribe request: ``{"ticker": {"event_trigger": "trades"}}``,
    ``{"trade": {"snapshot": True}}``. The ticker follows the best bid and offer unless told otherwise.
    """

    exchange = Exchange.KRAKEN
    absent_channels: ClassVar[Mapping[Channel, str]] = {Channel.FUNDING: "spot pairs have no funding"}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._private = [channel for channel in self.subscribe_channels if channel in self.private_channels]
        self._api = self._rest_api() if self._private else None
        self._own_api = self._api is not None and self._api is not registry.find_exchange_api(self.exchange)

    async def ticker_channel(self) -> None:
        """Best bid and ask."""
        await self.run_protocol(self._market(Channel.TICKER))

    async def trade_channel(self) -> None:
        """Trades; lost ones are found by the venue's trade numbers."""
        await self.run_protocol(self._market(Channel.TRADE))

    async def book_channel(self) -> None:
        """Order books, proven by the venue's checksum."""
        await self.run_protocol(KrakenBookProtocol(Channel.BOOK, self.currency_pairs, self.args_of(Channel.BOOK)))

    async def kline_channel(self) -> None:
        """Klines."""
        await self.run_protocol(KrakenKlineProtocol(Channel.KLINE, self.currency_pairs, self.args_of(Channel.KLINE)))

    async def my_order_channel(self) -> None:
        """Every change of our orders."""
        await self._executions(Channel.MY_ORDER)

    async def my_order_batch_channel(self) -> None:
        """The open orders, as one list, after each connect."""
        await self._executions(Channel.MY_ORDER_BATCH)

    async def my_trade_channel(self) -> None:
        """Our fills."""
        await self._executions(Channel.MY_TRADE)

    def _rest_api(self) -> KrakenApi:
        given = self._api_auth_data.get("rest_host") if isinstance(self._api_auth_data, Mapping) else None
        shared = registry.find_exchange_api(self.exchange)
        if isinstance(shared, KrakenApi) and given in (None, "", shared.rest_host):
            api = shared
        else:
            if self.api_host and not given:
                raise ConfigError(
                    "api_auth_data must name the rest_host for private channels where api_host is given: the keys "
                    "of one venue are not sent to another"
                )
            api = KrakenApi(self._api_key, self._api_secret, given)
        if not api.has_keys:
            raise ConfigError(f"api_key and api_secret of kraken are needed for {self._private[0]}")
        return api

    async def _executions(self, channel: Channel) -> None:
        if channel is not self._private[0]:
            return  # the first private channel's connection carries this one too
        assert self._api is not None
        batch = Channel.MY_ORDER_BATCH in self._private
        args = self.args_of(channel)
        protocol = ExecutionsProtocol(channel, self.currency_pairs, args, self._api, batch)
        try:
            await self.run_protocol(protocol, self._private)
        finally:
            if self._own_api:
                await self._api.close()

    def _market(self, channel: Channel) -> VenueProtocol:
        return KrakenMarketProtocol(channel, self.currency_pairs, self.args_of(channel))
