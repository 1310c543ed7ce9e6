"""Logs one's own orders and fills on Kraken, wherever they were placed.

The config points to a simulated venue: ``hftpy sim --venue kraken --port 9001 --rest-port 9002``. Without its
``rest_host`` and ``api_host`` the service talks to Kraken itself.
"""

import logging

from hftpy.common import MyOrder, MyTrade
from hftpy.service import ServiceBase

logger = logging.getLogger(__name__)


class FillsService(ServiceBase):
    def on_my_order(self, my_order: MyOrder) -> None:
        logger.info(
            "order %s %s %s @ %s: %s", my_order.orderId, my_order.side, my_order.amount, my_order.price, my_order.status
        )

    def on_my_trade(self, my_trade: MyTrade) -> None:
        logger.info("fill %s %s @ %s, fee %s", my_trade.side, my_trade.amount, my_trade.price, my_trade.fee)
