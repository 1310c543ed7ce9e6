"""What a frame without events is, by name: an acknowledgement, a refusal, private data, a channel not supported.

A slow reading of its own, for what people look at (`hftpy decode`): streams classify natively (`FrameKind`).

Sources: the venues' WebSocket and REST documentation, as in each venue's module.
"""

import json
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from hftcore.enums import Exchange


class FrameClass(StrEnum):
    """The classes of frames without events."""

    ACKNOWLEDGEMENT = "acknowledgement"  # the venue did, or takes, what it was asked
    REFUSAL = "refusal"  # it does not
    REQUEST = "request"  # what a client sends
    HEARTBEAT = "heartbeat"  # also pings and pongs
    STATUS = "status"  # of the venue or of the connection
    NOTICE = "notice"  # the venue tells something, such as that it closes soon
    PRIVATE = "private"  # orders, fills, balances and positions of an account
    REST = "rest answer"
    REST_REFUSAL = "rest refusal"
    ANSWER = "answer"  # to a request for data
    PART = "part of an event"  # which is told piece by piece
    NO_EVENTS = "without events"  # of one of our channels, but its list is empty
    UNSUPPORTED = "channel not supported"
    UNKNOWN = "unknown"  # JSON, but nothing of the above


class FrameName(NamedTuple):
    """Class of a frame, and the venue's own name of the channel, method or event; empty where there is none."""

    kind: FrameClass
    name: str = ""


OURS: Mapping[Exchange, re.Pattern[str]] = {
    Exchange.KRAKEN: re.compile("ticker|trade|(book|ohlc)(-.*)?"),
    Exchange.KRAKEN_FUTURE: re.compile("ticker(_lite)?|trade(_snapshot)?|book(_snapshot)?"),
    Exchange.COINBASE: re.compile("ticker(_batch)?|market_trades|l2_data|candles|match|last_match|l2update|snapshot"),
    Exchange.BINANCE: re.compile("trade|aggTrade|bookTicker|depth.*|kline"),
    Exchange.BINANCE_FUTURE: re.compile("trade|aggTrade|bookTicker|depth.*|kline|markPriceUpdate"),
}
OKX_OURS = re.compile("tickers|bbo-tbt|trades|trades-all|books.*|candle.*|funding-rate|mark-price")
BINANCE_PRIVATE = frozenset({
    "executionReport", "outboundAccountPosition", "outboundAccountInfo", "balanceUpdate", "listStatus",
    "externalLockUpdate", "userLiabilityChange", "marginLevelStatusChange", "ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE",
    "ACCOUNT_CONFIG_UPDATE", "MARGIN_CALL", "TRADE_LITE", "ALGO_UPDATE", "GRID_UPDATE", "STRATEGY_UPDATE",
    "CONDITIONAL_ORDER_TRIGGER_REJECT", "eventStreamTerminated", "listenKeyExpired",
})  # fmt: skip
OKX_PRIVATE = re.compile(
    "account|positions|balance_and_position|orders|orders-algo|algo-.*|fills|liquidation-warning|account-greeks|grid-.*|"
    "deposit-info|withdrawal-info|sprd-orders|sprd-trades|copytrading-.*|rfqs|quotes|adl-warning"
)
KRAKEN_FUTURE_PRIVATE = re.compile(
    "balances.*|account.*|open_orders.*|open_positions.*|fills.*|notifications_auth|deposits_withdrawals.*"
)
KRAKEN_PRIVATE = frozenset({"executions", "balances", "openOrders", "ownTrades"})
COINBASE_PRIVATE = frozenset({"user", "futures_balance_summary"})
# The Exchange feed's `full` channel, order by order.
COINBASE_FULL = frozenset({"received", "open", "done", "change", "activate", "match", "last_match"})
COINBASE_TYPES = COINBASE_FULL | {"ticker", "status", "l2update", "snapshot", "auction", "rfq_match", "auctionfeed"}
_MAX_NAME = 80


def name_frame(exchange: Exchange, frame: bytes) -> FrameName:
    """Class and name of a frame that brought no event.

    Parameters
    ----------
    exchange
        The venue that sent it, one of those with a parser.
    frame
        The frame, one that the venue's parser took.

    Returns
    -------
    FrameName
        `FrameClass.UNKNOWN` for what is no JSON and no text that the venue is known to send.
    """
    text = frame.strip(b"\r\n ")
    if text in (b"ping", b"pong"):
        return FrameName(FrameClass.HEARTBEAT, text.decode())
    if text == b"CloudFlare WebSocket proxy restarting":
        return FrameName(FrameClass.NOTICE, text.decode())
    try:
        root = json.loads(frame)
    except (ValueError, RecursionError):
        return FrameName(FrameClass.UNKNOWN)
    name = _NAMERS[exchange](root)
    return FrameName(name.kind, name.name[:_MAX_NAME])


