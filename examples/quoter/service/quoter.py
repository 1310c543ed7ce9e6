"""Keeps one bid at the best price. The gateway and this strategy run in processes of their own.

Run against a simulated venue: ``hftpy sim --venue kraken --port 9001 --rest-port 9002`` in one terminal, and
``KRAKEN_KEY=sim KRAKEN_SECRET=sim hftpy run examples/quoter/quoter.json`` in another.
"""

import logging

from hftpy.common import MyTrade, Ticker
from hftpy.service import ServiceBase

logger = logging.getLogger(__name__)


class Quoter(ServiceBase):
    quote = None

    async def on_ticker(self, ticker: Ticker) -> None:
        if self.quote is None or not self.quote.is_live:
            self.quote = await self.place_order(
                symbol=ticker.symbol, side="buy", amount=self.params["amount"], price=ticker.bidPrice, post_only=True
            )

    def on_my_trade(self, my_trade: MyTrade) -> None:
        logger.info("bought %s %s @ %s", my_trade.amount, my_trade.symbol, my_trade.price)
