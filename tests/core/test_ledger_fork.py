"""Fork statements: one text for each, and nothing else is read as one."""

import pytest

from floorlog.core.ledger.fork import Fork

FORK = Fork(
    "floorlog-1a2b", 2, 1, 700, bytes(range(32)), 1_000, bytes(32), "2026-05-03T09:30:00Z", "é why"
)
TEXT = """floorlog-fork-1
floorlog-1a2b
2 1
700 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=
1000 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
2026-05-03T09:30:00Z
é why
"""


def test_the_published_form() -> None:
    """As docs/reference/ledger.md gives it, and back."""
    assert str(FORK) == TEXT
    assert Fork.parse(TEXT) == FORK


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("fork-1", "fork-2"),
        ("2 1", "2 2"),
        ("2 1", "0 1"),
        ("2 1", "02 1"),
        ("2 1", "2"),
        ("2 1", "2 -1"),
        ("700 ", "7e2 "),
        ("700 ", "99999999999999999999 "),
        ("Hh8=", "Hh8"),
        ("Hh8=", "Hh9="),
        ("1000 A", "1000 "),
        ("09:30:00Z", "09:30Z"),
        ("é why\n", "é why"),
        ("é why\n", "é why\nmore\n"),
        ("é why\n", "\n"),
    ],
)
def test_no_other_form_is_read(old, new) -> None:
    """A line too many or too few, another number's form, a parent that came later."""
    assert old in TEXT
    with pytest.raises(ValueError, match=r"statement|number|base64"):
        Fork.parse(TEXT.replace(old, new))
