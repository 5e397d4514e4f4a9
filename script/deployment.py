"""Writes docs/reference/deployment.md and docs/deployment.svg from the stack: its parts and costs.

script/floorlog deploy --help >/dev/null && .venv-infra/bin/python script/deployment.py
"""

import json
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import floorlog
from floorlog import config
from floorlog.infra.estimate import estimate, prose
from floorlog.infra.parameters import Parameters

DOCS = Path(__file__).resolve().parent.parent / "docs"
NAMES = (
    "name",
    "identifier",
    "family",
    "bucket",
    "replication_group_id",
    "user_id",
    "user_group_id",
    "alarm_name",
    "dashboard_name",
)
PARTS = {  # what the picture shows: the part, the kinds of resources in it
    "network": "vpc subnet route internet_gateway security_group flow_log default_security vpc_",
    "stream": "kinesis",
    "processor": "ecs appautoscaling ecr",
    "cache": "elasticache",
    "database": "db_",
    "secrets": "secretsmanager scheduler",
    "anchor": "s3_",
    "access": "iam_ kms_",
    "observe": "cloudwatch sns",
}


@dataclass(frozen=True)
class Resource:
    """One resource as the page shows it."""

    kind: str
    key: str
    name: str
    why: str
    dollars: float


def configuration() -> dict[str, Any]:
    """The stack with every default, as Terraform takes it."""
    config.adopt({"JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "18,20,22"})
    from floorlog.infra.stack import synthesise  # noqa: PLC0415 - needs the environment `infra`

    with tempfile.TemporaryDirectory() as folder:
        made = synthesise(Parameters(), Path(folder), floorlog.__version__)
        found: dict[str, Any] = json.loads((made / "cdk.tf.json").read_bytes())
        return found


def resources(found: dict[str, Any]) -> Iterator[Resource]:
    """Every resource with its name, reason and cost a month."""
    costs: dict[str, float] = {}
    for line in estimate(found).lines:
        costs[line.resource] = costs.get(line.resource, 0.0) + (line.dollars or 0.0)
    words = prose(found)
    for kind, made in found["resource"].items():
        for key, each in made.items():
            address = f"{kind}.{key}"
            name = next((each[field] for field in NAMES if isinstance(each.get(field), str)), "")
            name = name or each.get("tags", {}).get("Name", "")
            name = re.sub(r"\$\{data\.aws_caller_identity[^}]*\}", "ACCOUNT", name)
            name = "" if "${" in name else name
            yield Resource(kind.removeprefix("aws_"), key, name, words[address]["why"],
                           costs.get(address, 0.0))  # fmt: skip


def page(found: dict[str, Any]) -> str:
    """The page of all resources."""
    total = estimate(found)
    lines = [
        "# What a deployment consists of",
        "<!-- Made by script/deployment.py from the stack: change it there. -->",
        "",
        f"Every resource with the defaults (suffix `dev`, {total.region}), why it is there and",
        f"its cost: in all about {total.dollars:.0f} USD a month by prices of {total.prices_of}",
        f"(the region's own, or us-east-1's times {total.factor:g}). Traffic of devices and",
        "backups above the free size come on top: `floorlog deploy cost --devices N`.",
        "",
        "![The stack](../deployment.svg)",
        "",
    ]
    listed = list(resources(found))
    for part in PARTS:
        inside = [each for each in listed if part_of(each.kind) == part]
        cost = sum(each.dollars for each in inside)
        lines += [f"## {part}", "", f"About {cost:.2f} USD a month.", ""]
        lines += ["| resource | name | why it is there | USD a month |", "|---|---|---|---|"]
        for each in inside:
            name = f"`{each.name}`" if each.name else ""
            dollars = f"{each.dollars:.2f}" if each.dollars else ""
            lines.append(f"| `{each.kind}` {each.key} | {name} | {each.why} | {dollars} |")
        lines.append("")
    lines += ["## outputs", ""]
    lines += [f"- `{name}`" for name in found["output"]]
    return "\n".join(lines) + "\n"


def part_of(kind: str) -> str:
    """The part of the stack that a kind of resource belongs to."""
    for part, begins in PARTS.items():
        if any(kind.startswith(begin) for begin in begins.split()):
            return part
    raise ValueError(kind)


BOXES = {  # column, row of each box of the picture
    "producers": (0, 1),
    "stream": (1, 1),
    "processor": (2, 1),
    "database": (3, 0),
    "cache": (3, 1),
    "anchor": (3, 2),
    "secrets": (2, 0),
    "observe": (2, 2),
}
ARROWS = [("producers", "stream"), ("stream", "processor"), ("processor", "database"),
          ("processor", "cache"), ("processor", "anchor"), ("secrets", "processor"),
          ("processor", "observe")]  # fmt: skip
WIDTH, HEIGHT, GAP_X, GAP_Y, EDGE = 270, 96, 60, 44, 24


def picture(found: dict[str, Any]) -> str:
    """The data's path over the stack's parts, drawn."""
    listed = list(resources(found))
    texts = {"producers": ["IoT rules, gateways", "role iot-producer-role-dev"]}
    for part in BOXES:
        if part in texts:
            continue
        inside = [each for each in listed if part_of(each.kind) == part and each.name]
        inside.sort(key=lambda each: -each.dollars)
        cost = sum(each.dollars for each in listed if part_of(each.kind) == part)
        names = [each.name for each in inside][:2]
        texts[part] = [*names, f"{cost:.0f} USD a month"]
    width = EDGE * 2 + 4 * WIDTH + 3 * GAP_X
    height = EDGE * 2 + 3 * HEIGHT + 2 * GAP_Y
    out = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'font-family="sans-serif" font-size="13">'
        ),
        "<title>The stack, drawn by script/deployment.py</title>",
        (
            '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
            'markerHeight="8" '
            'orient="auto"><path d="M0 0L8 4L0 8z" fill="#456"/></marker></defs>'
        ),
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    out += [arrow(one, other) for one, other in ARROWS]
    out += [box(part, texts[part]) for part in BOXES]
    return "\n".join([*out, "</svg>"]) + "\n"


def corner(part: str) -> tuple[int, int]:
    """The upper left corner of a box."""
    column, row = BOXES[part]
    return EDGE + column * (WIDTH + GAP_X), EDGE + row * (HEIGHT + GAP_Y)


def box(part: str, lines: list[str]) -> str:
    """A box with its heading and lines."""
    x, y = corner(part)
    text = [
        (
            f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#eef3f7" '
            'stroke="#456"/>'
        ),
        f'<text x="{x + 12}" y="{y + 24}" font-weight="bold">{part}</text>',
    ]
    text += [
        f'<text x="{x + 12}" y="{y + 46 + 18 * at}" fill="#333">{escape(line)}</text>'
        for at, line in enumerate(lines)
    ]
    return "\n".join(text)


def arrow(one: str, other: str) -> str:
    """An arrow from one box to another."""
    (x1, y1), (x2, y2) = corner(one), corner(other)
    if x1 == x2:
        begin = (x1 + WIDTH // 2, y1 + HEIGHT if y2 > y1 else y1)
        end = (x2 + WIDTH // 2, y2 if y2 > y1 else y2 + HEIGHT)
    else:
        begin, end = (x1 + WIDTH, y1 + HEIGHT // 2), (x2, y2 + HEIGHT // 2)
    return (
        f'<line x1="{begin[0]}" y1="{begin[1]}" x2="{end[0]}" y2="{end[1]}" stroke="#456" '
        'stroke-width="1.5" marker-end="url(#a)"/>'
    )


def main() -> int:
    """Write both, or with --check say whether they are what the stack makes now."""
    found = configuration()
    made = {
        DOCS / "reference" / "deployment.md": page(found),
        DOCS / "deployment.svg": picture(found),
    }
    if "--check" in sys.argv:
        old = [file.name for file, text in made.items()
               if not file.exists() or file.read_text("utf-8") != text]  # fmt: skip
        print(f"old: {', '.join(old)}" if old else "as the stack makes them")
        return 1 if old else 0
    for file, text in made.items():
        file.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
