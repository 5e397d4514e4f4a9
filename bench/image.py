"""Builds the image without a daemon, on a Debian base made here, and says how large it is.

python bench/image.py FOLDER     # as root, with mmdebstrap and buildah; the base is kept there

Prints the sizes, the image's own environment and command, and where its root lies unpacked, which
`python bench/box.py --image FOLDER` and the search for passwords use.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BASE, IMAGE = "localhost/floorlog-base", "localhost/floorlog:bench"
PACKAGES = "python3,python3-venv,ca-certificates"


def settings_of_pip() -> list[Path]:
    """Files and folders that pip on this machine goes by; the build sees them and keeps none."""
    found = [Path("/etc/pip.conf"), Path.home() / ".config/pip"]
    said = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    for word in said.replace("'", " ").replace("\\n", " ").replace("file://", " ").split():
        if word.startswith("/"):
            place = Path(word)
            found.append(place.parent if place.name == "simple" else place)
    return [each for each in dict.fromkeys(found) if each.exists()]


class Builder:
    """buildah with its images in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._call = [
            "buildah", "--root", str(folder / "store"), "--runroot", str(folder / "run"),
            "--storage-driver", "vfs",
        ]  # fmt: skip

    def run(self, *words: str | Path) -> str:
        """One command of buildah; what it prints. What goes wrong is shown."""
        return subprocess.run(
            [*self._call, *words], check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()

    def base(self) -> None:
        """A small Debian with Python, once."""
        if BASE in self.run("images", "--format", "{{.Name}}"):
            return
        tar = self.folder / "base.tar"
        if not tar.exists():
            partial = tar.with_suffix(".partial.tar")
            subprocess.run(
                ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", "bookworm",
                 partial],
                check=True,
            )  # fmt: skip
            partial.rename(tar)
        container = self.run("from", "scratch")
        self.run("add", container, tar, "/")
        self.run("commit", "--quiet", "--format", "docker", container, BASE)
        self.run("rm", container)

    def build(self) -> dict[str, Any]:
        """The image of this checkout; its sizes, configuration and root."""
        self.base()
        volumes = [word for each in settings_of_pip() for word in ("--volume", f"{each}:{each}:ro")]
        self.run("bud", "--quiet", "--isolation", "chroot", "--format", "docker",
                 "--build-arg", f"BASE={BASE}", *volumes, "-t", IMAGE, ROOT)  # fmt: skip
        container = self.run("from", IMAGE)
        found = json.loads(self.run("inspect", "--type", "image", IMAGE))
        config = found["Docker"]["config"]
        layers = self.folder / "layers"
        self.run("push", "--quiet", IMAGE, f"oci:{layers}:bench")
        digest = json.loads((layers / "index.json").read_text())["manifests"][0]["digest"]
        manifest = json.loads((layers / "blobs" / digest.replace(":", "/")).read_text())
        mounted = Path(self.run("mount", container))
        return {
            "root": str(mounted),
            "environment": dict(each.partition("=")[::2] for each in config["Env"]),
            "user": config["User"],
            "entrypoint": config["Entrypoint"],
            "compressed, MB": round(sum(each["size"] for each in manifest["layers"]) / 1e6),
            "uncompressed, MB": round(size(mounted) / 1e6),
            "of it ours, MB": round(size(mounted / "opt/floorlog") / 1e6),
        }


def size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(each.lstat().st_size for each in folder.rglob("*") if not each.is_dir())


def main() -> None:
    """Build, and write down what was built."""
    folder = Path(sys.argv[1]).resolve()
    found = Builder(folder).build()
    (folder / "image.json").write_text(json.dumps(found, indent=2))
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
