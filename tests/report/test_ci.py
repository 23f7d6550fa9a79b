"""Checks as CI systems read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from fxopt import __version__
from fxopt.compiler.check import Check
from fxopt.report import ci

CHECKS = (
    Check("latency", False, "1.100 of the baseline's; the ledger says <0.900> & \x1b[1mless"),
    Check("size", True, "5 bytes"),
    Check("outputs", False, "differ"),
)


def test_junit_has_one_test_case_a_check_and_counts_them() -> None:
    suites = ElementTree.fromstring(ci.junit(CHECKS, Path("out")))
    (suite,) = suites
    for element in (suites, suite):
        assert [element.get(key) for key in ("tests", "failures", "errors")] == ["3", "2", "0"]
    assert suite.get("name") == "fxopt check out"
    assert [case.get("name") for case in suite.iter("testcase")] == ["latency", "size", "outputs"]
    failure = suite[0].find("failure")
    assert failure is not None
    assert failure.get("message") == failure.text == "1.100 of the baseline's; the ledger says <0.900> & \ufffd[1mless"
    assert suite[1].find("failure") is None
    assert suite[1].findtext("system-out") == "5 bytes"


# What Jenkins' schema of JUnit's XML (junit-10.xsd) allows: attributes, the required ones marked, and children.
JUNIT = {
    "testsuites": ({"name", "time", "tests", "failures", "disabled", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name!", "tests!", "failures", "errors", "time", "disabled", "skipped", "timestamp", "hostname", "id", "package"},
        {"properties", "testcase", "system-out", "system-err"},
    ),
    "testcase": (
        {"name!", "assertions", "time", "classname", "status"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "failure": ({"type", "message"}, set()),
    "system-out": (set(), set()),
}  # fmt: skip


def test_junit_keeps_to_its_schema() -> None:
    text = ci.junit((*CHECKS, Check("size", False, "\udcff\x00\uffff\N{GREEK SMALL LETTER MU}s")), Path("out \udcff"))
    for element in ElementTree.fromstring(text.encode()).iter():
        attributes, children = JUNIT[element.tag]
        assert {name.rstrip("!") for name in attributes} >= set(element.keys())
        assert {name.rstrip("!") for name in attributes if name.endswith("!")} <= set(element.keys())
        assert {child.tag for child in element} <= children


def sarif(out: Path) -> dict[str, Any]:
    data = json.loads(ci.sarif(CHECKS, out))
    assert (data["version"], len(data["runs"])) == ("2.1.0", 1)
    found: dict[str, Any] = data["runs"][0]
    return found


def test_sarif_has_one_result_a_failed_check_with_its_rule() -> None:
    run = sarif(Path("out"))
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("fxopt", __version__)
    assert all(rule["shortDescription"]["text"] == ci.MEANING[rule["id"]] for rule in driver["rules"])
    assert [result["ruleId"] for result in run["results"]] == ["latency", "outputs"]
    for result in run["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] == "error"
    assert run["results"][0]["message"]["text"] == CHECKS[0].text


@pytest.mark.parametrize(
    ("out", "uri"),
    [
        ("an out/1", "an%20out/1/ledger.json"),
        ("/a b/out", "file:///a%20b/out/ledger.json"),
        ("a\udcff", "a%FF/ledger.json"),
    ],
)
def test_sarif_places_results_at_the_ledger(out: str, uri: str) -> None:
    location = sarif(Path(out))["results"][0]["locations"][0]["physicalLocation"]
    assert location == {"artifactLocation": {"uri": uri}, "region": {"startLine": 1}}


def test_sarif_has_what_github_shows_and_tracks_alerts_by() -> None:
    # docs.github.com, "SARIF support for code scanning": properties called required there, beside those of the standard.
    run = sarif(Path("out"))
    for rule in run["tool"]["driver"]["rules"]:
        assert rule["id"]
        assert all(rule[key]["text"] for key in ("shortDescription", "fullDescription", "help"))
    prints = [result["partialFingerprints"]["primaryLocationLineHash"] for result in run["results"]]
    assert len(set(prints)) == 2
    again = json.loads(ci.sarif((Check("latency", False, "1.200 of it"),), Path("out")))["runs"][0]["results"][0]
    assert again["partialFingerprints"]["primaryLocationLineHash"] == prints[0], "other figures are no other alert"


def test_without_a_failed_check_sarif_has_no_result() -> None:
    assert json.loads(ci.sarif(CHECKS[1:2], Path("out")))["runs"][0]["results"] == []
