"""Back-tests over the record and over files, by the command that people use."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from written import T0, Written

from floorlog.cli import floorlog
from floorlog.core.backtest import Judge
from floorlog.core.catalogue import Catalogue
from floorlog.errors import InputError
from floorlog.record.trial.backtest import backtest, present_catalogue
from floorlog.source.catalogue_file import laid_over
from floorlog.store.migrate import READER

pytestmark = pytest.mark.slow  # writes a record to judge

COUNTED = (
    "SELECT count(*), count(DISTINCT (device_id, metric)), floorlog.to_us(min(ts)),"
    " floorlog.to_us(max(ts)) FROM floorlog.reading WHERE flags = 0"
)


def test_every_reading_that_a_detector_saw_is_judged(written: Written) -> None:
    """As many as the record has, however it is cut into slices; both configurations see them."""
    ((count, series, first, last),) = written.run(COUNTED)
    dsn = written.dsn(READER)
    version, present = present_catalogue(dsn)
    shares: list[float] = []
    everything = laid_over(present, ["{metrics: {m1: {limits: {hi: -1000000}}}}"])
    report = backtest(
        dsn, Judge(present, version), Judge(everything, version), first, last + 1,
        lambda share, _: shares.append(share),
    )  # fmt: skip
    assert (report.readings, report.series) == (count, series)
    assert (report.begin, report.end) == (first, last)
    assert shares[-1] == 1.0
    assert shares == sorted(shares)
    above = [each for each in report.gained if each.detector == "limit"]
    assert {each.metric for each in above} == {"m1"}
    assert report.lost == []
    half = backtest(dsn, Judge(present), Judge(present), first, (first + last) // 2)
    assert 0 < half.readings < count
    with pytest.raises(InputError, match="ends before it begins"):
        backtest(dsn, Judge(present), Judge(present), T0, T0)


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    """A minute of a sensor that goes above 80 for 10 s."""
    lines = [f"2026-01-15T00:00:{n:02d}Z,{90 if 20 <= n < 30 else 70}.5" for n in range(60)]
    path = tmp_path / "oven.csv"
    path.write_text("\n".join(["time,temperature", *lines]) + "\n")
    return path


def test_a_file_is_judged_without_a_record(csv: Path) -> None:
    """One object on stdout, the bar elsewhere; the rule's alarm with its time and its reason."""
    rule = "metrics: {temperature: {unit: Cel, limits: {hi: 80, off_delay_s: 0}}}"
    done = CliRunner().invoke(floorlog, ["backtest", str(csv), "--rule", rule, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["readings"] == 60
    assert found["present"]["findings"] == 0
    (gained,) = found["gained"]
    assert gained["reason"] == (
        "temperature of oven (Cel): 90.5 is above the high limit 80 [limit, catalogue 1]"
    )
    assert gained["end"] - gained["start"] == 10_000_000
    assert found["times_real_time"] > 1
    text = CliRunner().invoke(floorlog, ["backtest", str(csv), "--rule", rule]).stdout
    assert "only asked: 1\n  2026-01-15 00:00:20+00:00  temperature of oven" in text


def test_rules_are_laid_over_one_another(tmp_path: Path) -> None:
    """Inline or in files; names that a rule does not mention stay; what is wrong is named."""
    path = tmp_path / "rules.yaml"
    path.write_text("devices: {d: {metrics: {m: {limits: {lo: 1}}}}}")
    present = Catalogue.of({"metrics": {"m": {"unit": "bar", "limits": {"hi": 9}}}}, "here")
    asked = laid_over(present, ["metrics: {m: {limits: {hi: 8, hihi: 12}}}", str(path)])
    made = asked.metric("d", "m")
    assert made is not None
    assert made.limits is not None
    assert made.unit == "bar"
    assert (made.limits.lo, made.limits.hi, made.limits.hihi) == (1, 8, 12)
    own = Catalogue.of({"devices": {"d": {"metrics": {"m": {"limits": {"hi": 9, "lo": 2}}}}}}, "")
    made = laid_over(own, ["metrics: {m: {limits: {hi: 7}}}"]).metric("d", "m")
    assert made is not None
    assert made.limits is not None
    assert (made.limits.lo, made.limits.hi) == (2, 7)
    with pytest.raises(InputError, match="neither a file nor"):
        laid_over(present, ["nothing"])
    with pytest.raises(InputError, match="lo 99 lies above hi 9"):
        laid_over(present, ["metrics: {m: {limits: {lo: 99}}}"])


def test_a_file_is_judged_whole(csv: Path) -> None:
    """A span is for the record: said in one line."""
    with pytest.raises(InputError, match="judged whole"):
        floorlog.main(["backtest", str(csv), "--from", "2026-01-01"], standalone_mode=False)
