"""The fixture `versus`: ours against its peers, and the table and JSON of all comparisons at the end of the run."""

import datetime
import importlib
import statistics
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from limits import limits
from measure import ROUNDS, Collector, Rounds, Side, environment, require_release, require_rounds
from pytest_benchmark.fixture import BenchmarkFixture

from hftpy.cli.bench_rows import MIN_ROUNDS, Results, Row, geometric_mean
from hftpy.cli.bench_table import show

RESULTS = pytest.StashKey[Results]()
HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("hftpy benchmarks")
    group.addoption("--quick", action="store_true", help="few operations: that all runs, not how fast")
    group.addoption("--rounds", type=int, default=None, help=f"default {ROUNDS}, quick {MIN_ROUNDS} (the least)")
    group.addoption("--no-table", action="store_true", help="print no table at the end")
    group.addoption("--results", type=Path, default=None, metavar="FILE", help="default benchmarks/results/<time>.json")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # Our own table by target replaces the one of pytest-benchmark.
    config.option.benchmark_quiet = True
    # Peers warn about what they like; ours is tested under filterwarnings = error elsewhere.
    config.addinivalue_line("filterwarnings", "default")
    warnings.simplefilter("default")
    try:
        require_release()
        rounds = require_rounds(rounds_of(config))
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[RESULTS] = Results(environment(rounds=rounds, quick=config.getoption("quick")), [])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not any(item.iter_markers("timeout")):
            item.add_marker(pytest.mark.timeout(600))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    results = config.stash[RESULTS]
    if not results.rows and not results.skipped:
        return
    path: Path | None = config.getoption("results")
    if path is None and not config.getoption("quick"):
        stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
        path = HERE / "results" / f"{stamp}.json"
    if not config.getoption("quick"):
        results.limits = limits()
    if not config.getoption("no_table"):
        show(results)
    if path is not None:
        results.save(path)
        terminalreporter.write_line(f"results: {path}")


def rounds_of(config: pytest.Config) -> int:
    rounds: int | None = config.getoption("rounds")
    if rounds is not None:
        return rounds
    return MIN_ROUNDS if config.getoption("quick") else ROUNDS


