"""Writes the image's bill of materials: what the lock says is in it, as CycloneDX 1.5 JSON.

script/sbom.py > floorlog.cdx.json
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements-image.lock"


def components(lock: str) -> list[dict[str, Any]]:
    """Each package of a lock: name, version, what it is needed for, and the files' digests."""
    found = []
    for block in re.findall(r"^[a-z0-9](?:.*\\\n)*.*", lock, re.MULTILINE):
        pin = re.match(r"([a-z0-9._-]+)==([^\s;\\]+)(?: ; ([^\\\n]+))?", block)
        assert pin, block
        name, version, condition = pin[1], pin[2], (pin[3] or "").strip()
        entry: dict[str, Any] = {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name}@{version}",
            "hashes": [
                {"alg": "SHA-256", "content": digest}
                for digest in re.findall(r"--hash=sha256:([0-9a-f]{64})", block)
            ],
        }
        if condition:
            entry["properties"] = [{"name": "condition", "value": condition}]
        found.append(entry)
    return found


def bill(lock: str, version: str) -> dict[str, Any]:
    """The bill of materials of one release."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "name": "floorlog",
                "version": version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": components(lock),
    }


def main() -> None:
    """Write it to stdout."""
    source = (ROOT / "src/floorlog/__init__.py").read_text("utf-8")
    found = re.search(r'__version__ = "([^"]+)"', source)
    assert found
    json.dump(bill(LOCK.read_text("utf-8"), found[1]), sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
