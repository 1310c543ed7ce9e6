"""What all connections of Binance's combined streams share: subscribing, and the answers to it.

Source: https://github.com/binance/binance-spot-api-docs, web-socket-streams.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hftcore.errors import ParseError
from hftcore.symbols import CurrencyPair
from hftpy.exchange.venue import VenueProtocol

URL = "wss://stream.binance.com:9443/stream"
STREAMS_PER_MESSAGE = 200


def subscribe_message(natives: Sequence[str], stream_name: str, number: int, args: Mapping[str, Any]) -> str:
    """The message that subscribes one stream of each symbol."""
    streams = [f"{native.lower()}@{stream_name}" for native in natives]
    return msgspec.json.encode({"method": "SUBSCRIBE", "params": streams, "id": number, **args}).decode()


def take_answer(protocol: VenueProtocol, frame: bytes, asked: Mapping[int, Sequence[CurrencyPair]]) -> None:
    """Take an acknowledgement, a refusal or a notice; everything else is none of ours.

    Raises
    ------
    ParseError
        If the frame is no JSON.
    """
    try:
        message = msgspec.json.decode(frame)
    except (msgspec.MsgspecError, ValueError, RecursionError) as failed:
        raise ParseError(f"a frame must be JSON: {failed}") from failed
    if not isinstance(message, dict):
        return
    data = message.get("data", message)
    if isinstance(data, dict) and data.get("e") == "serverShutdown":
        protocol.fault = "the venue is about to shut this connection down"
        return
    number = message.get("id")
    error = message.get("error")
    if error is None and "code" in message and "msg" in message:
        error = message
    if error is not None:
        reason = f"{error.get('code')}: {error.get('msg')}" if isinstance(error, dict) else str(error)
        refused = asked.get(number, ()) if isinstance(number, int) else tuple(protocol.pending)
        protocol.refused.update({pair: reason for pair in refused if pair in protocol.pending})
        protocol.pending.difference_update(refused)
    elif "result" in message and isinstance(number, int):
        protocol.pending.difference_update(asked.get(number, ()))
