"""Messages of Interactive Brokers for `hftpy decode`: of the TWS socket, and of the Client Portal by name."""

import json
import re
from typing import Any

from hftcore.errors import ParseError
from hftpy.exchange.frame_names import FrameClass, FrameName
from hftpy.exchange.ib_messages import Last, Quote, read_message
from hftpy.exchange.ib_names import name_message, name_portal, name_protobuf, request_name
from hftpy.exchange.ib_protocol import side_of_quote

_HEX = re.compile(r"([0-9a-fA-F]{2}){4,}")


def read_line(line: bytes, local_ns: int) -> dict[str, Any] | FrameName:
    """One message: an event's fields, or its name.

    A line is JSON: a string that holds a payload of the TWS socket without its length (protobuf as hexadecimal digits),
    or an object or a list of the Client Portal. What begins otherwise is a payload itself.

    An event names no symbol, but the number of the `request` that asked for it.

    Raises
    ------
    ParseError
        If it is not what the protocol says.
    """
    payload = line
    if line[:1] in (b'"', b"{", b"["):
        try:
            value = json.loads(line)
            if isinstance(value, dict | list):
                return name_portal(value)
            if not value[:1].isdigit() and "\0" not in value:
                return FrameName(FrameClass.REST, value[:80])  # a text, as the Client Portal answers some requests
            payload = bytes.fromhex(value) if _HEX.fullmatch(value) else value.encode()
        except (ValueError, RecursionError) as error:
            raise ParseError(f"a line must be JSON: {error}, was {line[:80]!r}") from error
    if payload[:1] == b"\0" and len(payload) >= 4:
        return name_protobuf(payload)
    request = request_name(payload)
    if request is not None:
        return FrameName(FrameClass.REQUEST, request)
    message = read_message(payload)
    if isinstance(message, Quote):
        bid, bid_size = side_of_quote(message.bid, message.bid_size)
        ask, ask_size = side_of_quote(message.ask, message.ask_size)
        return {
            "type": "ticker", "request": message.request, "bidPrice": bid, "bidVolume": bid_size, "askPrice": ask,
            "askVolume": ask_size, "exchangeTimeNs": message.time_ns, "localTimeNs": local_ns, "seq": 0, "flags": 0,
        }  # fmt: skip
    if isinstance(message, Last):
        return {
            "type": "trade", "request": message.request, "price": message.price, "volume": message.size,
            "side": "unknown", "tradeId": 0, "exchangeTimeNs": message.time_ns, "tradeTimeNs": message.time_ns,
            "localTimeNs": local_ns, "seq": 0, "flags": 0,
        }  # fmt: skip
    return name_message(payload, message)
