"""The registry: which plugins are there, what each brings, and objects from their textual specs.

An object, not a global. Importing it costs no torch; plugin modules are imported when a registry is loaded.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from importlib import metadata
from typing import TYPE_CHECKING, Any, cast

import pluggy

from fxopt import hookspecs
from fxopt.contracts.options import Configurable, split_pipeline, split_spec, suggest
from fxopt.errors import InputError, PluginError
from fxopt.user_code import is_reference

if TYPE_CHECKING:
    from fxopt.contracts.engine import Engine
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
        owners: distribution by (kind, name).
    """

    passes: dict[str, type[Pass]] = field(default_factory=dict)
    targets: dict[str, type[Target]] = field(default_factory=dict)
    engines: dict[str, type[Engine]] = field(default_factory=dict)
    planners: dict[str, type[Planner]] = field(default_factory=dict)
    frontends: dict[str, type[Frontend]] = field(default_factory=dict)
    metrics: dict[str, type[Metric]] = field(default_factory=dict)
    plugins: list[Plugin] = field(default_factory=list)
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
        registry = cls()
        entries = sorted(
            metadata.entry_points(group=GROUP),
            key=lambda entry: (entry.dist is None or entry.dist.name != "fxopt", entry.name),
        )
        without = set(without)
        unknown = without - {entry.name for entry in entries}
        if unknown:
            name = sorted(unknown)[0]
            raise InputError(f"-p no:{name}: there is no such plugin{suggest(name, [entry.name for entry in entries])}")
        for entry in entries:
            if entry.name in without:
                continue
            distribution = entry.dist.name if entry.dist else "unknown"
            version = entry.dist.version if entry.dist else ""
            fault = None
            brings: tuple[tuple[str, str], ...] = ()
            try:
                brings = registry.register(entry.load(), entry.name, distribution)
            except PluginError as error:
                fault = str(error)
            except Exception as error:  # noqa: BLE001 - whatever a plugin raises at import is its fault, and the run goes on
                fault = f"plugin {distribution}: {entry.value} failed to import: {type(error).__name__}: {error}"
            registry.plugins.append(Plugin(entry.name, distribution, version, fault, brings))
        return registry

    def register(self, plugin: object, name: str, distribution: str) -> tuple[tuple[str, str], ...]:
        """Register a module or object with hook implementations; what it brings, as in `Plugin`.

        Raises:
            PluginError: a hook is unknown, or a name is taken; the plugin is left out whole.
        """
        self._manager.register(plugin, name)
        try:
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            self._manager.unregister(plugin)
            raise PluginError(distribution, str(error)) from error
        brought: list[tuple[str, type[Configurable]]] = []
        for kind in KINDS:
            hook = getattr(plugin, f"fxopt_{kind}", None)
            brought += [(kind, item) for item in (hook() if hook else ())]
        for kind, item in brought:
            if item.name in getattr(self, kind):
                self._manager.unregister(plugin)
                raise PluginError(
                    distribution, f"{kind} {item.name!r} is already registered by {self.owners[kind, item.name]}"
                )
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
    def find(cls, kind: str, spec: str) -> Any:
        """An object from its spec, importing plugins only until it is found: a worker process needs no more.

        Plugins whose entry point speaks of the kind are asked first, which decides nothing but the time it takes.
        """
        name, _ = split_spec(spec)
        entries = sorted(
            metadata.entry_points(group=GROUP), key=lambda entry: _SINGULAR[kind] not in f"{entry.name} {entry.value}"
        )
        for entry in entries:
            registry = cls()
            try:
                registry.register(entry.load(), entry.name, entry.dist.name if entry.dist else "unknown")
            except Exception:  # noqa: BLE001 - a broken plugin is reported where the registry is loaded whole
                continue
            if name in getattr(registry, kind):
                return registry.make(kind, spec)
        return cls.load().make(kind, spec)

    def make_planner(self, spec: str) -> Planner:
        """A planner from its spec."""
        return cast("Planner", self.make("planners", spec))

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
            except Exception as error:  # noqa: BLE001 - a listener that raises costs itself, not the run
                name, fault = implementation.plugin_name, f"{hook} raised {type(error).__name__}: {error}"
                self._manager.unregister(implementation.plugin)
                known = next((plugin for plugin in self.plugins if plugin.name == name), Plugin(name, "unknown", ""))
                self.plugins = [plugin for plugin in self.plugins if plugin.name != name]
                self.plugins.append(replace(known, fault=f"{known.distribution}: {fault}"))
        return answers

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
            raise InputError(f"unknown {singular} {name!r}{suggest(name, known)}")
        if inspect.isabstract(known[name]):
            raise PluginError(self.owners[kind, name], f"{singular} {name!r} leaves abstract methods undone")
        return known[name].from_options(options)
