"""What all connections of Kraken's WebSocket API v2 share: acknowledgements, status, heartbeats.

Source: https://docs.kraken.com/api/docs/websocket-v2 (subscribe, heartbeat, status).
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from hftcore.enums import Channel, Exchange
from hftcore.errors import ParseError
from hftcore.symbols import CurrencyPair
from hftpy.common.log import LimitedLog
from hftpy.exchange.runner import logger
from hftpy.exchange.venue import VenueProtocol

PUBLIC_URL = "wss://ws.kraken.com/v2"
# Refusals that pass by themselves, or with a new token.
RETRYABLE = (
    "EService:",
    "EAPI:Rate limit",
    "EAPI:Invalid token",
    "ESession:",
    "Exceeded msg rate",
    "EGeneral:Internal",
)
# The proxy in front of the venue says this as bare text, not as JSON, before it closes.
PROXY_RESTART = b"CloudFlare"

_status_log = LimitedLog(logger, 60.0)


class KrakenV2Protocol(VenueProtocol):
    """What public and private connections of the v2 API share: acknowledgements, status, heartbeats."""

    exchange = Exchange.KRAKEN
    url = PUBLIC_URL
    heartbeat_timeout_s: ClassVar[float | None] = 10.0  # the venue sends one about every second
    fatal_close_codes = frozenset({1008})

    def __init__(self, channel: Channel, pairs: Sequence[CurrencyPair], args: Mapping[str, Any]) -> None:
        super().__init__(channel, pairs, args)
        self._asked: dict[int, list[Any]] = {}  # request number -> what it asked for
        self._pair_of: dict[str, CurrencyPair] = {}
        self._number = 0

    def retryable(self, reason: str) -> bool:
        return reason.startswith(RETRYABLE)

    def request(self, params: Mapping[str, Any], asked: Sequence[Any]) -> str:
        """A numbered subscribe request."""
        self._number += 1
        self._asked[self._number] = list(asked)
        return msgspec.json.encode({"method": "subscribe", "params": params, "req_id": self._number}).decode()

    def control(self, message: Mapping[str, Any]) -> None:
        """Take an acknowledgement, a refusal or a status; everything else is none of ours."""
        method = message.get("method")
        if method == "subscribe":
            self._acknowledge(message)
        elif method == "error":
            _status_log.warning(
                "refused", f"kraken.{self.channel}: the venue refused a message: {message.get('error')}"
            )
        elif message.get("channel") == "status":
            rows = message.get("data")
            for status in rows if isinstance(rows, list) else ():
                if isinstance(status, dict) and status.get("system") not in (None, "online"):
                    _status_log.warning(
                        "status", f"kraken.{self.channel}: the venue's status is {status.get('system')}"
                    )

    def _acknowledge(self, message: Mapping[str, Any]) -> None:
        result = message.get("result")
        symbol = result.get("symbol") if isinstance(result, dict) else message.get("symbol")
        if isinstance(symbol, str):
            asked = [self._pair_of[symbol]] if symbol in self._pair_of else []
        else:
            number = message.get("req_id")
            asked = self._asked.get(number, []) if isinstance(number, int) else []
        for what in asked:
            if what in self.pending:
                self.pending.discard(what)
                if message.get("success") is not True:
                    self.refused[what] = str(message.get("error") or "no reason given")


def is_proxy_restart(frame: bytes) -> bool:
    """Whether a frame is the proxy's bare text."""
    return frame.startswith(PROXY_RESTART)


def decode_control(frame: bytes) -> Mapping[str, Any]:
    """A frame as a dict; empty where it is bare text of the proxy.

    Raises
    ------
    ParseError
        If it is no JSON object.
    """
    if is_proxy_restart(frame):
        return {}
    try:
        message = msgspec.json.decode(frame)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ParseError(f"a frame must be JSON: {error}") from error
    if not isinstance(message, dict):
        raise ParseError(f"a control frame must be an object, was {type(message).__name__}")
    return message