class Versus:
    """Compares ours with its peers; one comparison per test.

    Sides are callables that do the agreed number of operations and return None (they are timed from outside) or the
    seconds that they took by their own measure, without set-up. Their results must be compared by the test before.
    """

    def __init__(self, request: pytest.FixtureRequest, results: Results) -> None:
        self._request = request
        self._results = results
        self._missing: list[str] = []
        self.quick: bool = request.config.getoption("quick")
        """Whether only a few operations are wanted."""
        self.rounds = rounds_of(request.config)

    def scale(self, operations: int, multiple: int = 1) -> int:
        """How many operations to do: all of them, or with --quick a hundredth, as a multiple of `multiple`."""
        if not self.quick:
            return operations
        return min(operations, max(1, operations // 100 // multiple) * multiple)

    def cleanup(self, close: Callable[[], object]) -> None:
        """Call `close` when the test is over, whether it failed or not."""
        self._request.addfinalizer(close)

    def peer(self, name: str) -> Any:
        """The module of this name, or None where it is not installed, which the table then says.

        A peer that is there but cannot be imported counts as missing too, with the reason.
        """
        try:
            return importlib.import_module(name)
        except ImportError as error:
            self._missing.append(name)
            self._results.skipped[name] = str(error)
            return None

    def leave_out(self, reasons: Mapping[str, str]) -> None:
        """Say in the table which peers have no row for what, and why."""
        self._results.skipped.update(reasons)

    def __call__(
        self,
        target: str,
        name: str,
        *,
        operations: int,
        ours: Side,
        peers: Mapping[str, Side],
        floors: Mapping[str, float] | None = None,
        goals: Mapping[str, float] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> list[Row]:
        """Compare speeds: ratio = peer / ours, per round.

        Parameters
        ----------
        target
            Number in the table of targets, such as "T7".
        name
            What is done.
        operations
            How many operations one call of a side does.
        ours, peers
            The sides. No peer: skipped, by name.
        floors, goals
            Ratio that must hold, and the one that is aimed at, by peer.
        extra
            Stored with the rows.

        Raises
        ------
        ValueError
            If a floor or goal names no peer though none is missing, or a side took no time.
        """
        for peer in {*(floors or {}), *(goals or {})} - set(peers):
            if not self._missing:
                raise ValueError(f"a floor must belong to a peer, was {peer!r}")
        if not peers:
            pytest.skip(f"{name}: no peer is installed ({', '.join(self._missing) or 'none named'})")
        return self._measure(target, name, operations, ("ours", ours), peers, floors, goals, False, extra)

    def cost(
        self,
        target: str,
        name: str,
        *,
        operations: int,
        base: tuple[str, Side],
        others: Mapping[str, Side],
        ceilings: Mapping[str, float] | None = None,
        goals: Mapping[str, float] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> list[Row]:
        """Compare costs with a base case of our own: ratio = other / base, which must not exceed its ceiling.

        Raises
        ------
        ValueError
            If a ceiling or goal names a case that does not run, or a case took no time.
        """
        for other in {*(ceilings or {}), *(goals or {})} - set(others):
            raise ValueError(f"a ceiling must belong to a case that runs, was {other!r}")
        return self._measure(target, name, operations, base, others, ceilings, goals, True, extra)

    def mean(
        self,
        target: str,
        name: str,
        *,
        of: Callable[[Row], bool],
        floors: Mapping[str, float] | None = None,
        goals: Mapping[str, float] | None = None,
    ) -> list[Row]:
        """Add the geometric mean, round by round, of the rows measured before this test that `of` chooses."""
        means = []
        chosen = [row for row in self._results.rows if of(row)]
        for peer in dict.fromkeys(row.peer for row in chosen):
            rows = [row for row in chosen if row.peer == peer]
            floor, goal = (floors or {}).get(peer), (goals or {}).get(peer)
            means.append(geometric_mean(target, f"{name} ({len(rows)})", rows, floor=floor, goal=goal))
        if not means:
            pytest.skip("nothing was measured that a mean could be taken of")
        self._results.rows.extend(means)
        return means

    def _measure(
        self,
        target: str,
        name: str,
        operations: int,
        first: tuple[str, Side],
        others: Mapping[str, Side],
        floors: Mapping[str, float] | None,
        goals: Mapping[str, float] | None,
        ceiling: bool,
        extra: dict[str, Any] | None,
    ) -> list[Row]:
        if operations < 1:
            raise ValueError(f"operations must be at least 1, was {operations}")
        benchmark: BenchmarkFixture = self._request.getfixturevalue("benchmark")
        rounds = Rounds((first[0], *others), (first[1], *others.values()))
        rounds.warm_up()
        number = -1

        def before() -> None:
            nonlocal number
            number += 1
            rounds.run(rounds.indices(number)[0])

        def after() -> None:
            rounds.run(rounds.indices(number)[1])

        with Collector():
            benchmark.pedantic(lambda: rounds.run([0]), setup=before, teardown=after, rounds=self.rounds)
        of_operation = {side: statistics.median(times) / operations * 1e9 for side, times in rounds.times.items()}
        rows = [
            Row(
                target,
                name,
                other if not ceiling else f"{other} / {first[0]}",
                operations,
                of_operation[other if ceiling else first[0]],
                of_operation[first[0] if ceiling else other],
                rounds.ratios(other, first[0]),
                (floors or {}).get(other),
                (goals or {}).get(other),
                ceiling,
                self._request.node.nodeid,
                extra or {},
            )
            for other in others
        ]
        benchmark.group = target
        benchmark.extra_info["rows"] = [row.to_dict() for row in rows]
        self._results.rows.extend(rows)
        return rows


@pytest.fixture
def versus(request: pytest.FixtureRequest) -> Iterator[Versus]:
    """The comparison of this test."""
    yield Versus(request, request.config.stash[RESULTS])
