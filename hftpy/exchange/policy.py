"""When to connect again: capped exponential backoff with full jitter."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hftpy.errors import ConfigError

FOREVER = -1


@dataclass(frozen=True)
class ReconnectPolicy:
    """How often, and after which delays, a lost connection is made again.

    The delay before attempt n is uniform between 0 and ``min(max, initial * 2**n)`` seconds, so that many clients of
    one venue do not come back at the same moment. Attempts count from the last connection that was healthy for
    `healthy_s` seconds.
    """

    times: int = FOREVER
    initial: float = 1.0
    max: float = 30.0
    healthy_s: float = 10.0

    def allows(self, attempt: int) -> bool:
        """Whether reconnect attempt number `attempt` (from 1) may be made."""
        return self.times == FOREVER or attempt <= self.times

    def delay(self, attempt: int) -> float:
        """Seconds to wait before reconnect attempt number `attempt` (from 1)."""
        # 2**64 seconds is for ever: the exponent is capped so that no attempt can overflow a float.
        return random.uniform(0.0, min(self.max, self.initial * 2.0 ** min(attempt - 1, 64)))

    @classmethod
    def read(cls, value: Any) -> "ReconnectPolicy":
        """From the setting ``reconnect_times``: -1, a number, or ``{"times", "initial", "max"}``; empty: for ever.

        Raises
        ------
        ConfigError
            If it is none of these.
        """
        if value is None or value == "" or isinstance(value, cls):
            return value if isinstance(value, cls) else cls()
        if isinstance(value, Mapping):
            unknown = sorted(set(value) - {"times", "initial", "max"})
            if unknown:
                raise ConfigError(f"reconnect_times has the keys times, initial and max, had {unknown[0]!r}")
            times = _times(value.get("times", FOREVER))
            initial = _seconds("initial", value.get("initial", cls.initial))
            longest = _seconds("max", value.get("max", max(cls.max, initial)))
            return cls(times, initial, longest)
        return cls(_times(value))


def _times(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < FOREVER:
        raise ConfigError(f"reconnect_times must be -1 or a number of times, was {value!r}")
    return value


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ConfigError(f"reconnect_times.{name} must be a number of seconds, was {value!r}")
    return float(value)
