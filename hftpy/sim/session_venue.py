"""Which venue a recorded session is of, by its addresses, else by the shape of its frames."""

import json
from typing import Any
from urllib.parse import urlsplit

from hftcore.enums import Exchange

# Part of a host's name → venue; futures (USD-M and COIN-M, whose frames one parser reads) stand before the spot hosts
# that they contain. None: a market without a stream.
HOSTS = (
    ("fstream", Exchange.BINANCE_FUTURE),
    ("fapi", Exchange.BINANCE_FUTURE),
    ("dstream", Exchange.BINANCE_FUTURE),
    ("dapi", Exchange.BINANCE_FUTURE),
    ("binancefuture.com", Exchange.BINANCE_FUTURE),
    ("nbstream.binance", None),
    ("vstream.binance", None),
    ("eapi.binance", None),
    ("pstream.binance", None),
    ("papi.binance", None),
    ("futures.kraken.com", Exchange.KRAKEN_FUTURE),
    ("binance", Exchange.BINANCE),
    ("kraken.com", Exchange.KRAKEN),
    ("coinbase.com", Exchange.COINBASE),
    ("okx.com", Exchange.OKX),
    ("okex.com", Exchange.OKX),
)
COINBASE_NAMES = ("ticker", "ticker_batch", "market_trades", "l2_data", "candles")
KRAKEN_NAMES = ("ticker", "trade", "book", "ohlc")


def exchange_of_url(url: str) -> Exchange | None:
    """Whose an address is; None: nobody's that is known.

    Raises
    ------
    ValueError
        If it is of a market whose data no stream reads, such as Binance's options.
    """
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return None  # no address at all
    for part, exchange in HOSTS:
        if part in host:
            if exchange is None:
                raise ValueError(f"the venue of a session must be one with a stream, was {host!r}")
            return exchange
    return None


def _binance_of_payload(payload: dict[str, Any]) -> Exchange | None:
    event, symbol = payload.get("e"), payload.get("s")
    # A future's frames name the event even in bookTicker and chain depth updates by `pu`; COIN-M and dated ones spell
    # their symbols so, and only spot trades have an `M`.
    future = "pu" in payload or "ps" in payload or event in ("bookTicker", "markPriceUpdate", "forceOrder")
    if future or (isinstance(symbol, str) and "_" in symbol):
        return Exchange.BINANCE_FUTURE
    if event in ("trade", "aggTrade"):
        return Exchange.BINANCE if "M" in payload else Exchange.BINANCE_FUTURE
    return None if event == "kline" else Exchange.BINANCE


def exchange_of_frame(text: str) -> Exchange | None:
    """Whose a frame is by its shape; None where a frame could be several venues'."""
    try:
        frame = json.loads(text)
    except ValueError:
        return None
    if isinstance(frame, list):
        return Exchange.KRAKEN if len(frame) >= 4 and isinstance(frame[-1], str) else None
    if not isinstance(frame, dict):
        return None
    payload = frame.get("data") if "stream" in frame else frame
    if isinstance(payload, dict) and ("stream" in frame or "s" in payload):
        return _binance_of_payload(payload)
    if isinstance(frame.get("arg"), dict):
        return Exchange.OKX
    if isinstance(frame.get("feed"), str) and "product_id" in frame:
        return Exchange.KRAKEN_FUTURE
    if frame.get("channel") in COINBASE_NAMES and isinstance(frame.get("events"), list):
        return Exchange.COINBASE
    if frame.get("event") in ("systemStatus", "subscriptionStatus") or frame.get("channel") == "status":
        return Exchange.KRAKEN
    return Exchange.KRAKEN if frame.get("channel") in KRAKEN_NAMES and "data" in frame else None
