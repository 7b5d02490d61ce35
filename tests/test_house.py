"""The house rules that a machine can check: lint, format, types, layers, and what may be committed."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOLS = {
    "ruff finds nothing": ["ruff", "check", "--no-cache", "."],
    "the code is formatted": ["ruff", "format", "--no-cache", "--check", "."],
    "mypy --strict finds nothing": ["mypy"],
    "arrows point down only": ["importlinter.cli", "lint_imports_command"],
}


@pytest.mark.parametrize("claim", TOOLS)
def test_house_rule(claim: str) -> None:
    """Lint, format, types and layers hold for the whole tree."""
    tool, *arguments = TOOLS[claim]
    if tool == "importlinter.cli":
        command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"]
    else:
        command = [sys.executable, "-m", tool, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_top_level_names() -> None:
    """The top level holds the agreed names, dotfiles and dotfolders such as .github, nothing else."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    agreed = {"pyproject.toml", "README.md", "syncer", "migrations", "tests", "alembic.ini", "LICENSE", "CHANGELOG.md"}
    top = {name.split("/")[0] for name in listed.stdout.splitlines()}
    assert {name for name in top if not name.startswith(".")} <= agreed


def test_the_workflow_is_what_ci_runs() -> None:
    """The workflow runs `.ci/run` and installs, tests and checks nothing by itself."""
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    steps = [line.split("run:")[1].strip() for line in workflow.splitlines() if line.lstrip("- ").startswith("run: ")]
    assert [step.split()[-1] for step in steps] == [".ci/run"]


def test_no_lock_file_and_no_registry_host() -> None:
    """No lock file and no package registry's host name is committed."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    names = listed.stdout.splitlines()
    assert not {"uv.lock", "pylock.toml"} & {Path(name).name for name in names}
    hosts = ("pypi" + ".org", "python" + "hosted.org", "npm" + "js.org")
    for name in names:
        content = (ROOT / name).read_bytes()
        assert not [host for host in hosts if host.encode() in content], name
