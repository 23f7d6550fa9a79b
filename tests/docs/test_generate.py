"""The generator of the reference pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import fxopt
from docs import generate
from docs.generate import document, options, plugin_page, signature
from fxopt.contracts.options import Configurable


@dataclass(frozen=True)
class Example(Configurable):
    """Rewrites what is there.

    Only where it pays.

    Attributes:
        grid: channels
            a step.
    """

    name: ClassVar[str] = "example"
    grid: int = field(default=16, metadata={"help": "channels a step"})
    always: bool = False


@dataclass(frozen=True)
class Plain(Configurable):
    """Has no options."""

    name: ClassVar[str] = "a_plain_one"


def hook(first: int, rest: list[str]) -> None:
    """A hook."""


def test_lists_options_with_type_default_and_meaning() -> None:
    assert options(Example).splitlines()[2:] == [
        "| `grid` | `int` | `16` | channels a step |",
        "| `always` | `bool` | `false` |  |",
    ]


def test_a_page_is_sorted_by_name_and_leaves_the_attributes_to_the_table() -> None:
    page = plugin_page("Title", "Lead.", [Example, Plain])
    assert page.index("## a_plain_one\n\nHas no options.") < page.index("## example\n\nRewrites what is there.")
    assert "Only where it pays." in page
    assert "Attributes" not in page


def test_sections_of_a_docstring_become_lists() -> None:
    assert document(Example).endswith("**Attributes**\n\n- `grid`: channels\n  a step.")


def test_a_signature_stands_as_in_the_source() -> None:
    assert signature(hook) == "def hook(first: int, rest: list[str]) -> None: ..."


def test_the_page_of_types_has_every_public_class_with_its_fields_and_methods() -> None:
    page = generate.types_page()
    classes = [name for name in fxopt.__all__ if isinstance(getattr(fxopt, name), type)]
    missing = [name for name in classes if f"\n### {name}\n" not in page]
    assert missing == ["Result", "Registry"]  # of the run and of the compiler: nothing that a plugin is given
    assert "    fidelity: Fidelity = Fidelity.EXACT" in page
    assert "@classmethod\ndef from_json(cls, data: Mapping[str, Any]) -> Self: ..." in page
