"""What a benchmark run leaves behind: rows of ratios with their spread, floors and goals, and the environment.

Written by ``benchmarks/`` (which measures), read by ``hftpy bench`` (which shows). Plain JSON, no times of day in the
rows, so that two runs can be compared.
"""

import json
import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FORMAT = 1
MIN_ROUNDS = 9


@dataclass(frozen=True)
class Row:
    """One comparison: median ns per operation of each side, and one ratio per round.

    A row with `ceiling` False is a speed: ratio = peer / ours, larger is better, `floor` must be reached. With
    `ceiling` True it is a cost: ratio = ours / peer (the disturbed or larger case over the base), smaller is better,
    and `floor` must not be exceeded.

    Raises
    ------
    ValueError
        If there are too few rounds to say anything, or a ratio that is no positive number.
    """

    target: str
    name: str
    peer: str
    operations: int
    ours_ns: float
    peer_ns: float
    ratios: tuple[float, ...]
    floor: float | None = None
    goal: float | None = None
    ceiling: bool = False
    test: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the ratios."""
        if len(self.ratios) < MIN_ROUNDS:
            raise ValueError(f"rounds must be at least {MIN_ROUNDS}, was {len(self.ratios)}")
        for ratio in self.ratios:
            if not (ratio > 0 and math.isfinite(ratio)):
                raise ValueError(f"a ratio must be positive and finite, was {ratio} in {self.name!r}")

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(self.ratios)

    @property
    def low(self) -> float:
        """The smallest ratio of a round."""
        return min(self.ratios)

    @property
    def high(self) -> float:
        """The largest ratio of a round."""
        return max(self.ratios)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The quartiles of the ratios: half of all rounds lie between."""
        lower, _, upper = statistics.quantiles(self.ratios, n=4, method="inclusive")
        return lower, upper

    @property
    def verdict(self) -> str:
        """How the row stands to its floor and goal.

        Returns
        -------
        str
            "missed": the whole interval of the quartiles lies beyond the floor. "below" ("above" for a ceiling): the
            median does, but not the whole interval. "goal": the median reaches the goal. "holds": it reaches the
            floor. "": no floor. The quartiles and not the extremes: one round in which the scheduler took the
            processor away from one side would otherwise excuse everything.
        """
        if self.floor is None:
            return ""
        sign = -1.0 if self.ceiling else 1.0
        if all(sign * quartile < sign * self.floor for quartile in self.quartiles):
            return "missed"
        if sign * self.ratio < sign * self.floor:
            return "above" if self.ceiling else "below"
        if self.goal is not None and sign * self.ratio >= sign * self.goal:
            return "goal"
        return "holds"

    def to_dict(self) -> dict[str, Any]:
        """For JSON; `from_dict` reads it back."""
        lower, upper = self.quartiles
        return {
            "target": self.target,
            "name": self.name,
            "peer": self.peer,
            "operations": self.operations,
            "ours_ns": round(self.ours_ns, 3),
            "peer_ns": round(self.peer_ns, 3),
            "ratio": round(self.ratio, 4),
            "ratio_min": round(self.low, 4),
            "ratio_max": round(self.high, 4),
            "ratio_q1": round(lower, 4),
            "ratio_q3": round(upper, 4),
            "ratios": [round(ratio, 6) for ratio in self.ratios],
            "rounds": len(self.ratios),
            "floor": self.floor,
            "goal": self.goal,
            "ceiling": self.ceiling,
            "verdict": self.verdict,
            "test": self.test,
            "extra": self.extra,
        }

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "Row":
        """Read what `to_dict` wrote.

        Raises
        ------
        ValueError
            If a field is missing or no row can be made of it.
        """
        try:
            return cls(
                stored["target"], stored["name"], stored["peer"], int(stored["operations"]), float(stored["ours_ns"]),
                float(stored["peer_ns"]), tuple(float(ratio) for ratio in stored["ratios"]), stored["floor"],
                stored["goal"], bool(stored["ceiling"]), stored.get("test", ""), stored.get("extra", {}),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a stored benchmark row: {error!r}") from error


@dataclass
class Results:
    """A whole run: its environment, its rows, the limits of the machine, and the peers that were not there."""

    environment: dict[str, Any]
    rows: list[Row]
    limits: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write as JSON.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        document = {
            "format": FORMAT,
            "environment": self.environment,
            "limits": self.limits,
            "skipped": self.skipped,
            "results": [row.to_dict() for row in self.rows],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Results":
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            If the file is not a stored result of this format.
        OSError
            If the file cannot be read.
        """
        try:
            document = json.loads(path.read_text())
        except ValueError as error:
            raise ValueError(f"{path} is not JSON: {error}") from error
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            found = document.get("format") if isinstance(document, dict) else type(document).__name__
            raise ValueError(f"{path} must be a benchmark result of format {FORMAT}, was {found!r}")
        try:
            rows = [Row.from_dict(row) for row in document["results"]]
            return cls(document["environment"], rows, document["limits"], document["skipped"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} is not a whole benchmark result: {error!r}") from error

    def ordered(self) -> list[Row]:
        """The rows by number of their target; those of one target as they ran."""
        return sorted(self.rows, key=lambda row: target_key(row.target))

    def missed(self, *, strict: bool = False) -> list[Row]:
        """The rows whose floor is missed; with `strict` also those whose median alone lies beyond it."""
        verdicts = {"missed", "below", "above"} if strict else {"missed"}
        return [row for row in self.ordered() if row.verdict in verdicts]


def target_key(target: str) -> tuple[int, str]:
    """Sort key: T2 before T10, what has no number at the end."""
    number = target.removeprefix("T")
    return (int(number), "") if number.isdigit() else (10**6, target)


def geometric_mean(
    target: str, name: str, rows: Iterable[Row], *, floor: float | None = None, goal: float | None = None
) -> Row:
    """One row over several of one peer: the geometric mean of each round.

    Raises
    ------
    ValueError
        If there is no row, they differ in peer, rounds or kind.
    """
    of = list(rows)
    if len({(row.peer, len(row.ratios), row.ceiling) for row in of}) != 1:
        raise ValueError(f"a mean needs rows of one peer and one number of rounds, was {len(of)} rows for {name!r}")
    mean: Callable[[Iterable[float]], float] = statistics.geometric_mean
    return Row(
        target,
        name,
        of[0].peer,
        sum(row.operations for row in of),
        mean(row.ours_ns for row in of),
        mean(row.peer_ns for row in of),
        tuple(mean(ratios) for ratios in zip(*(row.ratios for row in of), strict=True)),
        floor,
        goal,
        of[0].ceiling,
    )
