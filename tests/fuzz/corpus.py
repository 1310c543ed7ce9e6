"""Well-formed frames of every venue, to be broken by the fuzzers: hand-written, and recorded where present."""

import gzip
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

TESTS = Path(__file__).resolve().parents[1]

_UUID = b"05c11111-aaaa-4aaa-8aaa-000000000001"
_BOOK = b'"s":"BTCUSDT","b":"64001.10","B":"3.250","a":"64001.20","A":"0.017"'
_OKX_TICKER = (
    b'"last":"64001.1","lastSz":"0.00100001","askPx":"64001.2","askSz":"1.5","bidPx":"64001.1","bidSz":"0.25",'
    b'"open24h":"63000.4","high24h":"65000","low24h":"62000.3","%s"ts":"1772368245123"}]}'
)
_OLD, _NEW = (
    b'volCcy24h":"525818585.9344636","vol24h":"17602.67647901","sodUtc0":"63028.8","sodUtc8":"63337.7",',
    b'sodUtc0":"63028.8","sodUtc8":"63337.7","volCcy24h":"525818585.9344636","vol24h":"17602.67647901",',
)
_ADVANCED_TICKER = (
    b'{"channel":"ticker"%s,"timestamp":"2026-03-01T12:30:45.123456789Z","sequence_num":12,"events":[{"type":"%s",'
    b'"tickers":[{"type":"ticker","product_id":"BTC-USD","price":"64001.10","volume_24_h":"15328.12345678",'
    b'"low_24_h":"63500.00","high_24_h":"65200.00","low_52_w":"25000.00","high_52_w":"126296",'
    b'"price_percent_chg_24_h":"1.85",%s}]}]}'
)
_ADVANCED_TRADE = (
    b'{"product_id":"ETH-USD","trade_id":"6912","price":"4149.74","size":"0.4387","time":"%s","side":"%s"}'
)
_FUTURES = (
    b'"bid":64001.5,"ask":64002.0,"bid_size":2536.0,"ask_size":13948.0,"volume":31403908.0,"dtm":0,"leverage":"50x",'
    b'"index":64000.54,"premium":-0.0,"last":64001.5,"change":1.9974017538161748,"suspended":false,"tag":"perpetual",'
    b'"pair":"XBT:USD","openInterest":30072580.0,"markPrice":64000.68641534714,"maturityTime":0,"post_only":false,'
    b'"volumeQuote":31403908.0'
)
_FUNDING = (
    b'"funding_rate":-6.2604214e-11,"funding_rate_prediction":-3.65989977e-10,'
    b'"relative_funding_rate":1.045432180096817E-5,"next_funding_rate_time":1772370000000,'
)
_FUTURES_TRADE = (
    b'{"feed":"trade","product_id":"PI_XBTUSD","uid":"%s","side":"%s","type":"%s","seq":653355,"time":1772368245123,'
    b'"qty":15000,"price":64001.5}'
)

