"""The workflows are well-formed and cover what is promised: Pythons, platforms, minimal rights, pinned actions."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]


def read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())
    return document


def steps(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in document["jobs"].values() for step in job["steps"]]


def commands(document: dict[str, Any]) -> str:
    return "\n".join(step["run"] for step in steps(document) if "run" in step)


def test_both_are_there():
    assert [path.name for path in WORKFLOWS] == ["ci.yml", "wheels.yml"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_rights_are_minimal_and_runs_are_bounded(path):
    document = read(path.name)
    assert document["permissions"] == {"contents": "read"}
    assert "group" in document["concurrency"] and "cancel-in-progress" in document["concurrency"]
    # YAML 1.1 reads the key `on` as true.
    assert set(document[True]) >= {"pull_request", "workflow_dispatch"}
    for name, job in document["jobs"].items():
        assert 0 < job["timeout-minutes"] <= 180, name
        assert "permissions" not in job
    for step in steps(document):
        if str(step.get("uses", "")).startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_to_one_version(path):
    used = [step["uses"] for step in steps(read(path.name)) if "uses" in step]
    assert used
    for action in used:
        assert re.fullmatch(r"(actions|pypa)/[a-z-]+@v\d+\.\d+\.\d+", action), action


def test_no_text_of_strangers_reaches_a_shell():
    for path in WORKFLOWS:
        assert "${{" not in commands(read(path.name)), path.name


def test_ci_runs_tests_and_lint_on_every_python():
    document = read("ci.yml")
    job = document["jobs"]["test"]
    assert job["strategy"]["matrix"]["python"] == PYTHONS
    said = commands({"jobs": {"test": job}})
    assert "make test" in said and "make lint" in said
    targets = set(re.findall(r"make ([a-z-]+)", commands(document)))
    makefile = (ROOT / "Makefile").read_text()
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"


def test_wheels_are_built_for_every_python_and_platform():
    document = read("wheels.yml")
    entries = document["jobs"]["wheels"]["strategy"]["matrix"]["include"]
    platforms = {entry["platform"] for entry in entries}
    assert platforms >= {
        "manylinux_x86_64", "manylinux_aarch64", "musllinux_x86_64", "musllinux_aarch64", "macosx_x86_64",
        "macosx_arm64",
    }  # fmt: skip
    for entry in entries:
        assert entry["platform"].endswith(entry["arch"])
        assert ("arm" in entry["runner"] or entry["runner"] == "macos-15") == (entry["arch"] in ("aarch64", "arm64"))
    (built,) = [step for step in steps(document) if str(step.get("uses", "")).startswith("pypa/cibuildwheel@")]
    selected = built["env"]["CIBW_BUILD"].split()
    assert [part for part in selected if part.startswith("cp")] == [f"cp{v.replace('.', '')}-${{{{" for v in PYTHONS]
    assert "--sdist" in commands(document)
    artifacts = [step["with"]["name"] for step in steps(document) if "upload-artifact" in str(step.get("uses"))]
    assert len(artifacts) == len(set(artifacts)) == 2


def test_the_wheels_are_tested_where_they_are_built():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    settings = project["tool"]["cibuildwheel"]
    assert settings["build"] == [f"cp{v.replace('.', '')}-*" for v in PYTHONS]
    assert "not native" in settings["test-command"] and "{project}/tests" in settings["test-command"]
    assert set(settings["test-extras"]) <= set(project["project"]["optional-dependencies"])
    assert set(settings["linux"]["archs"]) == {"x86_64", "aarch64"}
    assert set(settings["macos"]["archs"]) == {"x86_64", "arm64"}
    assert settings["macos"]["test-environment"] == {"TMPDIR": "/tmp"}
    assert project["project"]["requires-python"] == ">=3.11"


def test_x86_instructions_are_asked_for_only_where_they_are():
    for path in sorted((ROOT / "hftcore" / "include").rglob("*.hpp")):
        depth = 0
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if re.match(r"\s*#\s*if", line):
                depth += 1 if depth or re.search(r"__SSE2__|__x86_64__|__i386__", line) else 0
            elif re.match(r"\s*#\s*endif", line):
                depth = max(0, depth - 1)
            elif re.search(r"\b_mm\d*_|__m128i|[a-z]mmintrin\.h|__builtin_ia32|_rdtsc", line.partition("//")[0]):
                assert depth, f"{path.name}:{number}: no #if around {line.strip()}"


def test_linux_calls_stand_behind_a_condition():
    for path in sorted((ROOT / "hftcore" / "include").rglob("*.hpp")):
        text = path.read_text()
        for header in ("sys/eventfd.h", "linux/", "sys/prctl.h", "sys/vfs.h", "sys/syscall.h"):
            if f"<{header}" in text:
                before = text[: text.index(f"<{header}")]
                assert "__linux__" in before or "__has_include" in before, f"{path.name} includes {header} everywhere"
