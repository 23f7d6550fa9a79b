"""Keeps torch's own chatter out of fxopt's output; what matters in it comes as exceptions."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """No warnings, and nothing from these loggers, whose messages sometimes even fail to format."""
    before = {name: logging.getLogger(name).level for name in loggers}
    try:
        for name in before:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
