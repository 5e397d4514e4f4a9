"""Commands of the deployment on AWS: plan, apply, destroy, outputs, cost."""

import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from floorlog.errors import InputError, ServiceMissing

if TYPE_CHECKING:
    from floorlog.infra.estimate import Estimate
    from floorlog.infra.parameters import Parameters
    from floorlog.infra.terraform import Terraform

PARAMETERS = click.option(
    "--parameters",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A TOML file of parameters.",
)
SET = click.option("--set", "given", metavar="NAME=VALUE", multiple=True, help="One parameter.")
FOLDER = click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("deploy"),
    show_default=True,
    help="Where the configuration lies and, without a state bucket, the state.",
)
PLAN = "plan"


@click.group()
def deploy() -> None:
    """Put the whole system on AWS, or take it away."""


@deploy.command("plan")
@PARAMETERS
@SET
@FOLDER
def plan(file: Path | None, given: tuple[str, ...], folder: Path) -> None:
    """Say what would change and what a month costs; change nothing."""
    asked = _asked(file, given)
    terraform = _prepare(asked, folder)
    terraform.run("plan", f"-out={PLAN}", quiet=False)
    print(_cost(terraform).as_text())


@deploy.command("apply")
@PARAMETERS
@SET
@FOLDER
@click.option("--only", type=click.Choice(["repository", "migration"]), help="Just so far.")
@click.option("--yes", is_flag=True, help="Without asking.")
def apply(
    file: Path | None, given: tuple[str, ...], folder: Path, only: str | None, *, yes: bool
) -> None:
    """Make it so: the database first, then its migration, then the tasks of this release."""
    from floorlog.infra.release import TARGETS, migrate

    asked = _asked(file, given)
    terraform = _prepare(asked, folder)
    print(_cost(terraform).as_text())
    if not yes:
        click.confirm(f"Apply {asked.environment_suffix} in {asked.aws_region}?", abort=True)
    if only == "repository":
        terraform.run("apply", "-auto-approve", *TARGETS["repository"], quiet=False)
        return
    terraform.run("apply", "-auto-approve", *TARGETS["migration"], quiet=False)
    print(migrate(terraform.outputs(), asked))
    if only is None:
        terraform.run("apply", "-auto-approve", quiet=False)
        _show(terraform)


@deploy.command("destroy")
@PARAMETERS
@SET
@FOLDER
@click.option("--and-the-record", is_flag=True, help="The database as well, for good.")
@click.option("--yes", is_flag=True, help="Without asking.")
def destroy(
    file: Path | None, given: tuple[str, ...], folder: Path, *, and_the_record: bool, yes: bool
) -> None:
    """Take everything away; the record only if told so, and if it was made to be thrown away."""
    asked = _asked(file, given)
    if not and_the_record:
        raise InputError(
            "this would destroy the record: every reading, and what proves it",
            where=f"deployment {asked.environment_suffix}",
            fix="say --and-the-record as well if nobody will ever need it",
        )
    if not asked.throw_away:
        raise InputError(
            "the record is protected: throw_away is not set",
            where=f"deployment {asked.environment_suffix}",
            fix="apply once with throw_away = true, which takes the protection off, then destroy",
        )
    terraform = _prepare(asked, folder)
    if not yes:
        click.confirm(f"Destroy {asked.environment_suffix} and its record for good?", abort=True)
    terraform.run("destroy", "-auto-approve", quiet=False)


@deploy.command("outputs")
@PARAMETERS
@SET
@FOLDER
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def outputs(file: Path | None, given: tuple[str, ...], folder: Path, *, as_json: bool) -> None:
    """Say what was applied: names, addresses, ARNs."""
    _show(_prepare(_asked(file, given), folder), as_json=as_json)


@deploy.command("synth")
@PARAMETERS
@SET
@FOLDER
def synth(file: Path | None, given: tuple[str, ...], folder: Path) -> None:
    """Write the Terraform configuration, for use without this command."""
    print(_synthesise(_asked(file, given), folder))


@deploy.command("cost")
@PARAMETERS
@SET
@click.option("--devices", type=click.IntRange(min=0), default=0, help="How many send.")
@click.option("--readings", type=float, default=3.0, show_default=True, help="A second, of each.")
def cost(file: Path | None, given: tuple[str, ...], devices: int, readings: float) -> None:
    """Say what a month costs, about; nothing is asked of AWS."""
    import json
    import tempfile

    from floorlog.infra.estimate import estimate

    with tempfile.TemporaryDirectory() as folder:
        configuration = json.loads(_synthesise(_asked(file, given), Path(folder)).read_bytes())
    readings_s = devices * readings
    found = estimate(configuration, put_bytes_s=35 * readings_s, readings_s=readings_s)
    print(found.as_text())


def _asked(file: Path | None, given: tuple[str, ...]) -> "Parameters":
    from floorlog.infra.parameters import parameters

    found: dict[str, Any] = {}
    if file is not None:
        try:
            found = tomllib.loads(file.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InputError(
                f"cannot be read: {error}", where=str(file), fix="give a TOML file: name = value"
            ) from error
    for each in given:
        name, equals, value = each.partition("=")
        if not equals:
            raise InputError(f"{each!r} is no NAME=VALUE", where="--set", fix="as in shards=4")
        found[name.strip()] = _value(value.strip())
    return parameters(found)


def _value(text: str) -> object:
    """A value as TOML writes it; what is none, such as a name, is text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _synthesise(asked: "Parameters", folder: Path) -> Path:
    """Write the configuration into a folder; returns its file."""
    import shutil
    import tempfile

    import floorlog
    from floorlog import config

    # The Node that jsii finds may be one whose age it remarks on at length.
    config.adopt({"JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "18,20,22"})
    try:
        from floorlog.infra.stack import synthesise
    except ModuleNotFoundError as error:
        raise ServiceMissing(
            f"the package {error.name} is not installed",
            where="deploy",
            fix="install floorlog[infra], or use script/floorlog, which does",
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        made = synthesise(asked, Path(place), floorlog.__version__)
        return Path(shutil.copy(made / "cdk.tf.json", folder / "cdk.tf.json"))


def _prepare(asked: "Parameters", folder: Path) -> "Terraform":
    from floorlog.infra.terraform import Terraform

    _synthesise(asked, folder)
    terraform = Terraform(folder.resolve())
    terraform.initialise()
    return terraform


def _cost(terraform: "Terraform") -> "Estimate":
    import json

    from floorlog.infra.estimate import estimate

    return estimate(json.loads((terraform.folder / "cdk.tf.json").read_bytes()))


def _show(terraform: "Terraform", *, as_json: bool = False) -> None:
    import json

    found = terraform.outputs()
    if as_json:
        json.dump(found, sys.stdout, indent=2)
        print()
        return
    for name, value in found.items():
        print(f"{name:24}{value}")
