"""Currency pairs: spellings, interning, limits, the venues' own spellings."""

import copy
import pickle
import threading

import pytest

from hftcore import symbols
from hftcore.enums import Exchange
from hftcore.symbols import (
    MAX_SYMBOL_BYTES,
    CurrencyPair,
    known_pairs,
    native_symbol,
    on_instruments,
    pair_of_id,
    pair_of_native,
    register_instruments,
)


@pytest.mark.parametrize(
    "spelling",
    "btc/usdt BTC/USDT BTC-USDT btc-usdt BTC_USDT btc_usdt btcusdt BTCUSDT XBT/USDT xbtusdt".split(),
)
def test_all_spellings_are_one_pair(spelling):
    pair = CurrencyPair(spelling)
    assert pair is CurrencyPair("btc/usdt") is CurrencyPair.BTC_USDT
    assert pair == "btc/usdt" and str(pair) == "btc/usdt" and repr(pair) == "CurrencyPair('btc/usdt')"
    assert (pair.base, pair.quote, pair.settle, pair.topic) == ("btc", "usdt", "", "btcusdt")


@pytest.mark.parametrize("spelling", ["btc/usdt:usdt", "BTC/USDT:USDT", "BTC-USDT:USDT", "btcusdt:usdt"])
def test_perpetuals(spelling):
    pair = CurrencyPair(spelling)
    assert pair == "btc/usdt:usdt" and pair is not CurrencyPair("btc/usdt")
    assert (pair.base, pair.quote, pair.settle, pair.topic) == ("btc", "usdt", "usdt", "btcusdtusdt")


@pytest.mark.parametrize(
    ("spelling", "canonical"),
    [
        ("XDG/USD", "doge/usd"), ("ETH/XBT", "eth/btc"), ("ethxbt", "eth/btc"), ("xdg/xbt:xbt", "doge/btc:btc"),
        ("ethbtc", "eth/btc"), ("btcusd", "btc/usd"), ("btcfdusd", "btc/fdusd"), ("usdtusd", "usdt/usd"),
        ("bnbusdc", "bnb/usdc"), ("soleur", "sol/eur"), ("1inch/usd", "1inch/usd"),
    ],
)  # fmt: skip
def test_aliases_and_unseparated(spelling, canonical):
    assert CurrencyPair(spelling) == canonical


@pytest.mark.parametrize(
    "text",
    ["", " btc/usdt", "btc/us dt", "btc/usdt\n", *"btc / btc/ /usdt btc/usdt: a/b/c btc//usdt usd usdt".split()],
)
def test_what_is_no_pair(text):
    with pytest.raises(ValueError, match="was "):
        CurrencyPair(text)


@pytest.mark.parametrize("value", [None, 1, b"btc/usdt", ("btc", "usdt")])
def test_other_types(value):
    with pytest.raises(TypeError, match="a currency pair must be a str, was "):
        CurrencyPair(value)


def test_the_limit_is_in_bytes():
    assert len(CurrencyPair("a" * (MAX_SYMBOL_BYTES - 4) + "/usd")) == MAX_SYMBOL_BYTES
    with pytest.raises(ValueError, match=r"at most 64 bytes, was .* \(65\)"):
        CurrencyPair("a" * (MAX_SYMBOL_BYTES - 3) + "/usd")
    # 20 characters of 3 bytes each
    assert CurrencyPair("币" * 20 + "/usd").base == "币" * 20
    with pytest.raises(ValueError, match=r"\(67\)"):
        CurrencyPair("币" * 21 + "/usd")


def test_non_ascii_symbols():
    pair = CurrencyPair("币安人生USDT")
    assert pair == "币安人生/usdt"
    assert native_symbol(Exchange.BINANCE, pair) == "币安人生USDT"


def test_attribute_spelling():
    assert CurrencyPair.ETH_EUR is CurrencyPair("eth/eur")
    for name in ("eth_eur", "ETHEUR", "_ETH_EUR", "no_such"):
        with pytest.raises(AttributeError, match=name):
            getattr(CurrencyPair, name)


def test_a_pair_stands_where_text_is_expected():
    pair = CurrencyPair("sol/usdt")
    assert {"sol/usdt": 1}[pair] == 1 and hash(pair) == hash("sol/usdt") and f"{pair}" == "sol/usdt"


def test_copies_and_pickles_are_the_same_object():
    pair = CurrencyPair("sol/usdt")
    assert copy.copy(pair) is pair and copy.deepcopy(pair) is pair
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(pair, protocol)) is pair


