"""Reads the catalogue from a YAML file."""

import re
from pathlib import Path

import yaml

from floorlog.core.catalogue import Catalogue
from floorlog.errors import InputError

BYTES_MAX = 16 * 1024 * 1024


def load(path: Path) -> Catalogue:
    """The catalogue in a YAML (or JSON) file. Raises InputError naming the line or the field."""
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
    try:
        content = yaml.load(text, Loader=_Loader)  # noqa: S506  # a SafeLoader, stricter
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(path)
        fix = "mend the YAML at that place"
        raise InputError(f"is not YAML: {error.problem}", where=where, fix=fix) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        fix = "give a text file in UTF-8"
        raise InputError(f"is not YAML: {error}", where=str(path), fix=fix) from error
    return Catalogue.of({} if content is None else content, str(path))


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
