"""The workflow and the hook of `examples/ci`, run in a shell as they are, without what needs a network."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

SOURCE = Path(__file__).parents[2] / "examples" / "ci"
WORKFLOW = yaml.safe_load((SOURCE / "github-actions.yml").read_text())
SETUP = "Install"  # the one step with a command that needs a network; checkouts and uploads are `uses`


def commands(job: str) -> dict[str, str]:
    """The shell commands of a job by step, in order, without the setup."""
    steps = WORKFLOW["jobs"][job]["steps"]
    return {step["name"]: step["run"] for step in steps if "run" in step and step["name"] != SETUP}


class Project:
    """A checkout of the example."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("__pycache__"))
        tools = folder.with_name(f"{folder.name}-tools")
        tools.mkdir()
        (tools / "gh").write_text('#!/bin/sh\necho "$@" > comment.txt\n')  # stands for what talks to GitHub
        programs = Path(sys.executable).parent
        # Whatever is optimized to is a plan to replay, so that is measured briefly; replays and checks are in full.
        (tools / "fxopt").write_text(
            f'#!/bin/sh\n[ "$1" = optimize ] || exec "{programs}/fxopt" "$@"\n'
            f'PYTHONPATH="{SOURCE.parents[1]}" exec "{sys.executable}" -m benchmarks.smoke "$@"\n'
        )
        for tool in tools.iterdir():
            tool.chmod(0o755)
        path = os.pathsep.join((str(tools), str(programs), os.environ["PATH"]))
        self.env = {**os.environ, "PATH": path, "GITHUB_STEP_SUMMARY": str(folder / "summary.md"), "NUMBER": "7"}

    def shell(self, script: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]  # GitHub's `shell: bash`
        return subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False)

    def run(self, job: str) -> tuple[str, int, str]:
        """The last step that was run, its exit status, and what it said: a job ends at the first step that fails."""
        last = "", 0, ""
        for name, script in commands(job).items():
            result = self.shell(script)
            last = name, result.returncode, result.stdout + result.stderr
            if result.returncode:
                break
        return last

    def widen(self) -> None:
        """Make the model larger than its budget."""
        net = self.folder / "net.py"
        net.write_text(net.read_text().replace("WIDTH = 32", "WIDTH = 64"))


@pytest.fixture(scope="module")
def optimized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with its plan committed: what the job `optimize` leaves."""
    project = Project(tmp_path_factory.mktemp("ci") / "optimized")
    name, status, said = project.run("optimize")
    assert (name, status) == ("Say why", 0), said
    verdict = json.loads((project.folder / "out" / "ledger.json").read_text())["result"]["verdict"]
    assert verdict in (project.folder / "summary.md").read_text()
    shutil.copy(project.folder / "out" / "plan.json", project.folder)
    return project.folder


@pytest.fixture
def project(optimized: Path, tmp_path: Path) -> Project:
    found = Project(tmp_path / "project")
    shutil.copy(optimized / "plan.json", found.folder)
    return found


# -- what the files say ----------------------------------------------------------------------------------------------


def test_steps_hold_no_expressions_of_github_so_that_any_shell_can_run_them() -> None:
    for job in WORKFLOW["jobs"]:
        assert not [script for script in commands(job).values() if "${{" in script], job


def test_every_step_of_setup_is_an_action_or_is_called_install() -> None:
    for job in WORKFLOW["jobs"].values():
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            assert ("pip install" in step.get("run", "")) == (step.get("name") == SETUP)


def test_every_command_of_a_pipeline_is_shown() -> None:
    scripts = "\n".join(script for job in WORKFLOW["jobs"] for script in commands(job).values())
    for part in ("fxopt optimize", "fxopt replay", "fxopt check", "--junit", "--sarif", "fxopt diff", "--markdown"):
        assert part in scripts
    assert "--require-speedup" in scripts and "max-size" in (SOURCE / "fxopt.toml").read_text()


def test_the_page_and_the_files_name_the_same_commands() -> None:
    page = (SOURCE / "README.md").read_text()
    entry = re.search(r"entry: (.*)", page)
    assert entry is not None
    assert entry[1] in (SOURCE / "pre-commit").read_text()


# -- what they do ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.serial
def test_a_pull_request_that_keeps_the_model_passes_and_is_commented(project: Project) -> None:
    shutil.copytree(project.folder, project.folder / "base", ignore=shutil.ignore_patterns("base"))
    name, status, said = project.run("pull-request")
    assert (name, status) == ("Check", 0), said
    diff = (project.folder / "diff.md").read_text()
    assert diff.startswith("**0 rewrites gained, 0 lost")
    assert (project.folder / "summary.md").read_text() == diff
    assert (project.folder / "comment.txt").read_text().startswith("pr comment 7 --body-file diff.md")
    assert ElementTree.parse(project.folder / "check.xml").getroot().get("failures") == "0"
    assert json.loads((project.folder / "check.sarif").read_text())["runs"][0]["results"] == []

    # The budget is that of the ledger: a ledger that promises less fails the job.
    ledger = project.folder / "out" / "ledger.json"
    data: dict[str, Any] = json.loads(ledger.read_text())
    data["result"]["size_bytes"] -= 1
    ledger.write_text(json.dumps(data))
    result = project.shell(commands("pull-request")["Check"])
    assert result.returncode == 3, result.stdout + result.stderr
    suite = ElementTree.parse(project.folder / "check.xml").getroot()[0]
    assert [case.get("name") for case in suite if case.find("failure") is not None] == ["size"]
    (failure,) = json.loads((project.folder / "check.sarif").read_text())["runs"][0]["results"]
    assert failure["ruleId"] == "size"


@pytest.mark.slow
@pytest.mark.serial
def test_a_pull_request_whose_plan_is_for_another_graph_fails_at_once(project: Project) -> None:
    project.widen()
    name, status, said = project.run("pull-request")
    assert (name, status) == ("Build the model of the pull request", 2)
    assert "this plan is for another graph: the first node that differs is" in said


@pytest.mark.slow
@pytest.mark.serial
def test_a_model_over_the_budget_fails_the_job(project: Project) -> None:
    project.widen()
    name, status, said = project.run("optimize")
    assert (name, status) == ("Optimize within the budget", 3), said
    assert "--max-size 100000 bytes cannot be met" in said


@pytest.mark.slow
@pytest.mark.serial
def test_each_night_the_plan_is_replayed_over_new_weights(project: Project) -> None:
    name, status, said = project.run("nightly")
    assert (name, status) == ("Check", 0), said
    replayed = json.loads((project.folder / "out" / "ledger.json").read_text())["replay"]
    assert replayed["new_weights"]
    assert replayed["replayed"] == replayed["steps"]


@pytest.mark.slow
@pytest.mark.serial
def test_the_hook_refuses_a_commit_of_a_model_that_its_plan_does_not_fit(project: Project) -> None:
    identity = "-c user.name=A -c user.email=a@example.org"
    commit = f"git add -A && git {identity} commit --quiet -m one"
    shutil.copy(project.folder / "fxopt.toml", project.folder / "other.toml")
    assert project.shell(f"git init --quiet && {commit} && cp pre-commit .git/hooks/").returncode == 0
    (project.folder / "other.toml").unlink()
    assert project.shell(commit).returncode == 0, "what is no model is not looked at"
    assert not (project.folder / "build").exists()
    project.widen()
    result = project.shell(commit)
    assert result.returncode == 1
    assert "not committed: optimize anew" in result.stderr
    assert "another graph" in result.stderr
