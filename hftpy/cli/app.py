"""The commands and their options; what each does stands in the module of its name."""

import asyncio
import io
import json
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from hftpy import __version__
from hftpy.common import get_root, set_root
from hftpy.common.log import configure_logging
from hftpy.common.paths import use_root
from hftpy.errors import HftError, RootError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

MAX_PORT = 65535  # an event loop may take a higher one for another port
Root = Annotated[Path | None, typer.Option(help="Root folder of sockets and status files (default: $HFT_ROOT, …).")]
Keys = Annotated[
    Path | None, typer.Option("--keys", help="Folder of keys (default: the config's, else as of `hftpy keys`).")
]
TcpConfig = Annotated[Path | None, typer.Option("--config", help="Config of the processes, for their tcp endpoints.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens inside.")]


def main() -> None:
    """Entry point of the command; errors of ours end it with status 2 and one line."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # what a terminal or a locale cannot show must not end a command
    try:
        app()
    except (HftError, OSError, ValueError) as error:
        print(f"hftpy: {error}", file=sys.stderr)
        sys.exit(2)


def _run(coroutine: Coroutine[Any, Any, int]) -> None:
    from hftpy.common.loops import new_event_loop

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        raise typer.Exit(runner.run(coroutine))


def _json_object(option: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{option} must be a JSON object, was {text!r}: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{option} must be a JSON object, was {text!r}")
    return found


@app.command()
def version() -> None:
    """Print the version and the build mode of the compiled core."""
    from hftcore import build_mode

    print(f"hftpy {__version__} (core: {build_mode})")


def _print_version(is_asked: bool) -> None:
    if is_asked:
        version()
        raise typer.Exit


@app.callback()
def options(
    is_asked: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="As the command version.")
    ] = False,
) -> None:
    """Low-latency trading runtime: streams, processes, commands, orders."""


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
    venue: Annotated[list[str] | None, typer.Option(help="Such as kraken, okx_swap; may be repeated.")] = None,
    port: Annotated[int, typer.Option(min=0, max=MAX_PORT, help="Of the WebSocket side; 0 chooses one.")] = 0,
    rest_port: Annotated[int, typer.Option(min=0, max=MAX_PORT, help="Of the REST side; 0 chooses one.")] = 0,
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
def markets(
    venue: Annotated[str, typer.Argument(help="Such as kraken, coinbase or kraken_future.")],
    text: Annotated[str, typer.Argument(help="Only what has this in its name.")] = "",
    rest_host: Annotated[str | None, typer.Option(help="Base URL instead of the venue's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per instrument.")] = False,
) -> None:
    """List a venue's instruments: symbol, the venue's own spelling, tick, lot, smallest amount."""
    from hftpy.cli.markets import list_markets

    _run(list_markets(venue, rest_host, text, as_json, sys.stdout))


@app.command()
def watch(
    venue: Annotated[str, typer.Argument(help="Such as kraken, coinbase or kraken_future.")],
    pair: Annotated[str, typer.Argument(help="Such as btc/usd.")],
    book: Annotated[bool, typer.Option("--book", help="The order book too.")] = False,
    seconds: Annotated[float | None, typer.Option("--for", min=0.1, help="End after so many seconds.")] = None,
    api_host: Annotated[str | None, typer.Option(help="Base URL instead of the venue's.")] = None,
    rest_host: Annotated[str | None, typer.Option(help="Base URL instead of the venue's REST.")] = None,
) -> None:
    """Show a pair's market live: a table, or lines where there is no terminal."""
    configure_logging("ERROR")
    from rich.console import Console

    from hftpy.cli.watch import watch as run_watch

    _run(
        run_watch(
            venue, pair, book=book, seconds=seconds, api_host=api_host, rest_host=rest_host, console=Console()
        )
    )  # fmt: skip


