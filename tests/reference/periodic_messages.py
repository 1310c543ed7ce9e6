"""Well-formed frames of klines and funding of every venue, written from the venues' documentation."""

_KLINE = (
    b'{"e":"kline","E":1772368245123,"s":"BTCUSDT","k":{"t":1772368200000,"T":1772368259999,"s":"BTCUSDT","i":"1m",'
    b'"f":15787262,"L":15787474,"o":"64001.10000000","c":"64010.50000000","h":"64020.00000000","l":"63990.25000000",'
    b'"v":"3.31665000","n":213,"x":%s,"q":"212265.18702300","V":"1.48518300","Q":"95049.40195200","B":"0"}}'
)
_MARK = (
    b'{"e":"markPriceUpdate","E":1772368245000,"s":"%s","p":"64001.30000000","ap":"64001.30000000","P":"64066.0007",'
    b'"i":"64002.50021739","r":"%s","T":%d,"st":1}'
)
_CANDLE = b'["%d","64001.1","64020","63990.2","64010.5","4070","40.7","2605000.55","%s"]'
_OKX_FUNDING = (
    b'{"formulaType":"withRate","fundingRate":"%s","fundingTime":"1772380800000","instId":"BTC-USDT-SWAP",'
    b'"instType":"SWAP","maxFundingRate":"0.00375","method":"current_period","minFundingRate":"-0.00375",'
    b'"nextFundingRate":"%s","nextFundingTime":"1772409600000","premium":"-0.0004021053670636",'
    b'"settFundingRate":"0.0000145824401745","settState":"settled","ts":"1772368245123"}'
)
_OHLC = (
    b'{"symbol":"BTC/USD","open":64001.1,"high":64020.0,"low":63990.2,"close":64010.5,"trades":29,"volume":0.02155518,'
    b'"vwap":64005.8,"interval_begin":"2026-03-01T12:30:00.000000000Z","interval":1,'
    b'"timestamp":"2026-03-01T12:31:00.000000Z"}'
)
_ADVANCED = (
    b'{"start":"%d","high":"64020.00","low":"63990.25","open":"64001.10","close":"64010.50","volume":"42.15000000",'
    b'"product_id":"BTC-USD"}'
)
_FUTURES = (
    b'"feed":"ticker","bid":64001.5,"ask":64002.0,"bid_size":2536.0,"ask_size":13948.0,"volume":31403908.0,"dtm":0,'
    b'"leverage":"50x","index":64000.54,"premium":-0.0,"last":64001.5,"change":1.99,"suspended":false,"tag":"%s",'
    b'"pair":"XBT:USD","openInterest":30072580.0,"markPrice":64000.68641534714,"maturityTime":0,"post_only":false'
)

