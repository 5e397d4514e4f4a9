"""The one-file verifier: needs nothing, proves what is so, and refuses everything else."""

import ast
import json
import random
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest

from floorlog.core.ledger.note import VerifierKey
from floorlog.record import verifier
from floorlog.record.log.sign import public_key, signed_note
from floorlog.record.verifier import Key, check_proof

FILE = Path(verifier.__file__)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the file as a stranger would: alone, without our packages, from elsewhere."""
    return subprocess.run(
        [sys.executable, "-I", "-S", FILE, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd="/",
        check=False,
    )


def is_proven(text: str, key: Key) -> bool:
    try:
        check_proof(text, [key])
    except verifier.ERRORS:
        return False
    return True


@pytest.fixture(scope="session")
def key(plant) -> Key:
    return Key(plant.key)


def test_it_is_one_file_for_python_39() -> None:
    """It imports the standard library alone, in the syntax of 3.9, and is at most 500 lines."""
    text = FILE.read_text()
    tree = ast.parse(text, feature_version=(3, 9))
    imported = {
        name.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([ast.alias(node.module)] if isinstance(node, ast.ImportFrom) else node.names)
    }
    assert imported <= sys.stdlib_module_names
    assert text.count("\n") <= 500
    # What came after 3.9 and is no syntax.
    late = {"pairwise", "bit_count", "batched", "UTC", "StrEnum", "file_digest", "hash_file"}
    assert not late & {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "zip"
    ]


def test_every_reading_can_be_proven(plant, key) -> None:
    """Numbers, states, conflicts, late ones and times beyond all years: each has its proof."""
    said = set()
    for number, batch in enumerate(plant.batches):
        for place in range(0, len(batch.columns.series), 3):
            proof = plant.prove(number, place)
            said.add(check_proof(json.dumps(proof), [key]))
            row = proof["readings"][proof["place"]]
            assert row[:2] == [batch.columns.series[place], batch.columns.ts[place]]
    assert len(said) > 40
    for words in ("in conflict", "late", "läuft", "4613", "floor.example/plant"):
        assert any(words in one for one in said), words


def test_from_the_command_line(plant, proof, tmp_path) -> None:
    """One line and 0 for what is proven, one line and 1 for what is not, 2 for wrong use."""
    good, bad, key_file = tmp_path / "good.json", tmp_path / "bad.json", tmp_path / "key"
    good.write_text(proof)
    bad.write_text(proof.replace('"leaf": ', '"leaf": 1'))
    key_file.write_text(plant.key + "\n")
    for key in (plant.key, key_file):
        done = run(good, "--key", key)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("proven: press")
        assert done.stdout.count("\n") == 1
    done = run(bad, "--key", plant.key)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (1, "", 1)
    assert done.stdout.startswith("WRONG: ")
    assert run(good).returncode == run(good, "--key").returncode == run().returncode == 2
    assert run(tmp_path / "none.json", "--key", plant.key).stdout.startswith("WRONG: ")
    assert run(good, "--key", "nonsense+1+2").returncode == 1


def test_who_else_signs_proves_nothing(plant, proof, key) -> None:
    """A note by another key, of the same name even, is refused; so is a log under another name."""
    made = json.loads(proof)
    text = made["note"].split("\n\n")[0] + "\n"
    other = bytes(32)
    for name in (key.name, "elsewhere"):
        made["note"] = signed_note(text, name, other).decode()
        assert not is_proven(json.dumps(made), key)
    stranger = Key(str(VerifierKey("elsewhere", public_key(other))))
    assert not is_proven(json.dumps(made), stranger)  # signs, but is not the log's


def leaves(value, path=()):
    """Every place of a JSON value that holds neither list nor object, and every list and object."""
    yield path
    if isinstance(value, dict | list):
        for name in value if isinstance(value, dict) else range(len(value)):
            yield from leaves(value[name], (*path, name))


def bent_text(text: str, chance: random.Random) -> str:
    at = chance.randrange(len(text) + 1)
    others = "0123456789abcdefABCDEF+/= \n\u2014äz\0" + text
    match chance.randrange(3):
        case 0:
            return text[:at] + chance.choice(others) + text[at:]
        case 1:
            return text[: max(at - 1, 0)] + text[at:]
        case _:
            return text[: max(at - 1, 0)] + chance.choice(others) + text[at:]


def bent_value(value, chance: random.Random):
    """Something else of the same type, of another type, or of the same worth and another type."""
    if isinstance(value, str):
        return chance.choice([bent_text(value, chance), bent_text(value, chance), None, 0])
    if isinstance(value, bool) or value is None:
        return chance.choice([0, 1, "", "x"])
    if isinstance(value, int | float):
        near = [value + 1, value - 1, -value - 1, value * 2 + 1, str(value), None]
        twin = [float(value)] if isinstance(value, int) else [value.hex()]
        return chance.choice([*near, *twin, 2**63, -(2**70), True, 1e999])
    if isinstance(value, list):
        changed = deepcopy(value)
        match chance.randrange(4) if changed else 3:
            case 0:
                del changed[chance.randrange(len(changed))]
            case 1:
                changed.insert(chance.randrange(len(changed)), deepcopy(chance.choice(changed)))
            case 2 if len(changed) > 1:
                a, b = chance.sample(range(len(changed)), 2)
                changed[a], changed[b] = changed[b], changed[a]
            case _:
                changed.append(chance.choice([None, "00" * 32, []]))
        return changed
    changed = dict(value)
    if chance.random() < 0.5:
        changed.pop(chance.choice(sorted(changed)))
    changed["more"] = 1
    return changed


def bend(proof: dict, chance: random.Random) -> dict | None:
    """The proof with one change that a parser sees; None where the draw changed nothing."""
    changed = deepcopy(proof)
    *before, last = chance.choice([path for path in leaves(proof) if path])
    holder = changed
    for step in before:
        holder = holder[step]
    holder[last] = bent_value(holder[last], chance)
    return None if json.dumps(changed) == json.dumps(proof) else changed


def campaign(plant, key, count: int, seed: int) -> None:
    chance = random.Random(seed)
    proofs = [plant.prove(batch, 0) for batch in (0, 3, 4, 7)] + [plant.prove(7, 41)]
    assert all(is_proven(json.dumps(proof), key) for proof in proofs)
    done, passed = 0, []
    while done < count:
        changed = bend(chance.choice(proofs), chance)
        if changed is not None:
            done += 1
            if is_proven(json.dumps(changed), key):
                passed.append(changed)
    assert not passed, passed[0]


def test_every_bent_proof_is_refused(plant, key) -> None:
    """Of 500 proofs with one change anywhere, none passes."""
    campaign(plant, key, 500, seed=1)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_ten_thousand_bent_proofs_are_refused(plant, key) -> None:
    """Of 10,000 proofs with one change anywhere, none passes."""
    campaign(plant, key, 10_000, seed=2)


def test_the_bending_bends(plant) -> None:
    """The campaign reaches every field of a proof."""
    chance = random.Random(3)
    proof = plant.prove(7, 30)
    seen = set()
    for _ in range(3000):
        changed = bend(proof, chance)
        if changed is not None:
            seen |= {name for name in proof if changed.get(name, ()) != proof[name]}
    assert seen == set(proof)


def test_json_is_read_strictly(proof, key) -> None:
    """A name that stands twice, a NaN, something after the end: refused; white space is not."""
    assert is_proven(json.dumps(json.loads(proof), indent=3), key)
    assert not is_proven(proof.replace('"place":', '"place": 9, "place":'), key)
    assert not is_proven(proof + "{}", key)
    assert not is_proven(proof.replace("71.3", "NaN"), key)
    assert not is_proven("[" * 100_000, key)
    assert not is_proven("", key)
