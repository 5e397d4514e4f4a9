"""Writes docs/reference/ from the code: run it after a change to settings or commands."""

from pathlib import Path

from floorlog import config

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
MADE = "<!-- Made by script/reference.py from the code: change it there. -->\n"


def settings() -> str:
    """Give the page of all settings, as config.py describes them."""
    lines = [
        "# Settings",
        MADE,
        "The worker and the page read these from the environment; a wrong or missing one is",
        "named in one line at start.",
        "",
        "| variable | default | what it is |",
        "|---|---|---|",
    ]
    lines += [
        f"| `{name}` | {value(default)} | {text} |" for name, default, text in config.reference()
    ]
    return "\n".join(lines) + "\n"


def value(default: str) -> str:
    """Write a default as a person would set it."""
    if default == "required":
        return default
    text = default.strip("'")
    return f"`{text}`" if text else "empty"


PAGES = {"settings.md": settings}


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
