"""The config of the demo's services."""

from typing import Any

from hftpy.cli.recorded import Recorded
from hftpy.common import Channel, Exchange

STRATEGIES = ("mm1", "mm2")
GATEWAY = "kraken_gateway"
PAIRS = ("btc/usd", "eth/usd")
KEY_ENV, SECRET_ENV = "HFTPY_DEMO_KEY", "HFTPY_DEMO_SECRET"


def demo_config(urls: dict[str, dict[str, str]], recorded: Recorded | None, operator: str) -> dict[str, Any]:
    """Three services: a gateway with market data of the venue (or of the recording's venue) and orders on Kraken, and
    two market makers.

    Parameters
    ----------
    urls
        By venue: ``ws`` and ``rest``.
    recorded
        The session that is replayed, if any.
    operator
        The process id from which `halt` and `shutdown` come.
    """
    market = Exchange.KRAKEN if recorded is None else recorded.exchange
    account = {"exchange": "kraken", "api_key": {"env": KEY_ENV}, "api_secret": {"env": SECRET_ENV}}
    kraken = urls["kraken"]
    streams: list[dict[str, Any]] = []
    channels = []
    for channel in (Channel.TICKER, Channel.TRADE):
        pairs = list(PAIRS) if recorded is None else [str(pair) for pair in recorded.pairs.get(channel, [])]
        if not pairs:
            continue
        channels.append(str(channel))
        arguments = {"aggregate": True} if channel == Channel.TRADE and recorded and recorded.aggregate else {}
        streams.append(
            {
                "exchange": str(market),
                "currency_pairs": pairs,
                "subscribe_channels": [str(channel)],
                "api_host": urls[str(market)]["ws"],
                "subscribe_args": arguments,
                "reconnect_times": {"times": -1, "initial": 0.2, "max": 2.0},
            }
        )
    streams.append(
        {
            **account,
            "subscribe_channels": ["my_order", "my_order_batch", "my_trade"],
            "api_host": kraken["ws"],
            "api_auth_data": {"rest_host": kraken["rest"]},
            "reconnect_times": {"times": -1, "initial": 0.2, "max": 2.0},
        }
    )
    gateway = {
        "apis": [{**account, "rest_host": kraken["rest"]}],
        "ws_apis": [{**account, "api_host": kraken["ws"], "rest_host": kraken["rest"]}],
        "streams": streams,
        "ipc_publish": {"channels": channels},
        "ipc_command_publisher": GATEWAY,
        "ipc_command_subscribers": [*STRATEGIES, operator],
    }
    symbols = list(PAIRS) if recorded is None else [str(pair) for pair in recorded.to_quote]
    config: dict[str, Any] = {
        f"demo.{GATEWAY}": {"class_name": "hftpy.service:GatewayService", "setting": gateway},
    }
    for index, name in enumerate(STRATEGIES):
        config[f"demo.{name}"] = {
            "class_name": "hftpy.cli.market_maker:MarketMaker",
            "setting": {
                "ipc_subscribers": [
                    {"exchange": str(market), "channel": channel, "symbols": []} for channel in channels
                ],
                "ipc_command_publisher": name,
                "ipc_command_subscribers": [GATEWAY, operator],
                "params": {"symbols": symbols, "notional": 100.0, "max_notional": 1000.0, "edge": index * 2e-5},
            },
        }
    return config
