"""Reads the catalogue from a YAML file."""

import re
from collections.abc import Iterable
from pathlib import Path

import msgspec
import yaml

from floorlog.core.catalogue import Catalogue
from floorlog.errors import InputError

BYTES_MAX = 16 * 1024 * 1024


def load(path: Path) -> Catalogue:
    """The catalogue in a YAML (or JSON) file. Raises InputError naming the line or the field."""
    content = content_of(_read(path), str(path))
    return Catalogue.of({} if content is None else content, str(path))


def laid_over(present: Catalogue, rules: Iterable[str]) -> Catalogue:
    """The present catalogue with parts of it replaced.

    Args:
        present: what holds where the rules say nothing.
        rules: each YAML of a catalogue's parts, or the path of a file of it; the last one wins.
            What a rule says of a metric goes for every device, also one with rules of its own.

    Raises:
        InputError: one cannot be read, or what comes of it is no catalogue; names the field.
    """
    content: object = msgspec.to_builtins(present)
    where = "--rule"
    for rule in rules:
        path = Path(rule)
        is_file = "\n" not in rule and len(rule) < 1000 and path.is_file()
        where = rule if is_file else "--rule"
        part = content_of(_read(path) if is_file else rule.encode(), where)
        if not isinstance(part, dict):
            raise InputError(
                f"{rule[:60]!r} is neither a file nor a part of a catalogue",
                where="--rule",
                fix="write e.g. 'metrics: {temperature: {limits: {hi: 80}}}'",
            )
        content = _merged(_for_devices(content, part), part)
    return Catalogue.of(content, where)


def _for_devices(content: object, part: dict[object, object]) -> object:
    """The content, the part's metrics laid over those that its devices list themselves."""
    metrics = part.get("metrics")
    if not isinstance(content, dict) or not isinstance(metrics, dict):
        return content
    devices = {}
    for name, device in content.get("devices", {}).items():
        own = device.get("metrics", {})
        laid = {metric: _merged(rule, metrics.get(metric, {})) for metric, rule in own.items()}
        devices[name] = {**device, "metrics": laid} if own else device
    return {**content, "devices": devices} if devices else content


def _merged(under: object, over: object) -> object:
    """Mappings are merged name by name; everything else is replaced."""
    if not (isinstance(under, dict) and isinstance(over, dict)):
        return over
    merged = {
        name: _merged(value, over[name]) if name in over else value for name, value in under.items()
    }
    return merged | {name: value for name, value in over.items() if name not in under}


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            text = file.read(BYTES_MAX + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        fix = "give the path of a readable YAML file"
        raise InputError(f"cannot be read: {reason}", where=str(path), fix=fix) from error
    if len(text) > BYTES_MAX:
        raise InputError(
            f"is larger than {BYTES_MAX} bytes", where=str(path), fix="give a catalogue in YAML"
        )
    return text


def content_of(text: bytes, where: str) -> object:
    """YAML as plain lists and mappings. Raises InputError naming the line."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  # a SafeLoader, stricter
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{where}, line {mark.line + 1}, column {mark.column + 1}" if mark else where
        fix = "mend the YAML at that place"
        raise InputError(f"is not YAML: {error.problem}", where=place, fix=fix) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        fix = "give a text file in UTF-8"
        raise InputError(f"is not YAML: {error}", where=where, fix=fix) from error


class _Loader(yaml.SafeLoader):
    """YAML in which `on` and `off` are the names of states and no key can be given twice.

    YAML 1.1 takes on, off, yes and no for truth values, YAML 1.2 does not any more. Of a key given
    twice, one of the two would be lost unseen.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012  # as PyYAML declares it
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":bool")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[object, object]:
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        if key.value in seen:
            problem = f"{key.value!r} is given twice"
            raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
        seen.add(key.value)
    found: dict[object, object] = loader.construct_mapping(node, deep=True)
    return found


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("true|True|TRUE|false|False|FALSE"), list("tTfF")
)
_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
