"""All frames of all venues read the same on every implementation of simdjson that this machine can run.

simdjson chooses one when it is first used, so each runs in a process of its own. What is compared is all that a parser
says of a frame, but for one thing: which of several faults of a text that is no JSON they find first differs.
"""

import hashlib
import importlib.util
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# As simdjson names them; those of other processors are not compiled in.
IMPLEMENTATIONS = ("icelake", "haswell", "westmere", "arm64", "ppc64", "lsx", "lasx", "rvv-vls", "fallback")
NO_JSON = ("a frame must be valid JSON (", "a frame must end with its JSON value", "a frame must nest at most")
FRAMES = Path(__file__).parents[1] / "reference" / "parse_frames.py"
# What only the bytes' own reader can tell apart: encodings, escapes, block borders of 64 bytes, depth.
HOSTILE = [
    *(b'{"pad":"%s","e":"%s"}' % (b"x" * size, text) for size in range(40, 72) for text in (
        b"\xc3\xa9", b"\xc3", b"\xe5\xb8\x81", b"\xe5\xb8", b"\xed\xa0\x80", b"\xf0\x9f\x92\xa9", b"\xf4\x90\x80\x80",
        b"\xc0\x80", b"\xff", b'\\"', b"\\\\", b"\\", b"\\u00e9", b"\\ud83d\\udca9", b"\\ud83d", b"\\x", b"\t", b"\x00",
    )),
    *(b"[" * depth + b"]" * depth for depth in (1, 63, 64, 65, 1025)),
    *(b" " * size + b'{"e":1}' + b"\n" * size for size in (1, 63, 64, 65, 200)),
    *(b'{"e":%s}' % b",".join([b'"a"'] * size) for size in (1, 2)),
    b"", b"\xef\xbb\xbf{}", b'{"a":1}}', b'{"a" 1}', b'{"a":1 "b":2}', b"[1,,2]", b'"', b'{"a":"', b"\\", b'{"a":tru}',
]  # fmt: skip


def every_frame() -> Iterator[tuple[str, bytes]]:
    spec = importlib.util.spec_from_file_location("parse_frames", FRAMES)
    assert spec is not None and spec.loader is not None
    frames = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(frames)
    for venue in frames.EVENTS:
        for frame in frames.EVENTS[venue] + frames.CONTROL[venue] + frames.OTHER[venue]:
            yield venue, frame
            for at in range(len(frame)):
                yield venue, frame[:at]
                for byte in b'"\\{\xc3':
                    yield venue, frame[:at] + bytes([byte]) + frame[at + 1 :]
        for frame in HOSTILE:
            yield venue, frame


def read_all() -> dict[str, object]:
    """Run in the process that an implementation was chosen for: a digest per venue of all that its parser says."""
    from hftcore.errors import ParseError
    from hftcore.parse import Parser

    folder = os.environ.get("HFTPY_FIXTURES")
    digests = {}
    parsers = {}
    refused = count = 0
    for venue, frame in [*every_frame(), *(recorded(Path(folder) / "real") if folder else ())]:
        if venue not in parsers:
            parsers[venue], digests[venue] = Parser(venue, templates=False), hashlib.sha256()
        parser = parsers[venue]
        try:
            events = parser.parse(frame)
            said = repr((parser.kind, parser.nativeSymbols)).encode() + b"".join(event.to_bytes() for event in events)
        except ParseError as error:
            refused += 1
            said = b"no JSON" if str(error).startswith(NO_JSON) else str(error).encode()
        count += 1
        digests[venue].update(b"%d %s" % (len(said), said))
    return {
        "digests": {venue: digest.hexdigest() for venue, digest in digests.items()},
        "refused": refused,
        "count": count,
    }


def recorded(folder: Path) -> Iterator[tuple[str, bytes]]:
    venues = {
        "binance_spot": "binance", "binance_us": "binance", "binance_usdm": "binance_future",
        "binance_coinm": "binance_future", "coinbase": "coinbase", "kraken": "kraken",
        "kraken_futures": "kraken_future", "okx_common": "okx", "okx_other": "okx_swap", "okx_spot": "okx",
        "okx_swap": "okx_swap",
    }  # fmt: skip
    for name, venue in venues.items():
        for path in sorted((folder / name).glob("*.jsonl")):
            if "rest_" not in path.name and path.name != "EXPECTED.jsonl":
                for frame in path.read_bytes().splitlines()[:300]:
                    yield venue, frame


def run(implementation: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, __file__],
        env=os.environ | {"SIMDJSON_FORCE_IMPLEMENTATION": implementation},
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_every_implementation_reads_the_same() -> None:
    # One that does not exist refuses every frame: the variable is obeyed.
    missing = run("no such one")
    assert missing.returncode == 0, missing.stderr
    refusal = json.loads(missing.stdout)
    if platform.machine() in ("aarch64", "arm64") and refusal["refused"] < 0.95 * refusal["count"]:
        pytest.skip("simdjson has one implementation for this processor, and asks for no name")
    assert refusal["refused"] > 0.99 * refusal["count"] - 1000
    results = {}
    for implementation in IMPLEMENTATIONS:
        result = run(implementation)
        if result.returncode == -signal.SIGILL:
            continue  # compiled in, but not for this processor
        assert result.returncode == 0, (implementation, result.stderr)
        said = json.loads(result.stdout)
        if said["digests"] != refusal["digests"]:
            results[implementation] = said
    assert "fallback" in results
    if len(results) == 1:
        pytest.skip("this machine runs no other implementation than fallback")
    reference = results["fallback"]
    assert 0.05 < reference["refused"] / reference["count"] < 0.95
    for implementation, said in results.items():
        assert said == reference, implementation


if __name__ == "__main__":
    print(json.dumps(read_all()))
