"""fxopt.toml: a project's settings, which stand for the flags of `fxopt optimize` that are not typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from fxopt.errors import InputError

FILE, TABLE = "fxopt.toml", "optimize"
# Of one run, or a risk to take knowingly.
_TYPED_ONLY = ("weights", "trust-pickle", "resume", "dry-run", "json", "out", "no-settings")
_DATA = ("calib", "eval", "train", "metric")


def find(model: str) -> Path | None:
    """The settings that a model is under: beside its file, or its factory's, or else in the current folder."""
    from fxopt.user_code import is_reference

    sources = [Path(model)]
    if is_reference(model):
        module = Path(*model.partition(":")[0].split("."))
        sources = [module.with_suffix(".py"), module / "__init__.py"]
    folders = [source.parent for source in sources if source.exists()]
    return next((file for folder in (*folders, Path()) if (file := folder / FILE).is_file()), None)


def apply(context: click.Context, file: Path, flags: dict[str, Any]) -> list[str]:
    """Put the settings in `file` in the place of flags that were not typed.

    Args:
        context: of the command, parsed.
        file: an fxopt.toml.
        flags: the command's flags by name; changed in place.

    Returns:
        The settings that were taken, as flags are typed.

    Raises:
        InputError: the file is no TOML, or holds a setting or a value that the command does not take.
    """
    params = {max(param.opts, key=len).lstrip("-"): param for param in context.command.params}
    params = {key: param for key, param in params.items() if isinstance(param, click.Option)}
    typed: list[str] = []
    for key, value in _read(file).items():
        _check_key(file, key, [name for name in params if name not in _TYPED_ONLY])
        param = params[key]
        assert isinstance(param, click.Option)
        assert param.name is not None
        if context.get_parameter_source(param.name) is not ParameterSource.DEFAULT:
            continue
        given = _given(file, key, value, param)
        try:
            flags[param.name] = param.type_cast_value(context, given)
        except click.BadParameter as error:
            raise InputError(f"{file}: {key}: {error.message}") from error
        except InputError as error:
            raise InputError(f"{file}: {error}") from error
        flag = max(param.opts, key=len)
        texts = given if isinstance(given, list) else [given]
        typed += [flag] * bool(given) if param.is_flag else [part for text in texts for part in (flag, text)]
    return typed


def _read(file: Path) -> dict[str, Any]:
    """The table of settings."""
    import tomllib

    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{file}: not TOML: {error}") from error
    for name, table in data.items():
        if name != TABLE or not isinstance(table, dict):
            raise InputError(f"{file}: {name} is no table of settings; write them under [{TABLE}]")
    settings: dict[str, Any] = data.get(TABLE, {})
    return settings


def _check_key(file: Path, key: str, known: list[str]) -> None:
    from fxopt.contracts.options import suggest

    if key in _TYPED_ONLY:
        raise InputError(f"{file}: {key} is no setting: give it on the command line")
    if key not in known:
        raise InputError(f"{file}: unknown setting {key!r}{suggest(key, known)}")


def _given(file: Path, key: str, value: Any, param: click.Option) -> Any:
    """A value as it would have been typed: a text, a list of texts where the flag is repeatable, or a bool."""
    if param.is_flag:
        if not isinstance(value, bool):
            raise InputError(f"{file}: {key}: give true or false, not {value!r}")
        return value
    texts = [_text(file, key, item) for item in (value if isinstance(value, list) else [value])]
    if param.multiple:
        return texts
    if isinstance(value, list) and key != "passes":
        raise InputError(f"{file}: {key}: give one value, not a list")
    return ",".join(texts)


def _text(file: Path, key: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise InputError(f"{file}: {key}: give a text or a number, not {value!r}")
    return _data(file, key, str(value)) if key in _DATA else str(value)


def _data(file: Path, key: str, text: str) -> str:
    """Files are relative to the settings. Code is named only by settings of the current folder: a model brings none along."""
    from fxopt.user_code import is_reference

    if (file.parent / text).exists() or (key != "metric" and not is_reference(text)):
        return str(file.parent / text)
    if is_reference(text) and file.parent.resolve() != Path.cwd().resolve():
        raise InputError(f"{file}: {key}: {text} would run code that came with the model; give it on the command line")
    return text
