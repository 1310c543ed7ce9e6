"""A slow, obvious model of the shared-memory ring: a list of all messages, and readers that know their place in it."""

from dataclasses import dataclass, field


@dataclass
class WriterModel:
    capacity: int
    log: list[tuple[str, int]] = field(default_factory=list)  # symbol, number within the symbol

    def put(self, symbol: str) -> int:
        number = sum(1 for name, _ in self.log if name == symbol) + 1
        self.log.append((symbol, number))
        return number


@dataclass
class ReaderModel:
    writer: WriterModel
    wanted: frozenset[str] | None
    position: int
    taken: int = 0
    lost: int = 0
    seen: dict[str, int] = field(default_factory=dict)

    def join(self) -> list[tuple[str, int]]:
        """The last values of what is wanted, in the order in which the symbols first came."""
        last: dict[str, int] = {}
        for name, number in self.writer.log:
            last[name] = number
        self.position = len(self.writer.log)
        self.seen = dict(last)
        return [(name, number) for name, number in last.items() if self.wants(name)]

    def wants(self, name: str) -> bool:
        return self.wanted is None or name in self.wanted

    def read(self, limit: int) -> tuple[list[tuple[str, int]], dict[str, int]]:
        """The next messages, and how many of each symbol are known to be lost by now."""
        found: list[tuple[str, int]] = []
        gone: dict[str, int] = {}
        log = self.writer.log
        if len(log) - self.position > self.writer.capacity:
            to = len(log) - self.writer.capacity // 2
            self.lost += to - self.position
            self.position = to
            for name in {name for name, _ in log}:
                numbers = [(index, number) for index, (other, number) in enumerate(log) if other == name]
                if self.wants(name) and numbers[-1][0] < to:  # none of it is still to come
                    self._lose(name, numbers[-1][1] - self.seen.get(name, 0), gone)
                    self.seen[name] = numbers[-1][1]
        while len(found) < limit and self.position < len(log):
            name, number = log[self.position]
            self.position += 1
            self.taken += 1
            if self.wants(name):
                self._lose(name, number - self.seen.get(name, 0) - 1, gone)
                self.seen[name] = number
                found.append((name, number))
        return found, gone

    @staticmethod
    def _lose(name: str, count: int, gone: dict[str, int]) -> None:
        if count:
            gone[name] = gone.get(name, 0) + count