@app.command()
def record(
    venue: Annotated[str, typer.Argument(help="Such as kraken, coinbase or kraken_future.")],
    pair: Annotated[list[str], typer.Argument(help="Pairs, such as btc/usd.")],
    channel: Annotated[list[str] | None, typer.Option(help="ticker, trade, …; may be repeated.")] = None,
    folder: Annotated[Path, typer.Option("--output", "-o", help="Folder of the files.")] = Path(),
    compression: Annotated[str, typer.Option(help="gzip, zstd or none.")] = "gzip",
    max_mb: Annotated[float, typer.Option(min=0.004, help="MB on disk at which the next file is begun.")] = 256.0,
    seconds: Annotated[float | None, typer.Option("--for", min=0.1, help="End after so many seconds.")] = None,
    api_host: Annotated[str | None, typer.Option(help="Base URL instead of the venue's.")] = None,
    rest_host: Annotated[str | None, typer.Option(help="Base URL instead of the venue's REST.")] = None,
    subscribe_args: Annotated[str, typer.Option("--args", help="JSON, as in a stream's settings.")] = "{}",
) -> None:
    """Record the raw frames of a venue as a session, which `hftpy replay`, `decode` and `sim` take."""
    configure_logging("WARNING")
    from hftpy.cli.record import record as run_record

    _run(
        run_record(
            venue, pair, channel or ["ticker", "trade"], folder, compression=compression,  # type: ignore[arg-type]
            max_file_bytes=int(max_mb * 1_000_000), seconds=seconds, api_host=api_host, rest_host=rest_host,
            subscribe_args=_json_object("args", subscribe_args), out=sys.stdout,
        )
    )  # fmt: skip


@app.command()
def replay(
    session: Annotated[list[Path], typer.Argument(help="A recording: one file, or several in their order.")],
    config: Annotated[Path, typer.Argument(help="The config of the service.")],
    service: Annotated[str | None, typer.Option(help="The section, where there are several.")] = None,
    speed: Annotated[float, typer.Option(min=0.0, help="1 is the recording's own pace, 0 flat out.")] = 0.0,
    events: Annotated[Path | None, typer.Option(help="Write each call of a hook there, as a JSON line.")] = None,
    root: Root = None,
) -> None:
    """Play a recording into a service in place of its streams: same order, same times, every time.

    Files may be plain, gzip or zstd. The service is alone: its root is a temporary one unless --root names another.
    """
    configure_logging("WARNING")
    from hftpy.cli.replay import replay as run_replay

    with tempfile.TemporaryDirectory(prefix="hftpy-") as alone:
        set_root(root or alone)
        _run(run_replay(session, config, service, speed, events, sys.stdout))


@app.command()
def decode(
    venue: Annotated[str, typer.Argument(help="Such as kraken, coinbase or kraken_future.")],
    files: Annotated[list[Path] | None, typer.Argument(help="Plain, gzip or zstd; none, or -: stdin.")] = None,
    depth: Annotated[int, typer.Option(min=0, help="Levels of each side in a book's line.")] = 10,
) -> None:
    """Turn raw frames, or recorded sessions, into one JSON line per event."""
    from hftpy.cli.decode import run as run_decode

    raise typer.Exit(run_decode(venue, files or [], sys.stdout, depth))


@app.command()
def status(
    root: Root = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
    latency: Annotated[bool, typer.Option("--latency", help="The latency of every hop in every process.")] = False,
) -> None:
    """Show the processes under a root: state, counts, latency."""
    use_root(root)
    from hftpy.cli.status import show, show_latency

    show_latency() if latency and not as_json else show(as_json)


@app.command()
def top(
    root: Root = None,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two readings.")] = 1.0,
    seconds: Annotated[float | None, typer.Option("--for", min=0.1, help="End after so many seconds.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Print it once; so does a pipe.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Once, as JSON.")] = False,
) -> None:
    """Watch the processes under a root: state, rates, queues, losses, latency, stalls, parameters."""
    use_root(root)
    from rich.console import Console

    from hftpy.cli.top import top as run_top

    _run(run_top(interval_s=interval, seconds=seconds, once=once, as_json=as_json, console=Console()))


@app.command()
def metrics(
    root: Root = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=MAX_PORT, help="Serve GET /metrics there instead; 0 chooses a port.")
    ] = None,
    host: Annotated[str, typer.Option(help="Of the port; loopback unless told.")] = "127.0.0.1",
) -> None:
    """Print the counters and latencies of the processes under a root in Prometheus' text format."""
    use_root(root)
    if port is None:
        from hftpy.service.metrics import render
        from hftpy.service.status import read_statuses

        print(render(read_statuses()), end="")
        return
    from hftpy.cli.metrics import serve

    _run(serve(host, port, lambda url: print(url, flush=True)))


