"""The catalogue as a YAML file."""

from pathlib import Path

import pytest

from floorlog.errors import InputError
from floorlog.source.catalogue_file import load

PLANT = """
# the press shop
metrics:
  temperature: {unit: Cel, limits: {hi: 90}}
  lamp: {states: [on, off, blinking], abnormal: [blinking]}
devices:
  press-07:
    asset: line-1
    metrics:
      temperature: {limits: {hi: 85}}
"""


def test_a_file_is_read(tmp_path: Path):
    """YAML gives the catalogue; on and off are names of states, not truth values."""
    path = tmp_path / "plant.yaml"
    path.write_text(PLANT)
    catalogue = load(path)
    assert catalogue.asset("press-07") == "line-1"
    assert catalogue.metrics["lamp"].states == ("on", "off", "blinking")
    own = catalogue.metric("press-07", "temperature")
    assert own is not None
    assert own.limits is not None
    assert own.limits.hi == 85
    path.write_text("strict: true\n")
    assert load(path).strict
    path.write_text("")
    assert load(path).devices == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: b: c", "line 1, column 5"),
        ("metrics:\n  t: {}\n  t: {}\n", "line 3, column 3: is not YAML: 't' is given twice"),
        ("metrics: {t: {unt: K}}", "metrics.t: Object contains unknown field `unt`"),
        ("\0", "UTF-8"),
        ("- 1", "object"),
        ("? [a, b]\n: 1\n", "YAML"),
        ("x: !!python/object/apply:os.getcwd []", "YAML"),
        ("x: 2026-99-99", "YAML"),
        ("[" * 3000, "YAML"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, text: str, said: str):
    """Errors name the file, the line or the entry, and what to mend."""
    path = tmp_path / "plant.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load(path)
    assert said in str(caught.value)
    assert str(path) in caught.value.where
    assert caught.value.fix


def test_a_file_that_is_not_there(tmp_path: Path):
    """A path that cannot be read is one clear line."""
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            load(path)


def test_a_file_that_is_too_large(tmp_path: Path):
    """A file of 16 MiB is no catalogue; it is not read to its end."""
    path = tmp_path / "large.yaml"
    path.write_bytes(b"#" * (16 * 1024 * 1024 + 1))
    with pytest.raises(InputError, match="larger"):
        load(path)
