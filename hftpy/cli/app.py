"""The commands and their options; what each does stands in the module of its name."""

import asyncio
import json
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from hftpy import __version__
from hftpy.common import set_root
from hftpy.common.log import configure_logging
from hftpy.errors import HftError

app = typer.Typer(
    help="Low-latency trading runtime: streams, processes, commands, orders.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Root = Annotated[Path | None, typer.Option(help="Root folder of sockets and status files (default: $HFT_ROOT, …).")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens inside.")]


def main() -> None:
    """Entry point of the command; errors of ours end it with status 2 and one line."""
    try:
        app()
    except (HftError, OSError, ValueError) as error:
        print(f"hftpy: {error}", file=sys.stderr)
        sys.exit(2)


def _run(coroutine: Coroutine[Any, Any, int]) -> None:
    from hftpy.common.loops import new_event_loop

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        raise typer.Exit(runner.run(coroutine))


@app.command()
def version() -> None:
    """Print the version and the build mode of the compiled core."""
    from hftcore import build_mode

    print(f"hftpy {__version__} (core: {build_mode})")


@app.command()
def demo(
    duration: Annotated[float, typer.Option(min=1.0, help="Seconds to run.")] = 20.0,
    session: Annotated[Path | None, typer.Option(help="Replay a recorded session to its end instead.")] = None,
    speed: Annotated[float, typer.Option(min=0.0, help="Of the replay: 1 is its own pace, 0 flat out.")] = 1.0,
    fault: Annotated[list[str] | None, typer.Option(help="KIND@SECOND, such as restart@5; may be repeated.")] = None,
    seed: Annotated[int, typer.Option(help="Of the synthetic market.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON, and nothing else.")] = False,
    verbose: Verbose = False,
) -> None:
    """Run the whole system on this machine: a simulated venue, a gateway, two market makers."""
    configure_logging("INFO" if verbose else "ERROR")
    from hftpy.cli.demo import Demo

    _run(Demo(duration=duration, session=session, speed=speed, faults=fault or [], seed=seed, as_json=as_json).run())


@app.command()
def run(config: Path, root: Root = None) -> None:
    """Run the services of a config, each in a process of its own, until they end or Ctrl-C."""
    configure_logging()
    set_root(root)
    from hftpy.cli.run import run_services

    _run(run_services(config))


@app.command()
def sim(
    venue: Annotated[list[str] | None, typer.Option(help="kraken, binance, binance_future, okx, okx_swap; may be repeated.")] = None,
    port: Annotated[int, typer.Option(help="Of the WebSocket side; 0 chooses one.")] = 0,
    rest_port: Annotated[int, typer.Option(help="Of the REST side; 0 chooses one.")] = 0,
    pair: Annotated[list[str] | None, typer.Option(help="A pair of the synthetic market; may be repeated.")] = None,
    rate: Annotated[float, typer.Option(min=0.1, help="Ticks per second and pair.")] = 100.0,
    seed: Annotated[int, typer.Option(help="Of the synthetic market.")] = 0,
    session: Annotated[Path | None, typer.Option(help="Replay a recorded session instead.")] = None,
    speed: Annotated[float, typer.Option(min=0.0, help="Of the replay: 1 is its own pace, 0 flat out.")] = 1.0,
    wait: Annotated[bool, typer.Option("--wait", help="Let the market stand until POST /sim/start.")] = False,
    fault: Annotated[list[str] | None, typer.Option(help="KIND@SECOND, such as restart@5; may be repeated.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the addresses as one line of JSON.")] = False,
) -> None:
    """Serve a simulated venue on loopback and print its addresses."""
    configure_logging("WARNING")
    from hftpy.cli.sim import DEFAULT_PAIRS, serve_until_stopped

    def announce(addresses: dict[str, Any]) -> None:
        if as_json:
            print(json.dumps(addresses), flush=True)
            return
        for name, urls in addresses["venues"].items():
            for kind, url in urls.items():
                print(f"{name:10} {kind:5} {url}", flush=True)
        print(f"{'control':10} {'rest':5} {addresses['control']}", flush=True)
        print(f"{'pairs':10} {', '.join(addresses['pairs'])}", flush=True)

    _run(
        serve_until_stopped(
            venue or ([] if session else ["kraken"]),
            port=port,
            rest_port=rest_port,
            pairs=pair or DEFAULT_PAIRS,
            rate=rate,
            seed=seed,
            session=session,
            speed=speed,
            autostart=not wait,
            faults=fault or [],
            announce=announce,
        )
    )


@app.command()
def decode(
    venue: Annotated[str, typer.Argument(help="Such as kraken, coinbase or kraken_future.")],
    files: Annotated[list[Path] | None, typer.Argument(help="Plain or gzip; none, or -: standard input.")] = None,
) -> None:
    """Turn raw frames, or recorded sessions, into one JSON line per event."""
    from hftpy.cli.decode import run as run_decode

    raise typer.Exit(run_decode(venue, files or [], sys.stdout))


@app.command()
def status(
    root: Root = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
    latency: Annotated[bool, typer.Option("--latency", help="The latency of every hop in every process.")] = False,
) -> None:
    """Show the processes under a root: state, counts, latency."""
    set_root(root)
    from hftpy.cli.status import show, show_latency

    show_latency() if latency and not as_json else show(as_json)


@app.command()
def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Few operations: that all runs, not how fast.")] = False,
    keyword: Annotated[str | None, typer.Option("-k", help="Only benchmarks that match, as pytest's -k.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds of every comparison; at least 9.")] = None,
    stored: Annotated[Path | None, typer.Option("--show", help="Show this stored result instead of running.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also store the result there.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Also draw the ratios: .png, .svg or .pdf.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown instead of the table.")] = False,
    update: Annotated[Path | None, typer.Option(help="Replace the results in this Markdown file.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Status 1 if a floor is missed by all of the spread.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Status 1 if a median misses its floor.")] = False,
) -> None:
    """Measure against the field's usual tools (from a source checkout), or show a stored result."""
    from hftpy.cli.bench import bench as run_bench

    raise typer.Exit(
        run_bench(
            quick=quick,
            keyword=keyword,
            rounds=rounds,
            stored=stored,
            json_file=json_file,
            plot=plot,
            as_markdown=markdown,
            document=update,
            check=check,
            strict=strict,
        )
    )
