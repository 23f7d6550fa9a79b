"""The registry: which plugins are there, what each brings, and objects from their textual specs.

An object, not a global. Importing it costs no torch; plugin modules are imported when a registry is loaded.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from importlib import metadata
from typing import TYPE_CHECKING, Any, cast

import pluggy

from fxopt import hookspecs
from fxopt.contracts.candidate import Stage
from fxopt.contracts.options import Configurable, split_pipeline, split_spec, suggest
from fxopt.errors import InputError, PluginError
from fxopt.user_code import is_reference, one_line, raised

if TYPE_CHECKING:
    from fxopt.contracts.engine import Engine
    from fxopt.contracts.executor import Executor
    from fxopt.contracts.frontend import Frontend
    from fxopt.contracts.metric import Metric
    from fxopt.contracts.passes import Pass
    from fxopt.contracts.planner import Planner
    from fxopt.contracts.target import Target

GROUP = "fxopt"
_SINGULAR = {
    "passes": "pass",
    "targets": "target",
    "engines": "engine",
    "planners": "planner",
    "frontends": "frontend",
    "metrics": "metric",
    "executors": "executor",
}
KINDS = tuple(_SINGULAR)


@dataclass(frozen=True)
class Plugin:
    """A registered plugin: entry-point name, distribution and version, why it is out, if it is, and what it brings.

    What it brings is pairs of a kind of `KINDS` and a name, and of `"hooks"` and the name of any other hook.
    """

    name: str
    distribution: str
    version: str
    fault: str | None = None
    brings: tuple[tuple[str, str], ...] = ()


@dataclass
class Registry:
    """What is registered. Mappings are from name to class, in order of registration.

    Attributes:
        plugins: all plugins found, those at fault included.
        without: names of plugins that were left out on request.
        owners: distribution by (kind, name).
    """

    passes: dict[str, type[Pass]] = field(default_factory=dict)
    targets: dict[str, type[Target]] = field(default_factory=dict)
    engines: dict[str, type[Engine]] = field(default_factory=dict)
    planners: dict[str, type[Planner]] = field(default_factory=dict)
    frontends: dict[str, type[Frontend]] = field(default_factory=dict)
    metrics: dict[str, type[Metric]] = field(default_factory=dict)
    executors: dict[str, type[Executor]] = field(default_factory=dict)
    plugins: list[Plugin] = field(default_factory=list)
    without: frozenset[str] = frozenset()
    owners: dict[tuple[str, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._manager = pluggy.PluginManager("fxopt")
        self._manager.add_hookspecs(hookspecs)

    @classmethod
    def load(cls, without: Iterable[str] = ()) -> Registry:
        """A registry of all installed plugins but those named in `without`.

        A plugin that fails to import, misspells a hook or takes a name that is taken is left out; `plugins` says why.

        Raises:
            InputError: a name in `without` is no plugin.
        """
        registry = cls(without=frozenset(without))
        entries = _entries()
        unknown = registry.without - {entry.name for entry in entries}
        if unknown:
            name = sorted(unknown)[0]
            raise InputError(f"-p no:{name}: there is no such plugin{suggest(name, [entry.name for entry in entries])}")
        for entry in entries:
            if entry.name in registry.without:
                continue
            distribution = entry.dist.name if entry.dist else "unknown"
            version = entry.dist.version if entry.dist else ""
            fault = None
            brings: tuple[tuple[str, str], ...] = ()
            try:
                brings = registry.register(entry.load(), entry.name, distribution)
            except PluginError as error:
                fault = str(error)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - what a plugin does at import is its fault, not the run's
                fault = f"plugin {distribution}: {entry.value} failed to import: {type(error).__name__}: {error}"
            registry.plugins.append(Plugin(entry.name, distribution, version, fault, brings))
        return registry

    def register(self, plugin: object, name: str, distribution: str) -> tuple[tuple[str, str], ...]:
        """Register a module or object with hook implementations; what it brings, as in `Plugin`.

        Raises:
            PluginError: a hook is unknown, or a name is taken; the plugin is left out whole.
        """
        try:
            self._manager.register(plugin, name)
            self._manager.check_pending()
            brought = _brought(plugin)
            for kind, item in brought:
                if item.name in getattr(self, kind):
                    raise ValueError(f"{kind} {item.name!r} is already registered by {self.owners[kind, item.name]}")
        except (Exception, SystemExit) as error:
            self._manager.unregister(plugin)
            raise PluginError(distribution, _in_words(error)) from error
        for kind, item in brought:
            getattr(self, kind)[item.name] = item
            self.owners[kind, item.name] = distribution
        hooks = sorted(caller.name for caller in self._manager.get_hookcallers(plugin) or ())
        registration = {f"fxopt_{kind}" for kind in KINDS}
        return (
            *((kind, item.name) for kind, item in brought),
            *(("hooks", hook) for hook in hooks if hook not in registration),
        )

    def make_pass(self, spec: str) -> Pass:
        """A pass from `name{option=value}`."""
        return cast("Pass", self.make("passes", spec))

    def make_passes(self, specs: str | None) -> list[Pass]:
        """Passes from a comma-separated pipeline; all with their defaults for None. Sorted by stage, else in order."""
        names = list(self.passes) if specs is None else split_pipeline(specs)
        return sorted((self.make_pass(name) for name in names), key=lambda item: item.stage)

    def make_target(self, spec: str) -> Target:
        """A target from its spec."""
        return cast("Target", self.make("targets", spec))

    def make_engine(self, spec: str) -> Engine:
        """An engine from its spec; whether it can run here is another question."""
        return cast("Engine", self.make("engines", spec))

    @property
    def outside(self) -> set[tuple[str, str]]:
        """(kind, name) of all that installed plugins of other distributions bring."""
        others = {plugin.distribution for plugin in self.plugins} - {"fxopt"}
        return {key for key, distribution in self.owners.items() if distribution in others}

    @classmethod
    def of(cls, plugin: str) -> Registry:
        """A registry of one installed plugin, `DISTRIBUTION:NAME` as `plugin_of` gives it.

        Raises:
            PluginError: it cannot be registered.
            LookupError: it is not installed.
        """
        registry = cls()
        for entry in _entries():
            distribution = entry.dist.name if entry.dist else "unknown"
            if plugin == f"{distribution}:{entry.name}":
                registry.register(entry.load(), entry.name, distribution)
                return registry
        raise LookupError(plugin)

    def plugin_of(self, kind: str, name: str) -> str:
        """The installed plugin that brings something: `DISTRIBUTION:NAME`."""
        return next(f"{plugin.distribution}:{plugin.name}" for plugin in self.plugins if (kind, name) in plugin.brings)

    @classmethod
    def find(cls, kind: str, spec: str) -> Any:
        """An object from its spec, importing plugins only until it is found: a worker process needs no more.

        Of fxopt's own plugins, which come first, those whose entry point speaks of the kind are asked before the others,
        which decides nothing but the time it takes.
        """
        name, _ = split_spec(spec)
        hint = _SINGULAR[kind]
        for entry in sorted(_entries(), key=lambda entry: not _own(entry) or hint not in f"{entry.name} {entry.value}"):
            registry = cls()
            try:
                registry.register(entry.load(), entry.name, entry.dist.name if entry.dist else "unknown")
            except (Exception, SystemExit):  # noqa: BLE001 - a broken plugin is reported where the registry is loaded whole
                continue
            if name in getattr(registry, kind):
                return registry.make(kind, spec)
        return cls.load().make(kind, spec)

    def make_planner(self, spec: str) -> Planner:
        """A planner from its spec."""
        return cast("Planner", self.make("planners", spec))

    def make_executor(self, spec: str) -> Executor:
        """An executor from its spec."""
        return cast("Executor", self.make("executors", spec))

    def make_metric(self, spec: str) -> Metric:
        """A metric from its spec; `module:function{option=value}` is the metric `function` of that function."""
        reference, brace, rest = spec.partition("{")
        if is_reference(reference.strip()):
            spec = f"function{{of={reference.strip()}, {rest if brace else '}'}"
        return cast("Metric", self.make("metrics", spec))

    def event(self, kind: str, **data: Any) -> None:
        """Tell all listeners."""
        self._ask("fxopt_event", kind=kind, data=data)

    def veto(self, program: Any, candidate: Any) -> str | None:
        """The first reason why a candidate must not be applied, or None."""
        return next(
            (reason for reason in self._ask("fxopt_veto", program=program, candidate=candidate) if reason), None
        )

    def _ask(self, hook: str, **arguments: Any) -> list[Any]:
        """What the plugins answer. One that raises is left out from then on, and `plugins` says why."""
        answers = []
        for implementation in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            try:
                answers.append(implementation.function(*(arguments[name] for name in implementation.argnames)))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a listener that raises costs itself, not the run
                name, fault = implementation.plugin_name, f"{hook} raised {type(error).__name__}: {error}"
                self._manager.unregister(implementation.plugin)
                known = next((plugin for plugin in self.plugins if plugin.name == name), Plugin(name, "unknown", ""))
                self.plugins = [plugin for plugin in self.plugins if plugin.name != name]
                self.plugins.append(replace(known, fault=f"{known.distribution}: {fault}"))
        return answers

    def _left_out(self) -> str:
        """Plugins that might have brought what is missing."""
        parts = [f"-p no:{name} was given" for name in sorted(self.without)]
        parts += [plugin.fault for plugin in self.plugins if plugin.fault]
        return f"; {'; '.join(parts)}" if parts else ""

    def make(self, kind: str, spec: str) -> Configurable:
        """An object of a kind from its spec.

        Raises:
            InputError: the name is unknown, or an option is.
            PluginError: the class leaves abstract methods undone.
        """
        singular = _SINGULAR[kind]
        name, options = split_spec(spec)
        known: dict[str, type[Configurable]] = getattr(self, kind)
        if name not in known:
            raise InputError(f"unknown {singular} {name!r}{suggest(name, known)}{self._left_out()}")
        if inspect.isabstract(known[name]):
            raise PluginError(self.owners[kind, name], f"{singular} {name!r} leaves abstract methods undone")
        return known[name].from_options(options)


def _brought(plugin: object) -> list[tuple[str, type[Configurable]]]:
    """What a plugin's registration hooks return: kind and class.

    Raises:
        TypeError: one of them returns something else than classes.
    """
    brought: list[tuple[str, type[Configurable]]] = []
    for kind in KINDS:
        hook = getattr(plugin, f"fxopt_{kind}", None)
        for item in (hook() or ()) if hook else ():
            if fault := _unusable(kind, item):
                raise TypeError(f"fxopt_{kind} returns {one_line(repr(item))}: {fault}")
            if (kind, item.name) in {(other, known.name) for other, known in brought}:
                raise TypeError(f"fxopt_{kind} returns two of the name {item.name!r}")
            brought.append((kind, item))
    return brought


def _unusable(kind: str, item: Any) -> str | None:
    """Why something cannot be what a registration hook returns."""
    if not (isinstance(item, type) and issubclass(item, Configurable)):
        return f"it is no class of a {_SINGULAR[kind]}"
    if not isinstance(getattr(item, "name", None), str) or not re.fullmatch(r"[A-Za-z]\w*", item.name):
        return "its name has to be letters, digits and _"
    if inspect.isabstract(item):
        return f"it leaves undone: {', '.join(sorted(getattr(item, '__abstractmethods__', ())))}"
    if kind == "passes" and not isinstance(getattr(item, "stage", None), Stage):
        return "its stage is no Stage"
    try:
        item.from_options({}).spec()
    except Exception as error:  # noqa: BLE001 - a constructor may raise anything
        return f"it cannot be made with its defaults: {raised(error)}"
    return None


def _entries() -> list[metadata.EntryPoint]:
    """All entry points of plugins: fxopt's own first, then by name."""
    return sorted(metadata.entry_points(group=GROUP), key=lambda entry: (not _own(entry), entry.name))


def _own(entry: metadata.EntryPoint) -> bool:
    return entry.dist is not None and entry.dist.name == "fxopt"


def _in_words(error: BaseException) -> str:
    """Why a plugin cannot be registered."""
    if isinstance(error, pluggy.PluginValidationError) and (unknown := re.search(r"unknown hook '(\w+)'", str(error))):
        hooks = [name for name in vars(hookspecs) if name.startswith("fxopt_")]
        return f"unknown hook {unknown[1]!r}{suggest(unknown[1], hooks)}"
    return str(error) if isinstance(error, (ValueError, TypeError, pluggy.PluginValidationError)) else repr(error)
