"""What the codes of TWS mean for a stream.

Source: https://ibkrcampus.com/campus/ibkr-api-page/twsapi-doc/#api-error-codes.
"""

# TWS has no connection to IB; it comes back by itself.
UPSTREAM_LOST = frozenset({1100, 2110})
UPSTREAM_RESTORED = 1102  # what was subscribed goes on
# Nothing that was subscribed goes on: connect again.
START_AGAIN = {1101: "connection of TWS to IB is back, subscriptions are lost", 1300: "TWS moves to another port"}
FARM_BROKEN = 2103
FARM_OK = 2104
# Messages about the system, and remarks on a request that is served all the same.
REMARKS = frozenset({10090, 10167, 300, 310, 366, 504})
# A symbol has no data now, and may have some later: asked for again.
PASSING = frozenset({10182, 10197, 10225})
# Our requests came too fast, and TWS may have left some out.
TOO_FAST = 100


def is_remark(code: int) -> bool:
    """Whether data of a request may go on after this code."""
    return 2100 <= code < 2200 or code in REMARKS
