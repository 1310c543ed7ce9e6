"""Venues: streams, REST and WebSocket APIs."""

from hftpy.exchange.registry import (
    create_exchange_api,
    create_exchange_ws_api,
    get_exchange_api,
    get_exchange_stream,
    get_exchange_ws_api,
)
from hftpy.exchange.stream import StreamBase

__all__ = [
    "StreamBase",
    "create_exchange_api",
    "create_exchange_ws_api",
    "get_exchange_api",
    "get_exchange_stream",
    "get_exchange_ws_api",
]
