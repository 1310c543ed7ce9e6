"""What interrupts, pauses and releases do to a service of rounds, as a walk over a script: no tasks, no cancellation.

A round is made of steps, each of which waits: ``sleep`` and ``scope`` are interruption points, ``plain`` is none, and
``mask`` is a block that holds interrupts back; ``end`` ends a round. Nothing happens but at rest, when all wait.
"""

from collections.abc import Iterator, Sequence

POINTS = ("sleep", "scope", "scoped sleep", "nested")
GATES = ("plain", "mask")


class Model:
    """What a service does that follows a script.

    Parameters
    ----------
    script
        The steps, of all rounds.

    Attributes
    ----------
    log : list
        What the service must have noted.
    pending, held : list of int
        Interrupts that are kept for the next point; and by the mask.
    at : str
        The step at which it waits; ``paused`` between rounds.
    reached, merged : int
        How many interrupts found a round that waits; how many were one with what ended it.
    """

    def __init__(self, script: Iterator[str]) -> None:
        self._script = script
        self.log: list[tuple[str, int]] = []
        self.pending: list[int] = []
        self.held: list[int] = []
        self.paused = False
        self.reached = self.merged = 0
        self._kept: int | None = None
        self.at = ""
        self._begin()

    def interrupt(self, numbers: list[int]) -> None:
        """Some interrupts, before the service goes on."""
        if self.at == "paused":
            return
        self.reached += len(numbers)
        if self.at == "mask":
            self.held += numbers
        else:
            self._take(numbers)

    def release(self) -> None:
        """What a ``plain`` or ``mask`` waits for comes."""
        if self.at not in GATES:
            return
        was, held, self.held = self.at, self.held, []
        self.log.append((was, 0))
        if not (was == "mask" and (held or self.paused)):
            self._go_on()
            return
        step = next(self._script)
        while step in POINTS and step != "sleep" and self.pending:
            self._pass(step)  # at once: what was held comes when it first waits
            step = next(self._script)
        if step == "mask":
            # Where the next block would begin, the round ends.
            self.at = step
            self._end_round(held)
        elif step == "end":
            self._end(held)
        elif self.pending and step in POINTS and self.paused:
            self._end_round(held)  # while it gives others their turn, before it tells of the older one
        elif self.pending and step in POINTS:
            # The older ones come first.
            self.pending += held
            self._pass(step)
            self._go_on_or_end()
        else:
            self.at = step
            if held:
                self._take(held)
            if self.paused and self.at not in ("mask", "paused"):
                self._end_round([])

    def pause(self) -> None:
        """No round any more."""
        if not self.paused:
            self.paused = True
            if self.at not in ("mask", "paused"):
                self._end_round([])

    def resume(self) -> None:
        """Rounds again."""
        if self.paused:
            self.paused = False
            if self.at == "paused":
                self._begin()

    def _take(self, numbers: list[int]) -> None:
        if self.at in POINTS:
            first, *rest = numbers
            kind = {"scoped sleep": "sleep", "nested": "inner"}.get(self.at, self.at)
            self.log.append((kind, first))
            self.pending += rest
            self._go_on_or_end()
        else:
            self._end_round(numbers)

    def _go_on_or_end(self) -> None:
        self._go_on()
        if self.paused and self.at not in ("mask", "paused"):
            self._end_round([])

    def _end_round(self, numbers: list[int]) -> None:
        self.log.append(("cancelled", 0))
        self.merged += len(self.pending) + len(numbers)
        self.pending = []
        self._begin()

    def _end(self, held: Sequence[int] = ()) -> None:
        self.log.append(("end", 0))
        if self.pending and self.pending[0] == self._kept:
            self.merged += len(self.pending)
            self.pending = []
        self.pending += held
        self._begin()

    def _begin(self) -> None:
        if self.paused:
            self.at = "paused"
            return
        self._kept = self.pending[0] if self.pending else None
        self._go_on()

    def _pass(self, step: str) -> None:
        self.log.append(("sleep" if step == "sleep" else "scope", self.pending.pop(0)))

    def _go_on(self) -> None:
        while True:
            step = next(self._script)
            if step == "end":
                self._end()
                return
            if step in POINTS and self.pending:
                self._pass(step)
                continue
            self.at = step
            return
