"""Tokens: iterators and paging tokens hold their whole state, so they outlive a restart."""

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Final

import msgspec

TAG_BYTES: Final = 16


class ShardIterator(msgspec.Struct, frozen=True, array_like=True, tag="iterator"):
    """A position in a shard: the index of the next record to read, and when it was issued."""

    shard_key: int
    stream_key: int
    number: int
    index: int
    issued_ms: int
    nonce: int = msgspec.field(default_factory=lambda: secrets.randbits(32))


class ShardPage(msgspec.Struct, frozen=True, array_like=True, tag="shards"):
    """Where a listing of shards goes on: after shard `after`, with the filter it began with."""

    stream_key: int
    after: int
    issued_ms: int
    filter_type: str | None
    filter_ms: int


class StreamPage(msgspec.Struct, frozen=True, array_like=True, tag="streams"):
    """Where a listing of streams goes on: after the stream `after`."""

    after: str
    issued_ms: int


Token = ShardIterator | ShardPage | StreamPage


class Mint:
    """Makes tokens and recognises its own, by a secret kept with the data."""

    def __init__(self, secret: bytes) -> None:
        """Keep the secret that authenticates tokens."""
        self._secret = secret
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[Token] = msgspec.msgpack.Decoder(Token)

    def issue(self, token: Token) -> str:
        """Return the text to hand out for a token."""
        body = self._encoder.encode(token)
        return base64.b64encode(self._tag(body) + body).decode("ascii")

    def read(self, text: str) -> Token | None:
        """Return the token in a text, or None where this server never issued it."""
        try:
            raw = base64.b64decode(text, validate=True)
            tag, body = raw[:TAG_BYTES], raw[TAG_BYTES:]
            if not hmac.compare_digest(tag, self._tag(body)):
                return None
            return self._decoder.decode(body)
        except (binascii.Error, ValueError, msgspec.DecodeError):
            return None

    def _tag(self, body: bytes) -> bytes:
        return hashlib.blake2b(body, key=self._secret, digest_size=TAG_BYTES).digest()
