"""Signed notes and checkpoints: what a witness signs can be read and checked by anybody, and nothing else passes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.audit import checkpoints
from gateway.audit.checkpoints import Checkpoint, Head
from gateway.audit.merkle import leaf_hash, root_of
from gateway.crypto.notes import LOG, WITNESS, Note, Verifier

NOW = datetime(2026, 11, 22, 12, 0, 0, 250_000, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
ORIGIN = "gateway.example/audit/1.2"
CHECKPOINT = Checkpoint(
    ORIGIN,
    3,
    leaf_hash(b"root"),
    NOW,
    1_234,
    (Head((1, 2), 3, leaf_hash(b"root")), Head((2, 1), 1, leaf_hash(b"x"))),
    (1, leaf_hash(b"closed")),
)


def note() -> Note:
    text = CHECKPOINT.text()
    return Note(text, (Verifier(ORIGIN, PUBLIC).sign(text, KEY.sign),))


def test_a_key_of_the_note_format_is_read_as_others_write_it() -> None:
    # The example key of the sumdb/note package, which the format comes from.
    peter = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    read = Verifier.parse(peter)
    assert (read.name, read.algorithm, read.key_id.hex()) == ("PeterNeumann", LOG, "c74f20a3")
    assert str(read) == peter
    text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    line = (
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )
    assert read.signed(Note.parse(f"{text}\n{line}".encode()))
    assert not read.signed(Note.parse(f"{text}.\n\n{line}".encode()))


@pytest.mark.parametrize(
    "vkey", ["", "x", "a+c74f20a3+", "Peter+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "a b+00000000+AQ=="]
)
def test_what_is_no_key_is_refused(vkey: str) -> None:
    with pytest.raises(ValueError, match=r"verifier key|base64"):
        Verifier.parse(vkey)


def test_a_checkpoint_is_read_back_as_it_was_signed() -> None:
    raw = note().raw()
    read = Note.parse(raw)
    assert read.raw() == raw
    assert Checkpoint.parse(read.text) == CHECKPOINT
    assert Verifier(ORIGIN, PUBLIC).signed(read)
    assert checkpoints.tree_in(read.text) == (ORIGIN, 3, CHECKPOINT.root)
    assert CHECKPOINT.log == (1, 2)


def test_a_witness_signs_what_it_saw_and_when() -> None:
    witness = Verifier("witness.example", PUBLIC, WITNESS)
    seen = note().signed([witness.cosign(note().text, NOW, KEY.sign)])
    assert witness.signed(Note.parse(seen.raw()))
    assert not witness.signed(note())
    assert not Verifier("witness.example", PUBLIC).signed(seen)
    later = witness.cosign(note().text, datetime(2027, 1, 1, tzinfo=UTC), KEY.sign)
    moved = later.value[:8] + seen.signatures[1].value[8:]
    forged = note().signed([type(later)(later.name, later.key_id, moved)])
    assert not witness.signed(forged)


@pytest.mark.parametrize("position", range(0, len(note().raw()), 7))
def test_no_byte_can_be_another(position: int) -> None:
    raw = bytearray(note().raw())
    raw[position] ^= 1
    try:
        read = Note.parse(bytes(raw))
    except ValueError:
        return
    assert not Verifier(ORIGIN, PUBLIC).signed(read)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"text\n\nname x\n",
        "text\n\n— name AAAA\n".encode(),
        "te\x01xt\n\n— name AAAAAAAA\n".encode(),
        "text\n\n— name AAAAAAAA".encode(),
        b"\xff\n\n",
        b"x" * 300_000,
    ],
)
def test_what_is_no_note_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"not a|utf-8|base64"):
        Note.parse(raw)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n3\n", "\n03\n"),
        ("time ", "tijd "),
        ("monotonic 1234", "monotonic x"),
        ("example/audit/1.2", "example/audit"),
        ("=\ntime", "\ntime"),
    ],
)
def test_what_is_no_checkpoint_is_refused(old: str, new: str) -> None:
    with pytest.raises(ValueError, match=r"checkpoint|origin|root|Invalid"):
        Checkpoint.parse(CHECKPOINT.text().replace(old, new, 1))


def test_logs_that_ended_are_one_line() -> None:
    heads = [Head((slot, epoch), 5, leaf_hash(b"%d" % epoch)) for slot in (2, 1) for epoch in (3, 1, 2)]
    live, closed = checkpoints.over(heads)
    assert [head.log for head in live] == [(1, 3), (2, 3)]
    ended = sorted(head for head in heads if head.log[1] < 3)
    assert closed == (4, root_of(leaf_hash(head.line().encode()) for head in ended))
    assert checkpoints.over(live) == (live, (0, b""))