KLINES_AND_FUNDING: dict[str, list[bytes]] = {
    "binance": [
        _KLINE % b"false",
        b'{"stream":"btcusdt@kline_1m","data":%s}' % (_KLINE % b"true"),
        (_KLINE % b"false").replace(b'"1m"', b'"1M"').replace(b'"f":15787262,"L":15787474', b'"f":-1,"L":-1'),
        b'{"result":null,"id":1}', b'{"e":"serverShutdown","E":1}', b'{"stream":"x@trade","data":{"e":"trade"}}',
    ],
    "binance_future": [
        b'{"stream":"btcusdt@kline_1h","data":%s}' % (_KLINE % b"true").replace(b'"1m"', b'"1h"'),
        b'{"stream":"btcusdt@markPrice@1s","data":%s}' % (_MARK % (b"BTCUSDT", b"-0.00008574", 1772380800000)),
        _MARK % (b"BTCUSDT_270326", b"", 0),
        b'[%s,%s]' % (_MARK % (b"BTCUSDT", b"1E-4", 1772380800000), _MARK % (b"ETHUSDT", b"0", 1772380800000)),
        b'{"error":{"code":2,"msg":"Invalid request"},"id":1}', b'[{"e":"assetIndexUpdate","s":"ADAUSD"}]',
    ],
    "okx": [
        b'{"arg":{"channel":"candle1m","instId":"BTC-USDT"},"data":[%s]}' % (_CANDLE % (1772368200000, b"0")),
        b'{"arg":{"channel":"candle1Dutc","instId":"BTC-USDT"},"data":[%s,%s]}'
        % (_CANDLE % (1772323200000, b"1"), _CANDLE % (1772409600000, b"0")),
        b'{"arg":{"channel":"candle1M","instId":"BTC-USDT"},"data":[["1772323200000","1","2","1","2","3","6.5"]]}',
        b'{"arg":{"channel":"index-candle1m","instId":"BTC-USDT"},"data":[]}', b"pong",
        b'{"event":"subscribe","arg":{"channel":"candle1m","instId":"BTC-USDT"},"connId":"a4"}',
    ],
    "okx_swap": [
        b'{"arg":{"channel":"candle4H","instId":"BTC-USDT-SWAP"},"data":[%s]}' % (_CANDLE % (1772366400000, b"1")),
        b'{"arg":{"channel":"funding-rate","instId":"BTC-USDT-SWAP"},"data":[%s]}'
        % (_OKX_FUNDING % (b"0.0000252378080097", b"")),
        b'{"arg":{"channel":"funding-rate","instId":"BTC-USDT-SWAP"},"data":[%s]}'
        % (_OKX_FUNDING % (b"-0.0001", b"0.0002")),
        b'{"arg":{"channel":"mark-price","instId":"BTC-USDT-SWAP"},"data":[{"instId":"BTC-USDT-SWAP",'
        b'"instType":"SWAP","markPx":"64004.0","ts":"1772368245123"}]}',
        b'{"event":"error","msg":"Wrong URL or channel","code":"60018","connId":"a4"}', b"pong",
    ],
    "kraken": [
        b'{"channel":"ohlc","type":"update","timestamp":"2026-03-01T12:30:45.814908190Z","data":[%s]}' % _OHLC,
        b'{"channel":"ohlc","type":"snapshot","timestamp":"2026-03-01T12:31:15.814908190Z","data":[%s,%s]}'
        % (_OHLC, _OHLC.replace(b"12:30:00", b"12:31:00")),
        b'{"channel":"ohlc","type":"update","data":[%s]}' % _OHLC.replace(b"0.02155518", b"1E-8"),
        b'[42,["1772368245.748456","1772368260.000000","64001.10000","64020.00000","63990.20000","64010.50000",'
        b'"64005.80000","0.02155518",29],"ohlc-1","XBT/USD"]',
        b'[42,["1772368245.748456","1772368250.435743","64001.1","64020","63990.2","64010.5","64005","0.02",2],'
        b'"ohlc-15","ETH/USD"]',
        b'{"channel":"heartbeat"}', b'{"event":"heartbeat"}', b'{"method":"subscribe","success":true}',
        b'[119,[["0.07","10.5","1616333924.737428","b","m",""]],"trade","ETH/XBT"]',
    ],
    "coinbase": [
        b'{"channel":"candles","client_id":"","timestamp":"2026-03-01T12:30:45.123456789Z","sequence_num":3,'
        b'"events":[{"type":"update","candles":[%s]}]}' % (_ADVANCED % 1772368200),
        b'{"channel":"candles","timestamp":"2026-03-01T12:30:45.1Z","sequence_num":9223372036854775808,'
        b'"events":[{"type":"snapshot","candles":[%s,%s]}]}' % (_ADVANCED % 1772367900, _ADVANCED % 1772368200),
        b'{"channel":"candles","timestamp":"2026-03-01T12:30:45Z","sequence_num":5,"events":[]}',
        b'{"channel":"heartbeats","timestamp":"2026-03-01T12:30:45Z","sequence_num":6,"events":[]}',
        b'{"type":"ticker","sequence":47,"product_id":"BTC-USD","best_bid":"1","best_ask":"2"}',
        b'{"type":"error","message":"failure to subscribe"}',
    ],
    "kraken_future": [
        b'{"time":1772368245123,"product_id":"PF_XBTUSD","funding_rate":2.06,"funding_rate_prediction":-1.58e-1,'
        b'"relative_funding_rate":0.000025,"relative_funding_rate_prediction":-8.63581351E-10,'
        b'"next_funding_rate_time":1772370000000,%s}' % (_FUTURES % b"perpetual"),
        b'{"time":1772368245123,"product_id":"PF_XBTUSD","next_funding_rate_time":1772370000000,%s}'
        % (_FUTURES % b"perpetual"),
        b'{%s,"product_id":"FF_XBTUSD_270326","time":1772368245123}' % (_FUTURES % b"quarter"),
        b'{"time":1772368245123,"product_id":"PI_XBTUSD","funding_rate":-6.2604214e-11,%s}' % (_FUTURES % b"perpetual"),
        b'{"feed":"ticker_lite","product_id":"PI_ETHUSD","bid":4149.7,"ask":4150.2}',
        b'{"feed":"heartbeat","time":1772368245123}', b'{"event":"subscribed","feed":"ticker"}',
    ],
}  # fmt: skip
