"""Opens a table as text: gzip undone, the encoding guessed, broken files said in one line."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Self, cast

from floorlog.errors import InputError

SAMPLE_BYTES = 256 * 1024
_GZIP = b"\x1f\x8b"
_MAGICS = {
    b"PK\x03\x04": "an Excel workbook or a zip archive",
    b"PAR1": "a Parquet file",
    b"%PDF": "a PDF",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"SQLite format": "an SQLite database",
}
_FIX = "give a CSV file, or one compressed with gzip"


class Table:
    """One CSV file, open for reading from its beginning; closes with its context."""

    def __init__(self, path: Path) -> None:
        """Open it. Raises InputError when it cannot be read."""
        self.path = path
        try:
            self._file = path.open("rb")
            self.size_bytes = path.stat().st_size
            self._gzipped = self._file.read(2) == _GZIP
            self._file.seek(0)
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(f"cannot be read: {reason}", where=str(path), fix=_FIX) from error

    def __enter__(self) -> Self:
        """The table itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()

    def position_bytes(self) -> int:
        """How much of the file, as it lies on the disk, has been read."""
        return self._file.tell()

    def _bytes(self) -> BinaryIO:
        self._file.seek(0)
        return cast("BinaryIO", gzip.open(self._file)) if self._gzipped else self._file

    def sample(self) -> bytes:
        """The first part of the content. Raises InputError when there is none, or no text."""
        with self.errors():
            content = self._bytes().read(SAMPLE_BYTES)
        if not content.strip():
            raise InputError("is empty", where=str(self.path), fix="give a file with readings")
        for magic, what in _MAGICS.items():
            if content.startswith(magic):
                raise InputError(f"is {what}, not CSV", where=str(self.path), fix=_FIX)
        if b"\0" in content and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise InputError("is a binary file, not CSV", where=str(self.path), fix=_FIX)
        return content

    def rows(self, encoding: str, delimiter: str) -> Iterator[list[str]]:
        """All rows, header included; blank lines are empty rows. Raises InputError."""
        text = io.TextIOWrapper(self._bytes(), encoding=encoding, newline="")
        reader = csv.reader(text, delimiter=delimiter)
        try:
            with self.errors():
                yield from reader
        except csv.Error as error:
            raise InputError(
                f"line {reader.line_num} is not CSV: {error}",
                where=str(self.path),
                fix="look for a quotation mark that is never closed",
            ) from error
        except UnicodeDecodeError as error:
            raise InputError(
                f"is not {encoding} after line {reader.line_num}: {error.reason}",
                where=str(self.path),
                fix="say --encoding latin-1, or the one that it has",
            ) from error
        finally:
            with suppress(ValueError):  # the file is closed already, where Ctrl-C ended all
                text.detach()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Say what is wrong with the file, for people."""
        try:
            yield
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(
                f"is cut off or damaged: {error}", where=str(self.path), fix="copy it again"
            ) from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(f"cannot be read: {reason}", where=str(self.path), fix=_FIX) from error


def encoding_of(sample: bytes) -> str:
    """UTF-8 where it is, UTF-16 where it says so, else latin-1, which reads everything."""
    if sample.startswith(b"\xef\xbb\xbf"):
        return "utf-8-sig"
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        # A character may be cut at the sample's end.
        sample[: max(1, len(sample) - 3)].decode()
    except UnicodeDecodeError as error:
        if error.start < len(sample) - 8:
            return "latin-1"
    return "utf-8"


def first_rows(sample: bytes, encoding: str, delimiter: str) -> list[list[str]]:
    """The sample's whole rows that are not blank, empty cells kept."""
    text = sample.decode(encoding, "replace")
    if len(sample) >= SAMPLE_BYTES and "\n" in text:
        text = text[: text.rindex("\n")]
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error:
        return []
    return [row for row in rows if any(cell.strip() for cell in row)]
