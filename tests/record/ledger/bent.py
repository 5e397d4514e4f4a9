"""Another value of the same type, from a value as PostgreSQL writes it."""

import random


def bent(text: str | None, kind: str, chance: random.Random) -> str | None:
    """Another value of the same type, or of the same bits in another order."""
    if text is None:
        plain = {"_": "{1}", "f": "1.5", "t": "2026-01-01", "b": "t"}
        return "x" if kind == "text" else plain.get(kind[0], "1")
    if chance.random() < 0.05:
        return None
    return BENT["_" if kind.startswith("_") else kind](text, kind, chance)


def bent_array(text: str, kind: str, chance: random.Random) -> str:
    cells = text.strip("{}").split(",") if text != "{}" else ["1"]
    at = chance.randrange(len(cells))
    match chance.randrange(5):
        case 0:
            del cells[at]
        case 1:
            cells.insert(at, cells[at])
        case _:
            cells[at] = bent(cells[at], kind[1:], chance) or "0"
    return "{" + ",".join(cells) + "}"


def bent_number(text: str, kind: str, chance: random.Random) -> str:
    number = int(text)
    return str(
        chance.choice((number + 1, number - 1, number ^ 1 << chance.randrange(8), -number, 0))
    )


def bent_float(text: str, kind: str, chance: random.Random) -> str:
    number = float(text)
    return repr(chance.choice((number + 1, -number, number * (1 + 2**-52), 0.0)))


def bent_bytes(text: str, kind: str, chance: random.Random) -> str:
    digits = list(text[2:]) or ["0", "0"]
    at = chance.randrange(len(digits))
    digits[at] = format(int(digits[at], 16) ^ 1 << chance.randrange(4), "x")
    return "\\x" + "".join(digits)


def bent_time(text: str, kind: str, chance: random.Random) -> str:
    at = text.index(":") - 2
    hour = (int(text[at : at + 2]) + chance.randint(1, 5)) % 24
    return f"{text[:at]}{hour:02}{text[at + 2 :]}"


def bent_text(text: str, kind: str, chance: random.Random) -> str:
    at = chance.randrange(len(text) + 1)
    return chance.choice((text[:at] + "x" + text[at:], text[:at] + text[at + 1 :], text.upper()))


def bent_json(text: str, kind: str, chance: random.Random) -> str:
    return chance.choice((text + " ", text.replace("1", "2"), "{}"))


def bent_bool(text: str, kind: str, chance: random.Random) -> str:
    return "f" if text.startswith("t") else "t"


BENT = {
    "_": bent_array, "int2": bent_number, "int4": bent_number, "int8": bent_number,
    "numeric": bent_number, "float8": bent_float, "float4": bent_float,
    "bool": bent_bool, "bytea": bent_bytes,
    "timestamptz": bent_time, "json": bent_json, "text": bent_text,
}  # fmt: skip