def _channel(exchange: Exchange, name: object) -> FrameName:
    ours = OURS[exchange]
    text = name if isinstance(name, str) else json.dumps(name)
    return FrameName(FrameClass.NO_EVENTS if ours.fullmatch(text) else FrameClass.UNSUPPORTED, text)


def _rest(root: object) -> FrameName:
    """What has no envelope of the WebSocket: an object or a list that a REST API answered."""
    if isinstance(root, dict):
        refused = root.get("result") == "error" or root.get("success") is False
        if refused or (root.get("error") and not root.get("result")):
            return FrameName(FrameClass.REST_REFUSAL)
        return FrameName(FrameClass.REST)
    if isinstance(root, list):
        return FrameName(FrameClass.REST)
    # REST answers may be a mere `null`, `true` or number; text is none that is known.
    return FrameName(FrameClass.UNKNOWN if isinstance(root, str) else FrameClass.REST)


def _text(root: Mapping[str, Any], key: str) -> str:
    value = root.get(key)
    return value if isinstance(value, str) else ""


def _named(root: object, key: str = "channel") -> str:
    """The channel that an acknowledgement names."""
    return _text(root, key) if isinstance(root, dict) else ""


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _kraken(root: object) -> FrameName:
    if isinstance(root, list):
        texts = [item for item in root if isinstance(item, str)]
        if texts and texts[0] in KRAKEN_PRIVATE:
            return FrameName(FrameClass.PRIVATE, texts[0])
        return _channel(Exchange.KRAKEN, texts[0]) if texts else _rest(root)
    if not isinstance(root, dict):
        return _rest(root)
    method, event, channel = _text(root, "method"), _text(root, "event"), _text(root, "channel")
    if method:
        if method == "pong" or (method == "ping" and not root.get("error")):
            return FrameName(FrameClass.HEARTBEAT, method)
        name = _joined(method, _named(root.get("result")) or _named(root.get("params")))
        if root.get("error") or root.get("success") is False:
            return FrameName(FrameClass.REFUSAL, name)
        answered = root.get("success") is True or "result" in root
        return FrameName(FrameClass.ACKNOWLEDGEMENT if answered else FrameClass.REQUEST, name)
    if event:
        return _kraken_v1_event(root, event)
    if channel in KRAKEN_PRIVATE:
        return FrameName(FrameClass.PRIVATE, channel)
    if channel in ("heartbeat", "status"):
        return FrameName(FrameClass(channel), channel)
    if channel:
        return _channel(Exchange.KRAKEN, channel)
    return FrameName(FrameClass.REFUSAL) if isinstance(root.get("error"), str) else _rest(root)


def _kraken_v1_event(root: Mapping[str, Any], event: str) -> FrameName:
    if event in ("heartbeat", "ping", "pong"):
        return FrameName(FrameClass.HEARTBEAT, event)
    if event == "systemStatus":
        return FrameName(FrameClass.STATUS, event)
    if event.endswith("Status"):
        name = _joined(event, _named(root.get("subscription"), "name"))
        return FrameName(FrameClass.REFUSAL if root.get("status") == "error" else FrameClass.ACKNOWLEDGEMENT, name)
    if event == "error":
        return FrameName(FrameClass.REFUSAL, event)
    name = _joined(event, _named(root.get("subscription"), "name"))
    return FrameName(FrameClass.REQUEST, name)


def _kraken_future(root: object) -> FrameName:
    if not isinstance(root, dict):
        return _rest(root)
    event, feed = _text(root, "event"), _text(root, "feed")
    if event in ("subscribed", "unsubscribed"):
        return FrameName(FrameClass.ACKNOWLEDGEMENT, _joined(event, feed))
    if event in ("error", "subscribed_failed", "unsubscribed_failed"):
        return FrameName(FrameClass.REFUSAL, _joined(event, feed))
    if event in ("subscribe", "unsubscribe") or (event == "challenge" and "api_key" in root):
        return FrameName(FrameClass.REQUEST, _joined(event, feed))
    if event in ("ping", "pong") or feed == "heartbeat":
        return FrameName(FrameClass.HEARTBEAT, event or feed)
    if event:
        return FrameName(FrameClass.STATUS if event == "info" else FrameClass.NOTICE, event)
    if KRAKEN_FUTURE_PRIVATE.fullmatch(feed):
        return FrameName(FrameClass.PRIVATE, feed)
    return _channel(Exchange.KRAKEN_FUTURE, feed) if feed else _rest(root)


