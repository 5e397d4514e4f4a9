"""Where the log's signing key is: a private file, or wrapped by a key of KMS beside the anchors."""

import secrets
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import msgspec

from floorlog.config import Settings
from floorlog.core.ledger.tree import HASH_BYTES
from floorlog.errors import InputError, ServiceError
from floorlog.record.log.anchor import Anchor, Signer, open_signer

KMS = "kms:"
WRAPPED = "signing.key.kms"


class Wrapped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The key as it lies beside the anchors.

    Attributes:
        name: of the log; what KMS binds the secret to (its encryption context).
        key: the key of KMS that wraps it.
        secret: the wrapped secret, base64.
    """

    name: str
    key: str
    secret: str


def signer_of(where: str, anchor: Anchor, settings: Settings, *, may_create: bool) -> Signer:
    """The signer that FLOORLOG_SIGNING_KEY names: a file, or `kms:` and a key of KMS.

    Args:
        where: the setting.
        anchor: where a wrapped key lies.
        settings: for the region.
        may_create: make a key where there is none.

    Raises:
        InputError: the key cannot be read, or is none.
        ServiceError: KMS does not unwrap it.
        OSError: the anchors cannot be read.
    """
    if where.startswith(KMS):
        return _Keys(where.removeprefix(KMS), settings.region).signer(anchor, may_create=may_create)
    return open_signer(Path(where), may_create=may_create)


def signer_at_hand(settings: Settings, anchor: Anchor) -> Signer | None:
    """The signer for who may do without: None where no key is named, or its file is not here.

    Raises:
        InputError: the key cannot be read, or is none.
        ServiceError: KMS does not unwrap it.
        OSError: the anchors cannot be read.
    """
    where = settings.signing_key
    if not where or not (where.startswith(KMS) or Path(where).exists()):
        return None
    return signer_of(where, anchor, settings, may_create=False)


class _Keys:
    """Wraps and unwraps secrets of 32 bytes by a symmetric key of KMS.

    KMS's own Ed25519 keys would not let the secret out at all; see docs/why/0050.
    """

    def __init__(self, key: str, region: str) -> None:
        from botocore.session import Session  # noqa: PLC0415 - what runs locally starts sooner without it

        self._key = key
        self._client = Session().create_client("kms", region_name=region)

    def signer(self, anchor: Anchor, *, may_create: bool) -> Signer:
        """The signer; its key is made where there is none, and kept by whoever was first."""
        try:
            data = anchor.get(WRAPPED)
        except FileNotFoundError:
            if not may_create:
                raise InputError(
                    "the wrapped signing key is gone",
                    where=f"anchor {WRAPPED}",
                    fix="put it back from a copy: a new key would hide that the old one is lost",
                ) from None
            anchor.keep(WRAPPED, self._wrap())
            data = anchor.get(WRAPPED)
        try:
            wrapped = msgspec.json.decode(data, type=Wrapped)
            secret = b64decode(wrapped.secret, validate=True)
        except ValueError as error:
            raise InputError(
                f"that is no wrapped signing key: {error}",
                where=f"anchor {WRAPPED}",
                fix="put it back from a copy",
            ) from error
        answer = self._ask(
            "decrypt", KeyId=wrapped.key, CiphertextBlob=secret, EncryptionContext=_bound(wrapped)
        )
        plain = bytes(answer["Plaintext"])
        if len(plain) != HASH_BYTES:
            raise InputError("the wrapped key is none of Ed25519", where=f"anchor {WRAPPED}")
        return Signer(wrapped.name, plain)

    def _wrap(self) -> bytes:
        made = Wrapped(f"floorlog-{secrets.token_hex(4)}", self._key, "")
        answer = self._ask(
            "encrypt",
            KeyId=self._key,
            Plaintext=secrets.token_bytes(HASH_BYTES),
            EncryptionContext=_bound(made),
        )
        secret = b64encode(bytes(answer["CiphertextBlob"])).decode()
        return msgspec.json.encode(Wrapped(made.name, made.key, secret))

    def _ask(self, operation: str, **values: object) -> Any:  # noqa: ANN401 - botocore's answer
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - what runs locally starts sooner without it

        try:
            return getattr(self._client, operation)(**values)
        except (BotoCoreError, ClientError) as error:
            raise ServiceError(
                f"KMS does not {operation} the signing key: {error}",
                where=self._key,
                fix="let the task's role use this key, and see that it is enabled",
            ) from error


def _bound(wrapped: Wrapped) -> dict[str, str]:
    return {"floorlog:log": wrapped.name}
