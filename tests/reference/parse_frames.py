"""Hand-written frames of every shape that the parsers read, and of those that they must tell apart.

Those of the other venues stand in *_frames.py beside this file, in tables of the same form; `USUAL` are spelled as the
venue usually does, every one to be read by a template.
"""

import importlib.util
from pathlib import Path

EVENTS: dict[str, list[bytes]] = {
    "kraken": [
        b'{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":64001.10,"bid_qty":0.25000000,'
        b'"ask":64001.2,"ask_qty":1.5e-05,"last":64001.1,"volume":12.5,"vwap":63990.1,"low":63000,"high":65000,'
        b'"change":-12.5,"change_pct":-0.02,"timestamp":"2026-03-01T12:30:45.123456Z"}]}',
        b'{"data":[{"ask":"0.5","ask_qty":"2","bid_qty":"3","bid":"0.25","symbol":"ETH/USDT"}],"type":"snapshot",'
        b'"channel":"ticker"}',
        b'{"channel":"trade","type":"snapshot","data":[{"symbol":"SOL/EUR","side":"buy","price":150.25,"qty":2,'
        b'"ord_type":"limit","trade_id":77,"timestamp":"2026-03-01T12:30:45Z"},{"symbol":"SOL/USD","side":"sell",'
        b'"price":1.502E2,"qty":0.125,"ord_type":"market","trade_id":78,"timestamp":"2026-03-01T12:30:45.1+01:00"}]}',
        b'[340,{"a":["30001.5",12,"12.41"],"b":["30001.4",0,"0.08"],"c":["30001.5","0.1"],"v":["1","2"],'
        b'"t":[5,6]},"ticker","XBT/USD"]',
        b'[119,[["0.07","10.5","1616333924.737428","b","m",""],["0.08","1","1616333925","s","l",""]],"trade",'
        b'"XDG/USD"]',
        b'[119,[["0.07","10.5","1616333924.7","b","m",""]],[["0.08","1","1616333925","s","l",""]],"trade","ETH/XBT"]',
    ],
    "binance": [
        b'{"u":400900217,"s":"BNBUSDT","b":"250.35190000","B":"31.21000000","a":"250.36520000","A":"40.66000000"}',
        b'{"stream":"btcusdt@bookTicker","data":{"A":"0.5","a":"64001.21","B":"7","b":"64001.20","s":"BTCUSDT","u":7}}',
        b'{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.001","q":"100","T":1672515782135,"m":true,'
        b'"M":true}',
        b'{"stream":"ethusdt@trade","data":{"e":"trade","E":1639351062244000,"s":"ETHUSDT","t":70529,"p":"4149.74",'
        b'"q":"0.4387","b":70385,"a":70386,"T":1639351062243999,"m":false,"M":true}}',
        b'{"e":"aggTrade","E":1672515782136,"s":"BNBBTC","a":12345,"p":0.001,"q":100,"f":100,"l":105,'
        b'"T":1672515782136,"m":true,"M":true}',
        b'{"stream":"ethusdt@aggTrade","data":{"e":"aggTrade","E":1675759520848,"s":"ETHUSDT","a":226532,'
        b'"p":"1632.46","q":"0.34305","f":228423,"l":228423,"T":1675759520847,"m":false,"M":true,"st":1}}',
    ],
}

CONTROL: dict[str, list[bytes]] = {
    "kraken": [
        b'{"channel":"heartbeat"}',
        b'{"channel":"status","data":[{"system":"online","connection_id":13834774380200032777}],"type":"update"}',
        b'{"method":"subscribe","result":{"channel":"ticker","symbol":"BTC/USD","snapshot":true},"success":true}',
        b'{"error":"Currency pair not supported XBT/USD","method":"subscribe","success":false}',
        b'{"method":"pong","req_id":1}',
        b'{"error":"EGeneral:Invalid arguments"}',
        b'{"event":"subscriptionStatus","channelName":"ticker","pair":"XBT/USD","status":"subscribed"}',
        b'{"event":"heartbeat"}',
        b"CloudFlare WebSocket proxy restarting",
    ],
    "binance": [
        b'{"result":null,"id":1}',
        b'{"error":{"code":2,"msg":"Invalid request"},"id":1}',
        b'{"id":"x"}',
        b'{"id":1,"status":200,"result":{},"rateLimits":[]}',
        b'{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}',
        b'{"e":"serverShutdown","E":1770123456789}',
        b'{"event":{"e":"serverShutdown","E":1770123456789}}',
        b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}',
    ],
}

OTHER: dict[str, list[bytes]] = {
    "kraken": [
        b'{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":1.0,"qty":2.0}]}]}',
        b'{"channel":"instrument","type":"snapshot","data":{"assets":[],"pairs":[]}}',
        b'[1,{"as":[["1.0","2.0","3.0"]]},"book-10","XBT/USD"]',
        b'[[{"O1":{"status":"open"}}],"openOrders",{"sequence":1}]',
        b"[]",
        b"{}",
        b"null",
        b"12.5e3",
        b'"trade"',
    ],
    "binance": [
        b'{"e":"24hrTicker","E":1,"s":"BNBBTC","p":"1","b":"1","B":"1","a":"1","A":"1","u":5}',
        b'{"stream":"btcusdt@depth5","data":{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[]}}',
        b'{"e":"depthUpdate","E":1,"s":"BNBBTC","U":1,"u":2,"b":[],"a":[]}',
        b'{"subscriptionId":0,"event":{"e":"executionReport","s":"ETHBTC"}}',
        b'[{"e":"24hrMiniTicker","s":"BNBBTC"}]',
        b"[]",
        b"{}",
        b"true",
    ],
}

# Frames in the venues' usual spelling, beside those of tests/core/test_parse_templates.py.
USUAL: dict[str, list[bytes]] = {}

for _path in sorted(Path(__file__).parent.glob("*_frames.py")):
    if _path.name != "parse_frames.py":
        _spec = importlib.util.spec_from_file_location(_path.stem, _path)
        assert _spec is not None and _spec.loader is not None
        _module = importlib.util.module_from_spec(_spec)
        _spec.loader.exec_module(_module)
        for _mine, _theirs in (
            (EVENTS, _module.EVENTS), (CONTROL, _module.CONTROL), (OTHER, _module.OTHER), (USUAL, _module.USUAL)
        ):  # fmt: skip
            _mine |= _theirs