def _binance(exchange: Exchange) -> Callable[[object], FrameName]:
    def name(root: object) -> FrameName:
        stream = ""
        if isinstance(root, dict) and "stream" in root:
            stream, root = _text(root, "stream"), root.get("data")
        if isinstance(root, dict) and isinstance(root.get("event"), dict):
            root = root["event"]  # of the WebSocket API's user data
        item = root[0] if isinstance(root, list) and root else root
        if isinstance(item, dict) and isinstance(item.get("e"), str):
            event = item["e"]
            if event == "serverShutdown":
                return FrameName(FrameClass.NOTICE, event)
            if event in BINANCE_PRIVATE:
                return FrameName(FrameClass.PRIVATE, event)
            return _channel(exchange, event)
        if stream:
            return _channel(exchange, stream.rpartition("@")[2] or stream)
        if not isinstance(root, dict):
            return _rest(root)
        if "method" in root:
            return FrameName(FrameClass.REQUEST, str(root["method"]))
        if "id" in root and ("rateLimits" in root or root.keys() <= {"id", "status", "result", "error"}):
            return FrameName(FrameClass.REFUSAL if root.get("error") else FrameClass.ACKNOWLEDGEMENT)
        code = root.get("code")
        if "msg" in root and isinstance(code, int) and code not in (0, 200):
            return FrameName(FrameClass.REST_REFUSAL, str(code))
        return _rest(root)

    return name


def _coinbase(root: object) -> FrameName:
    if not isinstance(root, dict):
        return _rest(root)
    kind, channel = _text(root, "type"), _text(root, "channel")
    if kind in ("subscribe", "unsubscribe"):
        return FrameName(FrameClass.REQUEST, _joined(kind, channel))
    if kind == "subscriptions" or channel == "subscriptions":
        return FrameName(FrameClass.ACKNOWLEDGEMENT, "subscriptions")
    if kind == "heartbeat" or channel == "heartbeats":
        return FrameName(FrameClass.HEARTBEAT, kind or channel)
    if kind == "error" and "message" in root:
        return FrameName(FrameClass.REFUSAL, kind)
    if channel in COINBASE_PRIVATE or (kind in COINBASE_FULL and ("user_id" in root or "profile_id" in root)):
        return FrameName(FrameClass.PRIVATE, channel or kind)
    if channel:
        return _channel(Exchange.COINBASE, channel)
    return _channel(Exchange.COINBASE, kind) if kind in COINBASE_TYPES else _rest(root)


def _okx(root: object) -> FrameName:
    if not isinstance(root, dict):
        return _rest(root)
    event, operation, arg = _text(root, "event"), _text(root, "op"), root.get("arg")
    name = _joined(event or operation, _named(arg) or _text(root, "channel"))
    if event:
        if event == "error" or event.endswith("-error"):
            return FrameName(FrameClass.REFUSAL, name)
        return FrameName(FrameClass.NOTICE if event == "notice" else FrameClass.ACKNOWLEDGEMENT, name)
    code = str(root.get("code", "0"))
    if operation:
        if "args" in root:
            return FrameName(FrameClass.REQUEST, name)
        return FrameName(FrameClass.ACKNOWLEDGEMENT if code == "0" else FrameClass.REFUSAL, name)
    if isinstance(arg, dict):
        channel = _text(arg, "channel")
        if channel == "status":
            return FrameName(FrameClass.STATUS, channel)
        if OKX_PRIVATE.fullmatch(channel):
            return FrameName(FrameClass.PRIVATE, channel)
        return FrameName(FrameClass.NO_EVENTS if OKX_OURS.fullmatch(channel) else FrameClass.UNSUPPORTED, channel)
    return FrameName(FrameClass.REST if code == "0" else FrameClass.REST_REFUSAL, "" if code == "0" else code)


_NAMERS: Mapping[Exchange, Callable[[object], FrameName]] = {
    Exchange.KRAKEN: _kraken,
    Exchange.KRAKEN_FUTURE: _kraken_future,
    Exchange.BINANCE: _binance(Exchange.BINANCE),
    Exchange.BINANCE_FUTURE: _binance(Exchange.BINANCE_FUTURE),
    Exchange.COINBASE: _coinbase,
    Exchange.OKX: _okx,
    Exchange.OKX_SWAP: _okx,
}