# As the venues spell them: their keys' usual order, no spaces.
USUAL: dict[str, list[bytes]] = {
    "binance": [
        b'{"u":400900217,"s":"BNBUSDT","b":"250.35190000","B":"31.21000000","a":"250.36520000","A":"40.66000000"}',
        b'{"stream":"bnbusdt@bookTicker","data":{"u":400900217,"s":"BNBUSDT","b":"250.35190000","B":"31.21000000",'
        b'"a":"250.36520000","A":"40.66000000"}}',
        b'{"e":"trade","E":1772368245123,"s":"BNBBTC","t":12345,"p":"0.00100000","q":"100.00000000",'
        b'"T":1772368245122,"m":true,"M":true}',
        b'{"stream":"bnbbtc@trade","data":{"e":"trade","E":1772368245123000,"s":"BNBBTC","t":12345,"p":"0.00100000",'
        b'"q":"100.00000000","b":70385936,"a":70385942,"T":1772368245122999,"m":false,"M":true}}',
        b'{"e":"aggTrade","E":1772368245123,"s":"ETHUSDT","a":226532,"p":"1632.46000000","q":"0.34305000",'
        b'"f":228423,"l":228424,"T":1772368245122,"m":false,"M":true}',
        b'{"stream":"ethusdt@aggTrade","data":{"e":"aggTrade","E":1772368245123,"s":"ETHUSDT","a":226532,'
        b'"p":"1632.46000000","q":"0.34305000","f":228423,"l":228424,"T":1772368245122,"m":true,"M":true,"st":1}}',
    ],
    "binance_future": [
        b'{"e":"bookTicker","u":400900217,%s,"T":1772368245122,"E":1772368245123}' % _BOOK,
        b'{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":400900217,%s,"T":1772368245122,'
        b'"E":1772368245123}}' % _BOOK,
        b'{"e":"bookTicker","u":400900217,"s":"BTCUSDT","ps":"BTCUSDT","b":"64001.10","B":"3.250","a":"64001.20",'
        b'"A":"0.017","T":1772368245122,"E":1772368245123,"st":1}',
        b'{"e":"bookTicker","u":400900217,"E":1772368245123,"T":1772368245122,%s,"st":1,"ps":"BTCUSDT"}' % _BOOK,
        b'{"e":"trade","E":1772368245123,"T":1772368245122,"s":"BTCUSDT","t":5266583988,"p":"64001.10","q":"0.010",'
        b'"X":"MARKET","m":false}',
        b'{"e":"trade","E":1772368245123,"T":1772368245122,"s":"BTCUSDT","t":5266583989,"p":"0","q":"0","X":"NA",'
        b'"m":true}',
        b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1772368245123,"a":9445538,"s":"BTCUSDT",'
        b'"p":"64001.10","q":"0.490","f":12821762,"l":12821763,"T":1772368245122,"m":true}}',
        b'{"e":"aggTrade","E":1772368245123,"a":9445538,"s":"BTCUSDT","p":"64001.10","q":"0.490","nq":"0.490",'
        b'"f":12821762,"l":12821763,"T":1772368245122,"m":true,"st":1}',
        b'{"e":"markPriceUpdate","E":1772368245123,"s":"BTCUSDT","p":"64000.1","i":"64000.2","r":"","T":0}',
        b'{"result":null,"id":1}',
    ],
    "okx": [
        b'{"arg":{"channel":"tickers","instId":"BTC-USDT"},"data":[{"instType":"SPOT","instId":"BTC-USDT",'
        + (_OKX_TICKER % _NEW),
        b'{"arg":{"channel":"tickers","instId":"BTC-USDT"},"data":[{"instType":"SPOT","instId":"BTC-USDT",'
        + (_OKX_TICKER % _OLD),
        b'{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","tradeId":"338476328",'
        b'"px":"64001.1","sz":"0.00124642","side":"sell","ts":"1772368245123"}]}',
        b'{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","tradeId":"338476328",'
        b'"px":"64001.1","sz":"0.00124642","side":"buy","ts":"1772368245123","count":"3","source":"0",'
        b'"seqId":279183506666},{"instId":"BTC-USDT","tradeId":"338476329","px":"64001.2","sz":"2","side":"sell",'
        b'"ts":"1772368245124","count":"1"}]}',
        b'{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT"},"data":[{"asks":[["64001.2","415","0","13"]],'
        b'"bids":[["64001.1","256","0","12"]],"ts":"1772368245123","seqId":123456}]}',
        b'{"arg":{"channel":"tickers","instId":"BTC-USDT"},"data":[{"instType":"SPOT","instId":"BTC-USDT","askPx":"",'
        b'"askSz":"","bidPx":"","bidSz":"","last":"","ts":"1772368245123"}]}',
        b'{"event":"subscribe","arg":{"channel":"tickers","instId":"BTC-USDT"},"connId":"a4d3ae55"}',
        b'{"event":"error","msg":"Wrong URL or channel","code":"60018","connId":"a4d3ae55"}',
        b"pong",
    ],
    "coinbase": [
        b'{"type":"ticker","sequence":47332707,"product_id":"BTC-USD","price":"64001.10","open_24h":"63014.24",'
        b'"volume_24h":"11456.43682419","low_24h":"62100.00","high_24h":"65999.00","volume_30d":"593620.88910495",'
        b'"best_bid":"64001.09","best_bid_size":"0.25000000","best_ask":"64001.10","best_ask_size":"1.50000000",'
        b'"side":"buy","time":"2026-03-01T12:30:45.690000Z","trade_id":3526965,"last_size":"1.00001000"}',
        b'{"best_ask":"6800","best_bid":"5200","last_size":"1","price":"6800","product_id":"BTC-USD","sequence":47,'
        b'"side":"buy","time":"2019-05-10T20:44:15.69Z","trade_id":3526965,"type":"ticker"}',
        b'{"type":"match","trade_id":10,"maker_order_id":"%s","taker_order_id":"%s","side":"sell","size":"5.23512",'
        b'"price":"400.23","product_id":"BTC-USD","sequence":50,"time":"2026-03-01T12:30:45.028459Z"}'
        % (_UUID, _UUID),
        b'{"type":"last_match","trade_id":11,"maker_order_id":"%s","taker_order_id":"%s","side":"buy","size":"2",'
        b'"price":"400.2","product_id":"ETH-USD","sequence":51,"time":"2026-03-01T12:30:45.028459Z"}' % (_UUID, _UUID),
        _ADVANCED_TICKER
        % (b',"client_id":""', b"snapshot", b'"best_bid":"64001.00","best_bid_quantity":"1.50000000",'
           b'"best_ask":"64001.10","best_ask_quantity":"0.50000000"'),
        _ADVANCED_TICKER
        % (b"", b"update", b'"best_bid":"64001.00","best_ask":"64001.10","best_bid_quantity":"1.5",'
           b'"best_ask_quantity":"0.5"'),
        b'{"channel":"market_trades","client_id":"","timestamp":"2026-03-01T12:30:45.123456789Z","sequence_num":3,'
        b'"events":[{"type":"snapshot","trades":[%s,%s]}]}'
        % (_ADVANCED_TRADE % (b"2026-03-01T12:30:44.123456Z", b"BUY"),
           _ADVANCED_TRADE % (b"2026-03-01T12:30:43Z", b"SELL")),
        b'{"channel":"market_trades","timestamp":"2026-03-01T12:30:45.1Z","sequence_num":4,"events":[{"type":"update",'
        b'"trades":[%s]}]}' % (_ADVANCED_TRADE % (b"2026-03-01T12:30:44.123456Z", b"SELL")),
        b'{"type":"subscriptions","channels":[{"name":"ticker","product_ids":["BTC-USD"],"account_ids":null}]}',
        b'{"type":"error","message":"Failed to subscribe","reason":"nope is not a valid channel"}',
        b'{"type":"heartbeat","sequence":90,"last_trade_id":20,"product_id":"BTC-USD",'
        b'"time":"2026-03-01T12:30:45.1Z"}',
    ],
    "kraken": [
        b'{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":64001.1,"bid_qty":0.25000000,'
        b'"ask":64001.2,"ask_qty":12.50000000,"last":64001.1,"volume":12.50000000,"vwap":63990.1,"low":63000,'
        b'"high":65000.0,"change":-12.5,"change_pct":-0.02,"timestamp":"2026-03-01T12:30:45.123456Z"}]}',
        b'{"channel":"trade","type":"snapshot","data":[{"symbol":"SOL/EUR","side":"buy","price":150.25,'
        b'"qty":2.00000000,"ord_type":"limit","trade_id":77,"timestamp":"2026-03-01T12:30:45.123456Z"},'
        b'{"symbol":"SOL/EUR","side":"sell","price":150.2,"qty":2.00000000,"ord_type":"market","trade_id":78,'
        b'"timestamp":"2026-03-01T12:30:46.123456Z"}]}',
        b'[340,{"a":["30001.50000",12,"12.41000000"],"b":["30001.40000",0,"0.08000000"],'
        b'"c":["30001.50000","0.10000000"],"v":["1.00000000","2.00000000"],"p":["30000.10000","30000.20000"],'
        b'"t":[5,6],"l":["29000.00000","29000.00000"],"h":["31000.00000","31000.00000"],'
        b'"o":["30500.00000","30400.00000"]},"ticker","XBT/USD"]',
        b'[119,[["0.07000","10.50000000","1616333924.737428","b","m",""],["0.08","1","1616333925.5","s","l","x"]],'
        b'"trade","ETH/XBT"]',
    ],
    "kraken_future": [
        b'{"time":1772368245123,"product_id":"PI_XBTUSD",%s"feed":"ticker",%s}' % (_FUNDING, _FUTURES),
        b'{"feed":"ticker","product_id":"PI_XBTUSD",%s,%s"time":1772368245123}' % (_FUTURES, _FUNDING),
        b'{"time":1772368245123,"product_id":"PF_XBTUSD","funding_rate":1.5E-5,"feed":"ticker",%s,"open":63968.5,'
        b'"high":65123.0,"low":62456.0}' % _FUTURES,
        b'{"feed":"ticker_lite","product_id":"PI_ETHUSD","bid":4149.7,"ask":4150.2,"change":-2.406318883174141,'
        b'"premium":-0.0,"volume":15907386.0,"tag":"perpetual","pair":"ETH:USD","dtm":0,"maturityTime":0}',
        _FUTURES_TRADE % (_UUID, b"sell", b"fill"),
        _FUTURES_TRADE.replace(b"64001.5", b"1.5E-5") % (_UUID, b"buy", b"liquidation"),
        b'{"feed":"trade_snapshot","product_id":"PI_XBTUSD","trades":[%s,%s]}'
        % (_FUTURES_TRADE % (_UUID, b"sell", b"fill"), _FUTURES_TRADE % (_UUID, b"buy", b"block")),
        b'{"event":"subscribed","feed":"ticker","product_ids":["PI_XBTUSD"]}',
        b'{"event":"alert","message":"Bad websocket message"}',
        b'{"feed":"heartbeat","time":1772368245123}',
    ],
}  # fmt: skip
USUAL["okx_swap"] = [
    frame.replace(b'"SPOT"', b'"SWAP"').replace(b"BTC-USDT", b"BTC-USDT-SWAP") for frame in USUAL["okx"]
]
EXCHANGES = tuple(sorted(USUAL))