@app.command()
def send(
    target: Annotated[str, typer.Argument(help="A process, a group (api.*), or * for all.")],
    command_type: Annotated[str, typer.Argument(metavar="TYPE")],
    payload: Annotated[str, typer.Argument(metavar="JSON", help="The payload.")] = "{}",
    sender: Annotated[str, typer.Option("--as", help="Who sends it: a name that the target listens to.")] = "operator",
    timeout: Annotated[float, typer.Option(min=0.01, help="Its deadline, in seconds.")] = 5.0,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the handler's end and print its result.")] = False,
    serve: Annotated[
        str | None, typer.Option(help="tcp://HOST:PORT, where targets on other hosts look for the sender.")
    ] = None,
    config: TcpConfig = None,
    folder: Keys = None,
    root: Root = None,
    verbose: Verbose = False,
) -> None:
    """Send a command and say whether it arrived (--wait: what came of it); status 1 if not.

    Over tcp (docs/tcp.md) the target connects to the sender: where its config says, or at --serve.
    """
    configure_logging("INFO" if verbose else "ERROR")
    set_root(root)
    from hftpy.cli.commands import send as send_command
    from hftpy.cli.reach import sender_endpoints

    try:
        value = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the payload must be JSON: {error}") from error
    tcp = sender_endpoints(sender, target, serve=serve, config=config, keys=folder)
    _run(send_command(sender, target, command_type, value, timeout, wait, tcp))


@app.command()
def tail(
    process: Annotated[list[str] | None, typer.Argument(help="Only of these processes.")] = None,
    duration: Annotated[float | None, typer.Option(min=0.0, help="Seconds; without it until Ctrl-C.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
    peer: Annotated[
        list[str] | None, typer.Option(help="NAME=tcp://HOST:PORT, of a process on another host; may be repeated.")
    ] = None,
    watcher: Annotated[str, typer.Option("--as", help="Whose key to show over tcp.")] = "operator",
    config: TcpConfig = None,
    folder: Keys = None,
    root: Root = None,
) -> None:
    """Show every command of the processes under a root as it is sent, received and ended; without payloads.

    Of processes that serve their commands over tcp (docs/tcp.md) too, where a config or --peer says so.
    """
    configure_logging("WARNING" if peer or config else "ERROR")
    from hftpy.cli.commands import tail as tail_commands
    from hftpy.cli.reach import watched_endpoints

    tcp, peers = watched_endpoints(watcher, process or [], peers=peer or [], config=config, keys=folder)
    try:
        use_root(root)
        here = get_root()
    except RootError:
        if root is not None or tcp is None:
            raise
        here = None  # those on other hosts are all that there is
    _run(tail_commands(here, process or [], duration, as_json, tcp, peers))


keys = typer.Typer(help="Keys of processes that meet over tcp (docs/tcp.md).", no_args_is_help=True)
app.add_typer(keys, name="keys")

Name = Annotated[str, typer.Argument(help="The process.")]
Folder = Annotated[Path | None, typer.Option(help="Of the keys (default: $HFT_KEYS, or hft/keys in ~/.config).")]


@keys.command("new")
def keys_new(
    name: Name,
    folder: Folder = None,
    replace: Annotated[bool, typer.Option("--replace", help="Instead of the pair that there is.")] = False,
) -> None:
    """Make the key pair of a process; prints its public key alone."""
    from hftpy.cli.keys import new

    new(name, folder, replace, sys.stdout)


@keys.command("add")
def keys_add(
    name: Name,
    key: Annotated[str | None, typer.Argument(help="Its public key (behind --), or its file.")] = None,
    folder: Folder = None,
) -> None:
    """Let a peer be known by its public key: it may connect, and be connected to."""
    from hftpy.cli.keys import add

    add(name, key, folder, sys.stdout)


@keys.command("remove")
def keys_remove(name: Name, folder: Folder = None) -> None:
    """Let a peer be known no more: its connections are cut."""
    from hftpy.cli.keys import remove

    remove(name, folder, sys.stdout)


@keys.command("show")
def keys_show(folder: Folder = None, as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """List our key pairs and the peers that are known, with their public keys."""
    from hftpy.cli.keys import show

    show(folder, as_json, sys.stdout)


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
