"""A slow, obvious reading of Binance USD-M frames."""

from typing import Any

from parse_oracle import Integer, Row, epoch, load, symbol, ticker, trade, trade_id

CONTROL_KEYS = ("result", "id", "method", "code", "error")


def payload(root: dict[str, Any], stream: str) -> tuple[str, list[Row]]:
    event = root.get("e", "")
    if not isinstance(event, str):
        raise ValueError("e must be text")
    if event in ("trade", "aggTrade"):
        time = epoch(root["T"])
        published = epoch(root["E"]) if "E" in root else time
        if not isinstance(root["m"], bool) or not isinstance(root.get("X", ""), str):
            raise ValueError("m or X")
        number = trade_id(root["t" if event == "trade" else "a"])
        row = trade(symbol(root["s"]), root["p"], root["q"], "sell" if root["m"] else "buy", number, published, time)
        return "events", [] if root.get("X") == "NA" else [row | {"flags": 2 if event == "aggTrade" else 0}]
    if event == "serverShutdown":
        return "control", []
    levels = sum(key in root for key in "bBaA")
    looks = levels > 0 and levels + ("u" in root) + ("s" in root) >= 4
    named = event == "bookTicker" or stream == "!bookTicker" or stream.endswith("@bookTicker")
    if named or (looks and "e" not in root):
        seq = root["u"]
        if not isinstance(seq, Integer) or seq.is_signed() or seq >= 2**64:
            raise ValueError("u")
        changed = epoch(root["T"]) if "T" in root else 0
        published = epoch(root["E"]) if "E" in root else changed
        return "events", [
            ticker(symbol(root["s"]), root["b"], root["B"], root["a"], root["A"], published, int(seq))
        ]  # fmt: skip
    if "e" in root:
        return "other", []
    if stream.endswith(("@trade", "@aggTrade")):
        raise ValueError("missing e")
    return ("control" if any(key in root for key in CONTROL_KEYS) else "other"), []


def read(frame: bytes) -> tuple[str, list[Row]]:
    root = load(frame)
    if not isinstance(root, dict):
        return "other", []
    stream = ""
    if "stream" in root:
        stream, root = root["stream"], root.get("data", 0)
        if not isinstance(stream, str) or root == 0:
            raise ValueError("not a combined stream")
    elif isinstance(root.get("event"), dict):
        return ("control" if root["event"].get("e") == "serverShutdown" else "other"), []
    if not isinstance(root, dict):
        if stream.endswith(("@trade", "@aggTrade", "bookTicker")):
            raise ValueError("data must be an object")
        return "other", []
    try:
        return payload(root, stream)
    except KeyError as error:
        raise ValueError(f"missing {error}") from error


READERS = {"binance_future": read}
