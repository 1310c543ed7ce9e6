"""Build a wheel for every CPython that is found, and test each where there is no compiler (`make wheels`).

    python tests/check_wheels.py [--python VERSION]... [-- PYTEST ARGUMENT...]

For each interpreter of 3.11 or later (on PATH, in pyenv's folder, or named by HFTPY_PYTHONS, separated by colons): an
isolated build of sdist and wheel, a fresh virtual environment with the wheel and its dependencies, and in it all tests
that need no compiler, with a PATH on which there is none. Exit 1 if any of it fails.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "wheels"
COMPILERS = re.compile(r"(.*-)?(cc|c\+\+|gcc|g\+\+|cpp|clang|clang\+\+|c89|c99|tcc|ld|as)(-?[\d.]+)?")
MADE = shutil.ignore_patterns(
    ".git", ".venv", "build", "dist", "*.egg-info", "*.so", "__pycache__", ".*_cache", ".hypothesis", "results"
)


def version_of(python: Path) -> str | None:
    """ "3.12", or None where it is no CPython that we support."""
    code = "import sys; print(sys.implementation.name, *sys.version_info[:2])"
    done = subprocess.run([str(python), "-I", "-c", code], capture_output=True, text=True, check=False)
    match = re.fullmatch(r"cpython (\d+) (\d+)\s*", done.stdout)
    if done.returncode or match is None or (int(match[1]), int(match[2])) < (3, 11):
        return None
    return f"{match[1]}.{match[2]}"


def interpreters() -> dict[str, Path]:
    """One interpreter for each version, in order."""
    named = [Path(part) for part in os.environ.get("HFTPY_PYTHONS", "").split(":") if part]
    on_path = [Path(found) for minor in range(11, 20) if (found := shutil.which(f"python3.{minor}"))]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [*named, Path(sys.executable), *on_path, *sorted(pyenv.glob("versions/3.*/bin/python3"))]
    found: dict[str, Path] = {}
    for python in candidates:
        version = version_of(python) if python.exists() else None
        if version is not None:
            found.setdefault(version, python)
    return dict(sorted(found.items(), key=lambda item: [int(part) for part in item[0].split(".")]))


def path_without_compilers(folder: Path) -> str:
    """A folder that links to every program on PATH but compilers."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for part in os.environ.get("PATH", "").split(os.pathsep):
        if not Path(part).is_dir():
            continue
        for program in Path(part).iterdir():
            link = folder / program.name
            if not COMPILERS.fullmatch(program.name) and not link.is_symlink():
                link.symlink_to(program)
    return str(folder)


def run(*command: str | Path, **options) -> None:  # type: ignore[no-untyped-def]
    print("+", *command, flush=True)
    subprocess.run([str(part) for part in command], check=True, **options)


def check(version: str, python: Path, arguments: list[str]) -> None:
    folder = WORK / version
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copytree(ROOT, folder / "tree", ignore=MADE)
    run(python, "-m", "venv", folder / "builder")
    run(folder / "builder/bin/python", "-m", "pip", "install", "--quiet", "build")
    run(folder / "builder/bin/python", "-m", "build", "--outdir", folder / "dist", folder / "tree")
    (wheel,) = (folder / "dist").glob("*.whl")
    run(python, "-m", "venv", folder / "tester")
    run(folder / "tester/bin/python", "-m", "pip", "install", "--quiet", "--only-binary", ":all:", f"{wheel}[test]")
    empty = folder / "empty"
    empty.mkdir()
    ours = ("CXX", "CC", "PYTHONPATH", "VIRTUAL_ENV")
    environment = {key: value for key, value in os.environ.items() if key not in ours}
    environment["PATH"] = os.pathsep.join([str(folder / "tester/bin"), path_without_compilers(folder / "programs")])
    # The interpreter itself would put the folder it runs in first on its path: run in an empty one.
    run(
        folder / "tester/bin/pytest", "-c", folder / "tree/pyproject.toml", "--rootdir", folder / "tree", "-q",
        "-p", "no:cacheprovider", "-m", "not native", *arguments, folder / "tree/tests", cwd=empty, env=environment,
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description="Build and test the wheels of all interpreters that are found.")
    parser.add_argument("--python", action="append", metavar="VERSION", help="only this one, as in 3.12")
    parser.add_argument("arguments", nargs="*", help="for pytest, after --")
    options = parser.parse_args()
    found = interpreters()
    wanted = {version: path for version, path in found.items() if not options.python or version in options.python}
    print("found:", ", ".join(f"{version} ({path})" for version, path in found.items()))
    failed = []
    for version, python in wanted.items():
        begun = time.monotonic()
        try:
            check(version, python, options.arguments)
        except subprocess.CalledProcessError as error:
            print(f"{version}: {error}")
            failed.append(version)
        else:
            print(f"{version}: passed in {time.monotonic() - begun:.0f} s", flush=True)
    print(f"wheels: {', '.join(wanted) or 'none'}; failed: {', '.join(failed) or 'none'}")
    return 1 if failed or not wanted else 0


if __name__ == "__main__":
    sys.exit(main())
