"""Hand-written frames of OKX, spot and derivatives; tables as in parse_frames.py."""

TICKER = (
    b'{"instType":"%s","instId":"%s","last":"64001.2","lastSz":"0.015","askPx":"64001.3","askSz":"1.25036","bidPx":'
    b'"64001.2","bidSz":"%s","open24h":"63000","high24h":"65000.5","low24h":"62000.1","sodUtc0":"63500",'
    b'"sodUtc8":"63600.7","volCcy24h":"229576048.730317321","vol24h":"3601.1585121","ts":"1790439594900"}'
)
SPOT_TICKER = b'{"arg":{"channel":"tickers","instId":"BTC-USDT"},"data":[%s]}' % (
    TICKER % (b"SPOT", b"BTC-USDT", b"0.5")
)
SWAP_TICKER = b'{"arg":{"channel":"tickers","instId":"1000SHIB-USDT-SWAP"},"data":[%s]}' % (
    TICKER % (b"SWAP", b"1000SHIB-USDT-SWAP", b"779.3")
)
BBO = (
    b'{"arg":{"channel":"bbo-tbt","instId":"%s"},"data":[{"asks":[["84093.5","667.19","0","70"]],'
    b'"bids":[["84093.4","570.27","0","83"]],"ts":"1790439594900"%s}]}'
)
TRADE = (
    b'{"instId":"%s","tradeId":"2953620212","px":"84093.5","sz":"2.42","side":"%s","ts":"1790439595946"%s}'
)  # fmt: skip
NEW = b',"count":"%d","source":"0","seqId":342177337897'


def trades(channel: bytes, *entries: bytes) -> bytes:
    return b'{"arg":{"channel":"%s","instId":"BTC-USDT"},"data":[%s]}' % (channel, b",".join(entries))


OPTION = b"BTC-USD-220624-50000-C"
SPOT_USUAL = [
    SPOT_TICKER,
    BBO % (b"BTC-USDT", b',"seqId":342177336945'),
    BBO % (b"BTC-USDT", b""),
    trades(b"trades", TRADE % (b"BTC-USDT", b"buy", b"")),
    trades(b"trades", TRADE % (b"BTC-USDT", b"sell", NEW % 1), TRADE % (b"ETH-USDT", b"buy", NEW % 26)),
    trades(b"trades-all", (TRADE % (b"BTC-USDT", b"buy", b"")).replace(b',"ts"', b',"source":"0","ts"')),
]
SWAP_USUAL = [
    SWAP_TICKER,
    BBO % (b"1000SHIB-USDT-SWAP", b',"seqId":342177336945'),
    trades(b"trades", TRADE % (b"BTC-USDT-SWAP", b"sell", NEW % 3)),
    trades(b"trades", TRADE % (OPTION, b"buy", b',"count":"1"')),
]
USUAL: dict[str, list[bytes]] = {"okx": SPOT_USUAL, "okx_swap": SWAP_USUAL}
EVENTS: dict[str, list[bytes]] = {
    "okx": [
        *SPOT_USUAL,
        # Statistics in the order of old frames; spaces; numbers bare; other keys first.
        SPOT_TICKER.replace(b'"sodUtc0":"63500","sodUtc8":"63600.7",', b"").replace(b',"ts"', b',"sodUtc8":"1","ts"'),
        b'{ "data" : [ { "ts" : 1790439594900 , "seqId" : 7 , "bids" : [ [ 1.5 , 2 , "0" , "1" ] ] , "asks" : '
        b'[ [ "1.75" , "4" , "0" , "2" ] ] } ] , "arg" : { "instId" : "BTC-USDT" , "channel" : "bbo-tbt" } }',
        b'{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[{"ts":"1790439595946","count":2,"px":8.4E4,"sz":'
        b'"1e-3","side":"buy","tradeId":"a-b","instId":"BTC-USDT","seqId":18446744073709551615}]}',
    ],
    "okx_swap": [
        *SWAP_USUAL,
        # One side of the book, or none.
        (BBO % (OPTION, b"")).replace(b'[["84093.4","570.27","0","83"]]', b"[]"),
        (BBO % (OPTION, b"")).replace(b'[["84093.4","570.27","0","83"]]', b"[]").replace(
            b'[["84093.5","667.19","0","70"]]', b"[]"
        ),
        SWAP_TICKER.replace(b'"64001.2","bidSz":"779.3"', b'"","bidSz":""').replace(b'"last":"64001.2"', b'"last":""'),
        SWAP_TICKER.replace(b'"64001.3","askSz":"1.25036"', b'"","askSz":"0"'),
        SWAP_TICKER.replace(b'"1790439594900"', b'""'),
        b'{"arg":{"channel":"trades","instId":"BTC-USD-240927"},"data":[{"instId":"BTC-USD-240927","tradeId":"7849",'
        b'"px":"30218.8","sz":"1","side":"buy","ts":"1652459199958","count":""}]}',
    ],
}  # fmt: skip
CONTROLS = [
    b"pong",
    b"ping",
    b'{"event":"subscribe","arg":{"channel":"tickers","instId":"BTC-USDT"},"connId":"26c9b771"}',
    b'{"id":"md","event":"subscribe","arg":{"channel":"trades","instId":"BTC-USDT-SWAP"},"connId":"73220c7f"}',
    b'{"event":"error","msg":"Wrong URL or channel","code":"60018","connId":"94d38802"}',
    b'{"event":"notice","msg":"The connection will soon be closed","code":"64008","connId":"8517149b"}',
    b'{"event":"login","code":"0","msg":"","connId":"a4d3ae55"}',
    b'{"event":"channel-conn-count","channel":"account","connCount":"1","connId":"4adc328c"}',
    b'{"op":"subscribe","args":[{"channel":"trades","instId":"BTC-USDT"}]}',
    b'{"id":"1","op":"order","data":[{"ordId":"1","sCode":"0","sMsg":""}],"code":"0","msg":""}',
    b'{"arg":{"channel":"status"},"data":[{"title":"Maintenance","state":"scheduled","ts":"1597026383085"}]}',
    b'{"code":"50011","msg":"Too Many Requests"}',
]
OTHERS = [
    b'{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"snapshot","data":[{"asks":[],"bids":[],"checksum":0}]}',
    b'{"arg":{"channel":"books5","instId":"BTC-USDT"},"data":[{"asks":[["1","2","0","1"]],"bids":[],"ts":"1"}]}',
    b'{"arg":{"channel":"candle1m","instId":"BTC-USDT"},"data":[["1","2","3","4","5","6","7","8","0"]]}',
    b'{"arg":{"channel":"index-tickers","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","idxPx":"1","ts":"1"}]}',
    b'{"arg":{"channel":"option-trades","instType":"OPTION"},"data":[{"instId":"BTC-USD-230224-18000-C","px":"1"}]}',
    b'{"arg":{"channel":"sprd-tickers","sprdId":"BTC-USDT_BTC-USDT-SWAP"},"data":[{"askPx":"-1"}]}',
    b'{"arg":{"channel":"orders","instType":"ANY","uid":"1"},"data":[{"instId":"BTC-USDT"}]}',
    b'{"arg":{"channel":"trades2"}}',
    b'{"code":"0","msg":"","data":[]}',
    b'"pong"',
    b"[]",
    b"{}",
    b"7",
]
CONTROL: dict[str, list[bytes]] = {"okx": CONTROLS, "okx_swap": CONTROLS}
OTHER: dict[str, list[bytes]] = {"okx": OTHERS, "okx_swap": OTHERS}
