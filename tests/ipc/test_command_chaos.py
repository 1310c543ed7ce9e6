"""Kills, stops and duplicates between three processes, and a ledger outside of them that balances."""

import command_chaos


def test_the_ledger_balances() -> None:
    ledger = command_chaos.run(8.0, seed=1, rate=600.0)
    print({name: len(value) if isinstance(value, list) else value for name, value in vars(ledger).items()})
    ledger.check()
    assert ledger.kills
