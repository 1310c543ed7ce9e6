"""Venues: streams, REST and WebSocket APIs."""

from hftpy.exchange.registry import get_exchange_stream
from hftpy.exchange.stream import StreamBase

__all__ = ["StreamBase", "get_exchange_stream"]
