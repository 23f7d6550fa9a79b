"""The checks of `fxopt check` in the forms that CI systems read: JUnit's XML, and SARIF 2.1.0 (OASIS standard, 2020)."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from xml.etree import ElementTree

from fxopt import __version__

if TYPE_CHECKING:
    from fxopt.compiler.check import Check

MEANING = {
    "latency": "The latency ratio to the baseline stays within the ledger's interval.",
    "size": "The artifact is no larger than the ledger says.",
    "outputs": "The outputs are those of the baseline.",
    "quality": "The quality is within the limit that the ledger records.",
    "model": "The artifact runs on its engine.",
}
HELP = "fxopt explain says what was done to the model, fxopt diff what differs from an earlier result."
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # what XML 1.0 cannot hold


def junit(checks: Iterable[Check], out: Path) -> str:
    """One test case a check; `out` names the suite."""
    checks = list(checks)
    failures = str(sum(not check.ok for check in checks))
    counts = {"tests": str(len(checks)), "failures": failures, "errors": "0"}
    suites = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(suites, "testsuite", {"name": _clean(f"fxopt check {out}"), **counts})
    for check in checks:
        case = ElementTree.SubElement(suite, "testcase", {"classname": "fxopt.check", "name": check.name})
        text = _clean(check.text)
        if check.ok:
            ElementTree.SubElement(case, "system-out").text = text
        else:
            ElementTree.SubElement(case, "failure", {"type": check.name, "message": text}).text = text
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=False) + "\n"


def sarif(checks: Iterable[Check], out: Path) -> str:
    """One result a failed check, placed at the ledger in `out` that it breaks; with what GitHub asks for beside the standard."""
    checks = list(checks)
    rules = [_rule(check.name) for check in checks]
    ledger = out / "ledger.json"
    uri = ledger.as_uri() if ledger.is_absolute() else quote(os.fsencode(ledger.as_posix()))
    place = {"artifactLocation": {"uri": uri}, "region": {"startLine": 1}}
    results: list[dict[str, Any]] = [
        {
            "ruleId": check.name,
            "ruleIndex": index,
            "level": "error",
            "message": {"text": check.text},
            "locations": [{"physicalLocation": place}],
            "partialFingerprints": {"primaryLocationLineHash": sha256(f"{uri} {check.name}".encode()).hexdigest()[:16]},
        }
        for index, check in enumerate(checks)
        if not check.ok
    ]
    run = {"tool": {"driver": {"name": "fxopt", "version": __version__, "rules": rules}}, "results": results}
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _rule(name: str) -> dict[str, Any]:
    text = {"text": MEANING.get(name, name)}
    return {"id": name, "shortDescription": text, "fullDescription": text, "help": {"text": HELP}}


def _clean(text: str) -> str:
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
