"""Hand-written frames of Binance USD-M futures; tables as in parse_frames.py."""

BOOK_TICKER = (
    b'{"e":"bookTicker","u":11671659685961,"s":"1000PEPEUSDT"%s,"b":"84551.00","B":"2.646","a":"84551.10","A":"5.302",'
    b'"T":1790526538939,"E":1790526538940%s}'
)
TRADE = (
    b'{"e":"trade","E":1790370834849,"T":1790370834848,"s":"BTCUSDT_260925","t":8121136411,"p":"83680.00","q":"0.001",'
    b'"X":"%s","m":%s%s}'
)
AGG_TRADE = (
    b'{"e":"aggTrade","E":1790526539033,"a":3466782974,"s":"BTCUSDT","p":"84551.10","q":"0.030"%s,"f":8123344783,'
    b'"l":8123344784,"T":1790526538883,"m":%s%s}'
)
ST = b',"st":1'


def combined(stream: bytes, payload: bytes) -> bytes:
    return b'{"stream":"%s","data":%s}' % (stream, payload)


USUAL: dict[str, list[bytes]] = {
    "binance_future": [
        BOOK_TICKER % (b"", b""),
        combined(b"1000pepeusdt@bookTicker", BOOK_TICKER % (b',"ps":"1000PEPEUSDT"', ST)),
        combined(b"btcusdt_260925@trade", TRADE % (b"MARKET", b"true", b"")),
        TRADE % (b"RPI", b"false", ST),
        combined(b"btcusdt@aggTrade", AGG_TRADE % (b"", b"false", b"")),
        AGG_TRADE % (b',"nq":"0.030"', b"true", ST),
    ]
}
EVENTS: dict[str, list[bytes]] = {
    "binance_future": [
        *USUAL["binance_future"],
        # Times first, as in older frames; without a name, which only its stream has; without a time.
        b'{"e":"bookTicker","u":400900217,"E":1568014460893,"T":1568014460891,"s":"BNBUSDT","ps":"BNBUSDT","b":"25.3519",'
        b'"B":"31.21","a":"25.36520000","A":"40.66","st":1}',
        combined(b"!bookTicker", b'{"u":1,"s":"ETHUSDT","b":"4507.24","B":"2.3595","a":"4507.25","A":"2.8457","T":5}'),
        b'{"u":1,"s":"ETHUSDT","b":4507.24,"B":2.3595,"a":4.50725E+3,"A":0}',
        # Spot's shape of a trade, and one that the venue's insurance fund made.
        b'{"e":"trade","E":1674000000001,"s":"ETHUSDT","t":7,"p":"0.001","q":"100","T":1674000000000,"m":true}',
        combined(b"ethusdt@trade", TRADE % (b"INSURANCE_FUND", b"true", b"")),
        b'{"e":"aggTrade","E":123456789,"s":"BNBUSDT","a":5933014,"p":"0.001","q":"100","nq":"100","f":100,"l":105,'
        b'"T":123456785,"m":true,"st":1}',
    ]
}
CONTROL: dict[str, list[bytes]] = {
    "binance_future": [
        b'{"result":null,"id":1}',
        b'{"error":{"code":2,"msg":"Invalid request"},"id":1}',
        b'{"code":3,"msg":"Invalid JSON"}',
        b'{"id":"1","status":200,"result":{"symbol":"BTCUSDT","bidPrice":"4.0"},"rateLimits":[]}',
        b'{"id":null,"status":400,"error":{"code":-1000,"msg":"Invalid JSON request."}}',
        b'{"method":"SUBSCRIBE","params":["btcusdt@bookTicker"],"id":"1"}',
        b'{"e":"serverShutdown","E":1770123456789}',
    ]
}
OTHER: dict[str, list[bytes]] = {
    "binance_future": [
        b'{"e":"24hrTicker","E":1,"s":"BTCUSDT","p":"1","u":5}',
        b'{"stream":"btcusdt@depth5","data":{"e":"depthUpdate","E":1,"T":1,"s":"BTCUSDT","U":1,"u":2,"pu":0,"b":[],"a":[]}}',
        b'{"stream":"btcusdt@rpiDepth@500ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","b":[],"a":[]}}',
        b'{"e":"markPriceUpdate","E":1,"s":"BTCUSDT","ap":"1","p":"1","i":"1","P":"1","r":"","T":0}',
        b'[{"e":"markPriceUpdate","s":"BTCUSD_PERP","st":2}]',
        b'{"e":"forceOrder","E":1,"o":{"s":"BTCUSDT","S":"SELL","p":"1","q":"1"}}',
        b'{"e":"ORDER_TRADE_UPDATE","T":1,"E":2,"o":{"s":"BTCUSDT","b":"0","a":"9","m":false,"ps":"BOTH","t":0}}',
        b'{"e":"TRADE_LITE","E":1,"T":1,"s":"BTCUSDT","q":"0.001","p":"0","m":false,"t":109100866}',
        b'{"stream":"abc","data":{"e":"ACCOUNT_UPDATE","E":1,"T":1,"a":{"B":[],"P":[]}}}',
        b'{"e":"contractInfo","E":1,"s":"IOTAUSDT","ct":"PERPETUAL"}',
        b"[]",
        b"{}",
        b"true",
    ]
}