def test_numbers_are_dense_and_stable():
    pair = CurrencyPair("number/one")
    assert pair_of_id(pair.id) is pair and CurrencyPair("NUMBER-ONE").id == pair.id
    assert [known.id for known in known_pairs()] == list(range(len(known_pairs())))
    for wrong in (-1, len(known_pairs()), 1 << 40):
        with pytest.raises(ValueError, match=f"no currency pair has the number {wrong} in this process"):
            pair_of_id(wrong)


def test_there_is_a_limit_on_their_number(monkeypatch):
    monkeypatch.setattr(symbols, "MAX_SYMBOLS", len(known_pairs()))
    with pytest.raises(ValueError, match=r"more than .* currency pairs, the last was 'onetoo/many'"):
        CurrencyPair("onetoo/many")


def test_interning_across_threads():
    barrier = threading.Barrier(8)
    results: list[list[CurrencyPair]] = [[] for _ in range(8)]

    def work(mine: list[CurrencyPair]) -> None:
        barrier.wait()
        mine.extend(CurrencyPair(f"thread{number}/usd") for number in range(500))

    threads = [threading.Thread(target=work, args=(mine,)) for mine in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for same in zip(*results, strict=True):
        assert len({id(pair) for pair in same}) == 1
    assert len({pair.id for pair in results[0]}) == 500


@pytest.mark.parametrize(
    ("exchange", "pair", "native"),
    [
        (Exchange.BINANCE, "ltc/usdc", "LTCUSDC"),
        (Exchange.BINANCE_FUTURE, "ltc/usdc", "LTCUSDC"),
        (Exchange.KRAKEN, "ltc/usdc", "LTC/USDC"),
        (Exchange.COINBASE, "ltc/usdc", "LTC-USDC"),
        (Exchange.OKX, "ltc/usdc", "LTC-USDC"),
        (Exchange.OKX_SWAP, "ltc/usdc:usdc", "LTC-USDC-SWAP"),
        (Exchange.KRAKEN_FUTURE, "btc/usd:usd", "PF_XBTUSD"),
        (Exchange.SIM, "ltc/usdc", "LTC/USDC"),
    ],
)
def test_native_by_the_venues_rule(exchange, pair, native):
    assert native_symbol(exchange, pair) == native


@pytest.mark.parametrize(
    ("exchange", "native", "pair"),
    [
        (Exchange.OKX, "BTC-USDT", "btc/usdt"),
        (Exchange.OKX_SWAP, "BTC-USDT-SWAP", "btc/usdt:usdt"),
        (Exchange.OKX_SWAP, "BTC-USDC-SWAP", "btc/usdc:usdc"),
        (Exchange.OKX_SWAP, "BTC-USD-SWAP", "btc/usd:btc"),
        (Exchange.OKX_SWAP, "1000SHIB-USDT-SWAP", "1000shib/usdt:usdt"),
        (Exchange.OKX, "BTC-USD-SWAP", "btc/usd:btc"),
        (Exchange.OKX, "BTC-USDT-240927", "btc/usdt:usdt-240927"),
        (Exchange.OKX_SWAP, "BTC-USD-240927", "btc/usd:btc-240927"),
        (Exchange.OKX_SWAP, "BTC-USD-240927-60000-C", "btc/usd:btc-240927-60000-c"),
        (Exchange.OKX_SWAP, "XRP-USD-240927-0.55-P", "xrp/usd:xrp-240927-0.55-p"),
        (Exchange.OKX_SWAP, "币安人生-USDT-SWAP", "币安人生/usdt:usdt"),
        (Exchange.BINANCE_FUTURE, "BTCUSDT", "btc/usdt:usdt"),
        (Exchange.BINANCE_FUTURE, "BTCUSDC", "btc/usdc:usdc"),
        (Exchange.BINANCE_FUTURE, "1000PEPEUSDT", "1000pepe/usdt:usdt"),
        (Exchange.BINANCE_FUTURE, "ETHBTC", "eth/btc:btc"),
        (Exchange.BINANCE_FUTURE, "币安人生USDT", "币安人生/usdt:usdt"),
        (Exchange.BINANCE_FUTURE, "BTCUSDT_240927", "btc/usdt:usdt-240927"),
        (Exchange.BINANCE_FUTURE, "BTCUSD_240927", "btc/usd:btc-240927"),
        (Exchange.BINANCE_FUTURE, "BNBUSD_PERP", "bnb/usd:bnb"),
        (Exchange.KRAKEN_FUTURE, "PF_XBTUSD", "btc/usd:usd"),
        (Exchange.KRAKEN_FUTURE, "PI_XBTUSD", "btc/usd:btc"),
        (Exchange.KRAKEN_FUTURE, "PI_ETHUSD", "eth/usd:eth"),
        (Exchange.KRAKEN_FUTURE, "FI_XBTUSD_210625", "btc/usd:btc-210625"),
        (Exchange.KRAKEN_FUTURE, "FI_ETHUSD_210730", "eth/usd:eth-210730"),
        (Exchange.KRAKEN_FUTURE, "FF_XBTUSD_260327", "btc/usd:usd-260327"),
        (Exchange.KRAKEN_FUTURE, "PF_BNBUSD", "bnb/usd:usd"),
        (Exchange.KRAKEN_FUTURE, "PF_USDTUSD", "usdt/usd:usd"),
        (Exchange.KRAKEN_FUTURE, "PF_ETHXBT", "eth/btc:btc"),
        (Exchange.COINBASE, "BTC-USD", "btc/usd"),
        (Exchange.COINBASE, "00-USD", "00/usd"),
        (Exchange.COINBASE, "PERP-USD", "perp/usd"),
        (Exchange.COINBASE, "BTC-PERP-INTX", "btc/usdc:usdc"),
        (Exchange.COINBASE, "BIT-24APR26-CDE", "bit/usd:usd-260424"),
        (Exchange.COINBASE, "ET-01DEC25-CDE", "et/usd:usd-251201"),
    ],
)
def test_derivatives_by_the_venues_rule(fresh, exchange, native, pair):
    assert pair_of_native(exchange, native) is CurrencyPair(pair)
    assert native_symbol(exchange, pair) == native
    symbols._native.clear()
    assert native_symbol(exchange, pair) == native


@pytest.mark.parametrize(
    ("exchange", "native"),
    [
        *((Exchange.OKX, text) for text in (
            "BTC", "BTCUSDT", "BTC/USDT", "BTC-USDT-", "BTC-USDT-PERP", "BTC-USDT-2409", "BTC-USDT-SWAP-SWAP", "-USDT",
            "BTC-USD-240927-60000", "BTC-USD-240927-60000-X", "BTC-USD-240927-x-C", "BTC-USDT_BTC-USDT-SWAP", "--SWAP",
            "BTC-USD-２40927", "BTC:X-USDT", "BTCUSDT:X-USDT-SWAP", "",
        )),
        *((Exchange.BINANCE_FUTURE, text) for text in (
            "BTC", "USDT", "BTC/USDT", "BTC-USDT", "BTCUSDT_", "BTCUSDT_PERP", "BTCUSDT_2409", "USD_PERP",
            "BTCUSDT_NEXT", "BTCUSDT_240927_1", "BTCEUR_240927", "",
        )),
        *((Exchange.KRAKEN_FUTURE, text) for text in (
            "XBTUSD", "PF_", "PF_USD", "PF_XBT", "PF_XBTUSD_260327", "FI_XBTUSD", "FI_XBTUSD_2603",
            "FI_XBTUSD_26O327", "OF_XBTUSD_260327_60000_C", "in_xbtusd", "rr_xbtusd", "PX_XBTUSD", "PF_XBT/USD",
            "PF_XBT-USD", "btc/usd", "", "PF_XBTUSD ", "FI_XBTUSD_２10625",
        )),
        *((Exchange.COINBASE, text) for text in (
            "BTC", "BTCUSD", "BTC/USD", "BTC_USD", "BTC-USD-PERP", "BTC-PERP-", "BIT-24APX26-CDE",
            "BIT-4APR26-CDE", "BIT-24APR2026-CDE", "-USD", "BTC-", "BTC-PERP-INTX-", "A:B-USD", "",
        )),
    ],
)  # fmt: skip
def test_what_a_venue_does_not_spell(exchange, native):
    with pytest.raises(ValueError, match=f"was '{native}'"):
        pair_of_native(exchange, native)


def test_dated_contracts_are_no_perpetuals():
    future, option = CurrencyPair("BTC/USDT:USDT-240927"), CurrencyPair("btc/usd:btc-240927-60000-C")
    assert (future.base, future.quote, future.settle, future.contract) == ("btc", "usdt", "usdt", "240927")
    assert (option.settle, option.contract, str(option)) == ("btc", "240927-60000-c", "btc/usd:btc-240927-60000-c")
    assert (future.topic, option.topic) == ("btcusdtusdt240927", "btcusdbtc24092760000c")
    assert CurrencyPair("btc/usdt:usdt").contract == CurrencyPair("btc/usdt").contract == ""
    assert copy.deepcopy(future) is future and pickle.loads(pickle.dumps(option)) is option
    for text in ("btc/usdt:usdt-", "btc/usdt:-240927", "btc/usdt:usdt-24092", "btc/usdt:usdt-240927-",
                 "btc/usdt-240927", "btc/usdt:usdt-240927-1", "btc/usdt:usdt-240927-1.-c",
                 "btc/usdt:usdt-240927-1-x"):  # fmt: skip
        with pytest.raises(ValueError, match=f"was '{text}'"):
            CurrencyPair(text)
    with pytest.raises(ValueError, match="Binance futures have no options"):
        native_symbol(Exchange.BINANCE_FUTURE, option)


@pytest.mark.parametrize("native", ["pi_xbtusd", "PI_XBTUSD", "Pi_xbtUSD"])
def test_kraken_futures_take_letters_of_either_case(fresh, native):
    assert pair_of_native(Exchange.KRAKEN_FUTURE, native) == "btc/usd:btc"


def test_contracts_that_a_venue_does_not_have(fresh):
    for exchange, pair in (
        (Exchange.COINBASE, "btc/usdt:usdt"), (Exchange.COINBASE, "btc/usdc:usdc-260424"),
        (Exchange.COINBASE, "bit/usd:usd-261324"), (Exchange.COINBASE, "bit/usd:usd"),
        (Exchange.COINBASE, "bit/usd:usd-260424-60000-c"), (Exchange.KRAKEN_FUTURE, "btc/usd:eth"),
        (Exchange.KRAKEN_FUTURE, "btc/usd:usd-260327-60000-c"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="no such contract, was "):
            native_symbol(exchange, pair)
    assert native_symbol(Exchange.KRAKEN_FUTURE, "btc/usd") == "PF_XBTUSD"


@pytest.fixture
def fresh(monkeypatch):
    monkeypatch.setattr(symbols, "_instruments", {})
    monkeypatch.setattr(symbols, "_native", {})
    monkeypatch.setattr(symbols, "_listeners", [])


def test_a_spelling_that_was_seen_is_not_what_the_venue_is_asked_for(fresh):
    # A stream of OKX's swaps may be told of a spot instrument; btc/usdt names its swap all the same.
    assert pair_of_native(Exchange.OKX_SWAP, "BTC-USDT") is CurrencyPair("btc/usdt")
    assert native_symbol(Exchange.OKX_SWAP, "btc/usdt") == "BTC-USDT-SWAP"
    assert pair_of_native(Exchange.KRAKEN_FUTURE, "pi_xbtusd") is CurrencyPair("btc/usd:btc")
    assert native_symbol(Exchange.KRAKEN_FUTURE, "btc/usd:btc") == "PI_XBTUSD"
    assert native_symbol(Exchange.BINANCE, "btc/usd") == "BTCUSD"


def test_registered_instruments_decide(fresh):
    told = []
    on_instruments(told.append)
    register_instruments(Exchange.BINANCE, {"ABCUSDTRY": "abcusdt/ry", "FOOBAR": "foo/bar"})
    assert told == [Exchange.BINANCE]
    assert pair_of_native(Exchange.BINANCE, "ABCUSDTRY") == "abcusdt/ry"
    assert pair_of_native(Exchange.BINANCE, "FOOBAR") is CurrencyPair("foo/bar")
    assert native_symbol(Exchange.BINANCE, "foo/bar") == "FOOBAR"
    # another venue knows nothing of it
    assert native_symbol(Exchange.KRAKEN, "foo/bar") == "FOO/BAR"
    with pytest.raises(ValueError):
        pair_of_native(Exchange.KRAKEN, "FOOBAR")


def test_a_bad_instrument_list_changes_nothing(fresh):
    with pytest.raises(ValueError):
        register_instruments(Exchange.BINANCE, {"GOODUSD": "good/usd", "BAD": "bad"})
    assert symbols._instruments == {} and symbols._native == {}


def test_what_krakens_older_api_says_is_read_and_never_written():
    assert pair_of_native(Exchange.KRAKEN, "XBT/ZAR") == "btc/zar"
    register_instruments(Exchange.KRAKEN, {"XDG/ZAR": "doge/zar"})
    assert pair_of_native(Exchange.KRAKEN, "XDG/ZAR") == "doge/zar"
    assert native_symbol(Exchange.KRAKEN, "btc/zar") == "BTC/ZAR"
    assert native_symbol(Exchange.KRAKEN, "doge/zar") == "DOGE/ZAR"
