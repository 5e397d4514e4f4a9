"""Ed25519 against RFC 8032, and against who would bend it."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from floorlog.record.log.sign import public_key, sign, signed_note
from floorlog.record.verifier import ORDER, Key, Wrong, decode_point, is_signed, signed_text

# RFC 8032, section 7.1: secret key, public key, message, signature.
VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        b"",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        b"\x72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        b"\xaf\x82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        hashlib.sha512(b"abc").digest(),
        (
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
            "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704"
        ),
    ),
]
# Points of order 1, 2, 4 and 8, and ways to write some of them that RFC 8032 forbids.
SMALL = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
]
NOT_CANONICAL = [
    "0100000000000000000000000000000000000000000000000000000000000080",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]
# From Go's golang.org/x/mod/sumdb/note.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
WISDOM = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n\n\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBt"
    "iFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


@pytest.mark.parametrize(("secret", "public", "message", "signature"), VECTORS)
def test_vectors_of_the_rfc(secret, public, message, signature) -> None:
    """Keys and signatures are the RFC's, and each verifies."""
    assert public_key(bytes.fromhex(secret)).hex() == public
    assert sign(bytes.fromhex(secret), message).hex() == signature
    assert is_signed(bytes.fromhex(public), message, bytes.fromhex(signature))


@settings(max_examples=40)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=99), st.integers(0, 767))
def test_a_bent_signature_is_refused(secret, message, bit) -> None:
    """A flipped bit in signature or key, or another message: no."""
    public, signature = public_key(secret), sign(secret, message)
    assert is_signed(public, message, signature)
    bent = bytearray(signature + public)
    bent[bit // 8] ^= 1 << bit % 8
    assert not is_signed(bytes(bent[64:]), message, bytes(bent[:64]))
    assert not is_signed(public, message + b"\0", signature)


def test_a_second_form_of_a_signature_is_refused() -> None:
    """S plus the order is the same number to the curve, but no signature."""
    _, public, message, signature = VECTORS[2]
    data = bytes.fromhex(signature)
    s = int.from_bytes(data[32:], "little") + ORDER
    assert not is_signed(bytes.fromhex(public), message, data[:32] + s.to_bytes(32, "little"))
    for cut in (b"", data[:63], data + b"\0"):
        assert not is_signed(bytes.fromhex(public), message, cut)


@pytest.mark.parametrize("key", SMALL)
def test_keys_of_small_order_are_refused(key) -> None:
    """With such a key one signature, of S = 0, would fit many messages."""
    assert decode_point(bytes.fromhex(key)) is not None
    for r in (*SMALL, *NOT_CANONICAL):
        for message in (b"a", b"b", b"c", b"d"):
            assert not is_signed(bytes.fromhex(key), message, bytes.fromhex(r) + bytes(32))


@pytest.mark.parametrize("data", [*NOT_CANONICAL, "02" + "00" * 31, "", "58" + "66" * 30])
def test_what_is_no_point(data) -> None:
    """Coordinates beyond the field, a sign on zero, no point of the curve, another length."""
    assert decode_point(bytes.fromhex(data)) is None


def test_a_note_that_go_signed() -> None:
    """Go's example verifies; by another key, or with another word, it does not."""
    key = Key(PETER)
    text, name = signed_text(WISDOM, [key])
    assert WISDOM.startswith(text)
    assert name == "PeterNeumann"
    with pytest.raises(Wrong, match="is false"):
        signed_text(WISDOM.replace("cryptography", "cryptology"), [key])
    other = bytes(32)
    note = signed_note("text\n", "PeterNeumann", other).decode()
    with pytest.raises(Wrong, match="none of the keys"):
        signed_text(note, [key])
    # Lines of unknown keys are passed over, as C2SP asks.
    both = WISDOM + note.split("\n\n")[1]
    assert signed_text(both, [key])[0] == text


def test_a_secret_has_its_length() -> None:
    """Anything but 32 bytes is an error."""
    with pytest.raises(ValueError, match="32 bytes"):
        sign(b"short", b"")


def test_the_key_of_the_long_vector() -> None:
    """The RFC's TEST 1024: its message is another implementation's to sign, below."""
    secret = "f5e5767cf153319517630f226876b86c8160cc583bc013744c6bf255f5cc0ee5"
    public = "278117fc144c72340f67d0f2316e8386ceffbf2b2428c9c51fef7c597f1d426e"
    assert public_key(bytes.fromhex(secret)).hex() == public


@settings(max_examples=30)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=1_200))
def test_another_implementation_agrees(secret, message) -> None:
    """OpenSSL, through the package cryptography: the same keys, the same signatures."""
    theirs = Ed25519PrivateKey.from_private_bytes(secret)
    public = theirs.public_key().public_bytes_raw()
    signature = theirs.sign(message)
    assert public_key(secret) == public
    assert sign(secret, message) == signature
    assert is_signed(public, message, signature)
