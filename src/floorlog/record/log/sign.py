"""Ed25519 signatures of notes (RFC 8032), with the arithmetic of the one-file verifier.

The standard library has no Ed25519, and the log signs about once a minute: a package for that would
be a thirteenth dependency. Not in constant time: keep the key where nobody can take the time.
"""

import hashlib

from floorlog.core.ledger.note import Signature, VerifierKey, write_note
from floorlog.record.verifier import BASE, ORDER, encode_point, times

SECRET_BYTES = 32


def _expanded(secret: bytes) -> tuple[int, bytes]:
    if len(secret) != SECRET_BYTES:
        message = f"a secret key has {SECRET_BYTES} bytes, not {len(secret)}"
        raise ValueError(message)
    hashed = hashlib.sha512(secret).digest()
    factor = int.from_bytes(hashed[:32], "little") & (1 << 254) - 8 | 1 << 254
    return factor, hashed[32:]


def public_key(secret: bytes) -> bytes:
    """The public key of a secret one (5.1.5)."""
    return encode_point(times(_expanded(secret)[0], BASE))


def sign(secret: bytes, message: bytes) -> bytes:
    """The signature of a message (5.1.6)."""
    factor, prefix = _expanded(secret)
    public = encode_point(times(factor, BASE))
    r = int.from_bytes(hashlib.sha512(prefix + message).digest(), "little") % ORDER
    point = encode_point(times(r, BASE))
    k = int.from_bytes(hashlib.sha512(point + public + message).digest(), "little")
    return point + ((r + k * factor) % ORDER).to_bytes(32, "little")


def signed_note(text: str, name: str, secret: bytes) -> bytes:
    """A note with one signature."""
    key = VerifierKey(name, public_key(secret))
    return write_note(text, [Signature(name, key.key_id, sign(secret, text.encode()))])