# Where each venue's recorded messages stand.
FOLDERS = {
    "binance": ("binance_spot", "binance_us"),
    "binance_future": ("binance_usdm", "binance_coinm"),
    "coinbase": ("coinbase",),
    "kraken": ("kraken",),
    "kraken_future": ("kraken_futures",),
    "okx": ("okx_spot", "okx_common", "okx_other"),
    "okx_swap": ("okx_swap", "okx_common"),
}
OURS = ("tick", "trade", "match", "bookticker", "bbo", "control", "full")


def _parse_frames() -> ModuleType:
    path = TESTS / "reference" / "parse_frames.py"
    spec = importlib.util.spec_from_file_location("parse_frames", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def recorded(exchange: str, fixtures: Path, per_file: int = 40) -> Iterator[bytes]:
    """Some recorded messages of each of the venue's files, more of the channels that its parser reads."""
    for folder in FOLDERS[exchange]:
        for path in sorted((fixtures / "real" / folder).glob("*.jsonl*")):
            if path.name.startswith(("EXPECTED", "DERIVED", "rest_")):
                continue
            wanted = per_file if any(part in path.name for part in OURS) else 4
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
                lines = [line.rstrip(b"\r\n") for line in file]
            yield from (line for line in lines[:: max(1, len(lines) // wanted)] if 0 < len(line) <= 4096)


def seeds_of(exchange: str, fixtures: Path | None = None) -> list[bytes]:
    """The venue's seeds, each without a line break."""
    frames = _parse_frames()
    seeds = list(USUAL[exchange])
    for kind in (frames.EVENTS, frames.CONTROL, frames.OTHER):
        seeds += kind.get(exchange, [])
    if fixtures is not None:
        seeds += recorded(exchange, fixtures)
    return list(dict.fromkeys(seed for seed in seeds if seed and b"\n" not in seed))
