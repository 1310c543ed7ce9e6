"""Kills, stops, losses and duplicates between three processes, and a ledger outside of them that balances."""

import os

import chaos_mutants
import command_chaos
import pytest
from short_run import ALL_MISTAKES

SECONDS = 60.0 if os.environ.get("CI") else 5.0
QUICK = ("the_window_forgets", "the_journal_is_skipped")
TRIES = 12  # far more than are needed where the machine is not busy with other things


def test_the_ledger_balances() -> None:
    ledger = command_chaos.run(SECONDS, seed=1)
    print(ledger.shown())
    ledger.check()
    assert ledger.kills and ledger.stops and ledger.started["done"] and ledger.durable_limit


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", chaos_mutants.MUTANTS if ALL_MISTAKES else QUICK)
def test_the_ledger_finds_faults(mutant: str) -> None:
    for seed in range(TRIES):
        ledger = command_chaos.run(3.0, seed, lost=0.01, doubled=0.05, mutant=mutant)
        try:
            ledger.check()
        except AssertionError as error:
            print(f"seed {seed}: {str(error)[:500]}")
            return
    raise AssertionError(f"{mutant} was not found in {TRIES} runs")
