import pytest

from hftpy.errors import ConfigError
from hftpy.exchange.policy import ReconnectPolicy


def test_delays_are_jittered_and_capped():
    policy = ReconnectPolicy(initial=1.0, max=30.0)
    for attempt, limit in ((1, 1.0), (2, 2.0), (5, 16.0), (6, 30.0), (1000, 30.0), (10**9, 30.0)):
        delays = [policy.delay(attempt) for _ in range(300)]
        assert all(0 <= delay <= limit for delay in delays)
        # Full jitter: spread over the whole range, not around its end.
        assert min(delays) < limit / 4
        assert max(delays) > limit * 3 / 4


@pytest.mark.parametrize(
    ("setting", "times", "initial", "longest"),
    [
        (None, -1, 1.0, 30.0),
        ("", -1, 1.0, 30.0),
        (-1, -1, 1.0, 30.0),
        (3, 3, 1.0, 30.0),
        ({"times": 0}, 0, 1.0, 30.0),
        ({"initial": 60}, -1, 60.0, 60.0),
        ({"times": 2, "initial": 0.5, "max": 4}, 2, 0.5, 4.0),
    ],
)
def test_settings(setting, times, initial, longest):
    policy = ReconnectPolicy.read(setting)
    assert (policy.times, policy.initial, policy.max) == (times, initial, longest)


@pytest.mark.parametrize(
    "setting", [-2, 1.5, True, "your reconnect policy", {"times": "x"}, {"max": -1}, {"initial": float("nan")}, [1]]
)
def test_unusable_settings(setting):
    with pytest.raises(ConfigError, match="reconnect_times"):
        ReconnectPolicy.read(setting)


def test_times():
    assert [ReconnectPolicy(times=2).allows(attempt) for attempt in (1, 2, 3)] == [True, True, False]
    assert not ReconnectPolicy(times=0).allows(1)
    assert ReconnectPolicy(times=-1).allows(10**9)
