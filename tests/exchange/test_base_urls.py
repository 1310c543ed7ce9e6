"""What cannot be a base URL is refused where it is given, by name and with a suggestion."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hftpy.errors import ConfigError
from hftpy.exchange import create_exchange_api, create_exchange_ws_api, get_exchange_stream
from hftpy.exchange.base_url import check_base_url
from hftpy.exchange.instruments import fetch_instruments
from hftpy.exchange.kraken_api import KrakenApi
from hftpy.exchange.kraken_ws_api import KrakenWsApi
from hftpy.exchange.stream import StreamBase
from hftpy.service import load_config
from hftpy.service.wiring import make_apis, make_streams

# What follows the scheme, and what is said about it.
MALFORMED = [
    ("", "there is no host"),
    ("/path", "there is no host"),
    (":9001", "there is no host"),
    ("[::1", "Invalid IPv6 URL"),
    ("[zz]:9001", "IPv4 or IPv6"),
    ("host:abc", "the port must be a number from 1 to 65535, was 'abc'"),
    ("host:99999", "the port must be a number from 1 to 65535, was '99999'"),
    ("host:-1", "the port must be a number from 1 to 65535, was '-1'"),
    ("host:" + "9" * 5000, "the port must be"),
    ("host:0", "the port must be a number from 1 to 65535, was 0"),
    ("host:", "there is no port"),
    ("ho st:1", "it has a space"),
    ("host:1\n", "it has a space, or a character that cannot be seen"),
    ("host\x00:1", "a character that cannot be seen"),
    ("host:1?token=x", "it goes on behind its path"),
    ("host:1/path#", "it goes on behind its path"),
    ("a" * 64 + ".com:1", "label"),
    ("a..b:1", "label"),
]
SUGGESTED = [
    ("127.0.0.1:9001", "ws://127.0.0.1:9001"),
    ("//127.0.0.1:9001/kraken", "ws://127.0.0.1:9001/kraken"),
    ("http://127.0.0.1:9001", "ws://127.0.0.1:9001"),
    ("https://venue.example", "wss://venue.example"),
    ("tcp://venue.example:1", "ws://venue.example:1"),
    ("[::1]:9001", "ws://[::1]:9001"),
]


def stream(exchange: str, api_host: Any, **settings: Any) -> Any:
    settings = {"currency_pairs": ["btc/usd"], "subscribe_channels": ["ticker"]} | settings
    return get_exchange_stream(exchange, api_host=api_host, **settings)


@pytest.mark.parametrize(("rest", "complaint"), MALFORMED)
@pytest.mark.parametrize("exchange", ["kraken", "binance_future", "okx", "ib"])
def test_a_malformed_api_host_of_a_stream(exchange: str, rest: str, complaint: str) -> None:
    url = ("tcp" if exchange == "ib" else "ws") + "://" + rest
    with pytest.raises(ConfigError, match="api_host must be ") as raised:
        stream(exchange, url)
    assert complaint in str(raised.value) and repr(url) in str(raised.value)


@pytest.mark.parametrize(("rest", "complaint"), MALFORMED)
async def test_a_malformed_host_of_an_api(rest: str, complaint: str) -> None:
    url = f"http://{rest}"
    for make in (
        lambda: KrakenApi(rest_host=url), lambda: KrakenApi(api_host=url),
        lambda: create_exchange_api("kraken", rest_host=url),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match="rest_host must be ") as raised:
            make()
        assert complaint in str(raised.value) and repr(url) in str(raised.value)
    with pytest.raises(ConfigError, match="rest_host must be "):
        await fetch_instruments("okx", url)
    for make in (
        lambda: KrakenWsApi(KrakenApi(), f"ws://{rest}"),
        lambda: create_exchange_ws_api("kraken", "key", "c2VjcmV0", api_host=f"ws://{rest}", rest_host="http://host"),
    ):
        with pytest.raises(ConfigError, match="api_host must be "):
            make()


@pytest.mark.parametrize(("rest", "complaint"), MALFORMED)
async def test_a_malformed_rest_host_of_books(rest: str, complaint: str) -> None:
    books = stream("binance", "ws://127.0.0.1:1", subscribe_channels=["book"],
                   subscribe_args={"book": {"rest_host": f"http://{rest}"}})  # fmt: skip
    with pytest.raises(ConfigError, match="rest_host must be "):
        await asyncio.wait_for(books.start(), 10)


@pytest.mark.parametrize(("given", "suggestion"), SUGGESTED)
def test_a_suggestion(given: str, suggestion: str) -> None:
    with pytest.raises(ConfigError) as raised:
        stream("kraken", given)
    text = f"api_host must begin with ws:// or wss://, was {given!r}; did you mean {suggestion!r}?"
    assert str(raised.value) == text


@pytest.mark.parametrize("given", [5, 1.5, ["ws://host"], b"ws://host", {"url": 1}])
def test_what_is_no_text(given: Any) -> None:
    with pytest.raises(ConfigError, match="api_host must be a URL that begins with ws:// or wss://, was "):
        stream("kraken", given)


@pytest.mark.parametrize("given", ["ws://me:secret@host:x", "http://me:secret@host:1", "me:secret@host:1"])
def test_a_password_is_not_shown(given: str) -> None:
    with pytest.raises(ConfigError, match="me:…@host") as raised:
        stream("kraken", given)
    assert "secret" not in str(raised.value)


def test_no_suggestion_where_there_is_none_to_make() -> None:
    with pytest.raises(ConfigError) as raised:
        stream("kraken", "no host:at all")
    assert str(raised.value) == "api_host must begin with ws:// or wss://, was 'no host:at all'"


@pytest.mark.parametrize(
    "url",
    [
        "ws://127.0.0.1:9001/kraken",
        "wss://venue.example",
        "ws://[::1]:9001/",
        "ws://user:word@host:1/a/b",
        "ws://b\u00fccher.example",
    ],
)
def test_what_is_taken(url: str) -> None:
    assert stream("kraken", url).api_host == url
    assert check_base_url("api_host", url.replace("ws", "WS", 1), ("ws", "wss")).startswith(url[:3])


async def test_the_host_of_run_channel() -> None:
    class Own(StreamBase):
        host = "wss://venue.example:abc"

        async def ticker_channel(self) -> None:
            await self.run_channel(self.host, self.subscribe_channels[0], None, print)

    own = Own(exchange="kraken", currency_pairs=["btc/usd"], subscribe_channels=["ticker"])
    with pytest.raises(ConfigError, match=r"host must be wss://HOST:PORT.*was 'wss://venue.example:abc'"):
        await asyncio.wait_for(own.start(), 10)
    own.host = "a..b/path?stream=1"
    with pytest.raises(ConfigError, match="host must be "):
        await asyncio.wait_for(own.start(), 10)


def test_the_config_names_the_key(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    feed = {"exchange": "kraken", "currency_pairs": ["btc/usd"], "subscribe_channels": ["ticker"],
            "api_host": "ws://host:x"}  # fmt: skip
    setting = {"streams": [feed], "apis": [{"exchange": "kraken", "rest_host": "api.kraken.com"}]}
    config.write_text(json.dumps({"service.mm": {"class_name": "MM", "setting": setting}}))
    (loaded,) = load_config(config)
    with pytest.raises(ConfigError, match=r"^service.mm.setting.streams\[0\]: api_host must be ws://HOST:PORT"):
        make_streams(loaded, object(), None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"^service.mm.setting.apis\[0\]: rest_host .* mean 'http://api.kraken.com'"):
        make_apis(loaded)


@pytest.mark.parametrize("command", [["watch", "kraken", "btc/usd"], ["record", "kraken", "btc/usd", "-o", "out"]])
def test_the_commands_say_so(command: list[str], tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "hftpy.cli", *command, "--api-host", "127.0.0.1:x"]
    done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr == "hftpy: api_host must begin with ws:// or wss://, was '127.0.0.1:x'\n"
