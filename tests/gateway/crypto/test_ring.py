"""The key ring: created closed, opened only when sound, rotated with overlap, silent about what it holds."""

# ruff: noqa: SIM118 - KeyRing.keys() is a list of facts, not a mapping

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.crypto import jose, keyfiles
from gateway.crypto.keyfiles import KINDS
from gateway.crypto.ring import KeyRing, SealError
from gateway.errors import StartError
from profiles.identifiers import BSN_SYSTEM

BSN = "999990019"
LOCAL = "urn:oid:2.16.840.1.113883.2.4.99.1"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def ring(directory: Path) -> KeyRing:
    return KeyRing.create(directory, NOW, [LOCAL])


def test_created_ring_is_closed_to_others_and_holds_every_kind(ring: KeyRing, directory: Path) -> None:
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    assert {(key.kind, key.number, key.state) for key in ring.keys()} == {(kind, 1, "current") for kind in KINDS}
    assert {key.created for key in ring.keys()} == {"2026-11-22T12:00:00+00:00"}
    assert all(not path.name.startswith(".") for path in directory.iterdir())


def test_creation_without_a_time_takes_the_file_system_clock(directory: Path) -> None:
    created = KeyRing.create(directory).keys()[0].created
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", created)


def test_creation_never_overwrites(ring: KeyRing, directory: Path) -> None:
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    with pytest.raises(StartError, match="not overwritten") as caught:
        KeyRing.create(directory)
    assert caught.value.exit_code == 3
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


def test_creation_under_a_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StartError, match="cannot be made") as caught:
        KeyRing.create(tmp_path / "file" / "keys")
    assert caught.value.exit_code == 3


def test_missing_directory_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="no such key directory; make one with 'gateway init DIR'") as caught:
        KeyRing.open(tmp_path / "none")
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("kind", KINDS)
def test_missing_key_is_named(ring: KeyRing, directory: Path, kind: str) -> None:
    (directory / f"{kind}-1.json").unlink()
    with pytest.raises(StartError, match=re.escape(f"{kind}-1.json: no '{kind}' key here; restore it from backup")):
        KeyRing.open(directory)


def test_unreadable_key_is_named(ring: KeyRing, directory: Path) -> None:
    path = directory / "seal-1.json"
    path.unlink()
    path.mkdir(mode=0o700)
    with pytest.raises(StartError, match=r"seal-1\.json: the key cannot be read") as caught:
        KeyRing.open(directory)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_key_open_to_others_is_refused(ring: KeyRing, directory: Path, mode: int) -> None:
    (directory / "token-1.json").chmod(mode)
    with pytest.raises(StartError, match=r"token-1\.json: others than the owner.*chmod 600"):
        KeyRing.open(directory)


def test_directory_others_may_write_is_refused(ring: KeyRing, directory: Path) -> None:
    directory.chmod(0o770)
    with pytest.raises(StartError, match="others may write here"):
        KeyRing.open(directory)


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[: len(raw) // 2],
        lambda raw: b"",
        lambda raw: b"\xff" + raw,
        lambda raw: raw.replace(b'"number": 1', b'"number": 2'),
        lambda raw: re.sub(rb'("key": ")(.)', lambda found: found[1] + (b"B" if found[2] != b"B" else b"C"), raw),
        lambda raw: raw.replace(b'"AES-256-SIV"', b'"none"'),
    ],
)
def test_every_damage_is_seen_and_the_material_stays_out_of_the_text(
    ring: KeyRing, directory: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = directory / "patient-id-1.json"
    raw = path.read_bytes()
    secret = json.loads(raw)["key"]
    path.write_bytes(damage(raw))
    with pytest.raises(
        StartError, match=r"patient-id-1\.json: the key file is damaged; restore it from backup"
    ) as caught:
        KeyRing.open(directory)
    assert caught.value.exit_code == 3
    assert secret[:8] not in str(caught.value)


def test_nothing_printed_holds_material(ring: KeyRing, directory: Path) -> None:
    secrets = [json.loads(path.read_bytes())["key"] for path in directory.iterdir()]
    printed = repr(ring) + str(ring) + repr(ring.keys()) + repr(ring.token_keys(None)) + json.dumps(ring.jwks())
    assert all(secret[:12] not in printed for secret in secrets)
    assert '"d"' not in printed


# --- patient ids ---------------------------------------------------------------------------------


def test_patient_id_is_a_fhir_id_deterministic_and_reversible(ring: KeyRing, directory: Path) -> None:
    made = ring.patient_id(BSN_SYSTEM, BSN)
    assert re.fullmatch(r"p1-[a-z2-7]{42}", made)
    assert BSN not in made
    other = KeyRing.open(directory)
    assert other.patient_id(BSN_SYSTEM, BSN) == made
    assert other.patient_identifier(made) == (BSN_SYSTEM, BSN)
    assert other.patient_identifier(made) == (BSN_SYSTEM, BSN), "from memory"


def test_oid_and_url_of_the_bsn_name_the_same_patient(ring: KeyRing) -> None:
    assert ring.patient_id("urn:oid:2.16.840.1.113883.2.4.6.3", BSN) == ring.patient_id(BSN_SYSTEM, BSN)


@pytest.mark.parametrize(("system", "value"), [(LOCAL, "A"), (LOCAL, "TRIP-2026-12345"), ("urn:x", "p|1")])
def test_other_systems_fit_too(ring: KeyRing, system: str, value: str) -> None:
    made = ring.patient_id(system, value)
    assert len(made) <= 64
    assert ring.patient_identifier(made) == (system, value)


def test_longest_id_of_a_late_key_fits(ring: KeyRing, directory: Path) -> None:
    (directory / "patient-id-999.json").unlink(missing_ok=True)
    keyfiles.write_new(directory, "patient-id", 999)
    late = KeyRing.open(directory, [LOCAL])
    assert len(late.patient_id(LOCAL, "123456789012345")) <= 64


@pytest.mark.parametrize(
    ("system", "value", "text"),
    [
        (LOCAL, "1234567890123456", "longer than 15 bytes"),
        (BSN_SYSTEM, "1" * 20, "longer than 19 bytes"),
        ("https://unknown.example/a-long-system", "1", r"declare it in \[\[identifier_systems\]\]"),
        (BSN_SYSTEM, "", "identifies nobody"),
    ],
)
def test_what_does_not_fit_is_refused_without_its_value(ring: KeyRing, system: str, value: str, text: str) -> None:
    with pytest.raises(ValueError, match=text) as caught:
        ring.patient_id(system, value)
    assert len(value) < 3 or value not in str(caught.value)


def test_every_changed_letter_of_a_patient_id_is_refused(ring: KeyRing) -> None:
    made = ring.patient_id(BSN_SYSTEM, BSN)
    for position in range(3, len(made)):
        changed = made[:position] + ("a" if made[position] != "a" else "b") + made[position + 1 :]
        assert ring.patient_identifier(changed) is None, position


@pytest.mark.parametrize(
    "change",
    [
        str.upper,
        lambda text: text + "=",
        lambda text: text + "a",
        lambda text: text[:-1],
        lambda text: "p2" + text[2:],
        lambda text: "p01" + text[2:],
        lambda text: "i1" + text[2:],
        lambda text: text + "\n",
        lambda _: "",
        lambda _: "p1-",
        lambda _: "p9999-" + "a" * 42,
        lambda _: "p1-" + "a" * 42,
        lambda _: "p１-" + "a" * 42,
    ],
)
def test_ids_of_another_form_are_not_ours(ring: KeyRing, change: Callable[[str], str]) -> None:
    assert ring.patient_identifier(change(ring.patient_id(BSN_SYSTEM, BSN))) is None


def test_only_one_spelling_of_an_id_exists(ring: KeyRing) -> None:
    """Base32 leaves spare bits in the last letter; another letter there must not name the same patient."""
    made = ring.patient_id(BSN_SYSTEM, BSN)
    accepted = [letter for letter in "abcdefghijklmnopqrstuvwxyz234567" if ring.patient_identifier(made[:-1] + letter)]
    assert accepted == [made[-1]]


def test_another_ring_reads_nothing(ring: KeyRing, tmp_path: Path) -> None:
    other = KeyRing.create(tmp_path / "other")
    assert other.patient_identifier(ring.patient_id(BSN_SYSTEM, BSN)) is None
    assert other.item_id("1", "a") != ring.item_id("1", "a")


def test_rotated_patient_key_keeps_old_ids_readable(ring: KeyRing) -> None:
    old = ring.patient_id(BSN_SYSTEM, BSN)
    assert ring.rotate("patient-id", NOW, renamed=True).number == 2
    new = ring.patient_id(BSN_SYSTEM, BSN)
    assert new.startswith("p2-")
    assert ring.patient_identifier(old) == ring.patient_identifier(new) == (BSN_SYSTEM, BSN)
    assert ring.patient_ids(BSN_SYSTEM, BSN) == (new, old)
    assert [(key.number, key.state) for key in ring.keys() if key.kind == "patient-id"] == [(1, "kept"), (2, "current")]


@pytest.mark.parametrize("kind", ["patient-id", "item-id"])
def test_a_key_that_names_rows_of_the_store_is_not_rotated_alone(ring: KeyRing, kind: str) -> None:
    before = ring.keys()
    with pytest.raises(StartError, match="only together with a migration") as caught:
        ring.rotate(kind)
    assert caught.value.exit_code == 3
    assert ring.keys() == before


def test_rotating_an_unknown_kind_is_wrong_use(ring: KeyRing) -> None:
    with pytest.raises(StartError, match="kinds are: token, patient-id") as caught:
        ring.rotate("tokens")
    assert caught.value.exit_code == 2


def test_a_replica_follows_a_rotation_elsewhere(ring: KeyRing, directory: Path) -> None:
    replica = KeyRing.open(directory)
    os.utime(directory, ns=(1, 1))
    assert replica.refresh()
    ring.rotate("patient-id", renamed=True)
    made = ring.patient_id(BSN_SYSTEM, BSN)
    generation = replica.generation
    assert replica.patient_identifier(made) == (BSN_SYSTEM, BSN)
    assert replica.generation == generation + 1
    assert not replica.refresh()


def test_a_refresh_that_fails_keeps_the_keys_in_memory(ring: KeyRing, directory: Path) -> None:
    made = ring.patient_id(BSN_SYSTEM, BSN)
    (directory / "audit-1.json").unlink()
    with pytest.raises(StartError, match="audit-1"):
        ring.refresh()
    assert ring.patient_identifier(made) == (BSN_SYSTEM, BSN)
    assert ring.patient_identifier("p7-" + made[3:]) is None


# --- item ids and digests --------------------------------------------------------------------------


def test_item_ids_are_pairwise_and_unambiguous(ring: KeyRing) -> None:
    made = ring.item_id("00000001", "Observation/1")
    assert re.fullmatch(r"i1-[a-p]{40}", made)
    assert made == ring.item_id("00000001", "Observation/1")
    assert (
        len(
            {
                made,
                ring.item_id("00000002", "Observation/1"),
                ring.item_id("00000001O", "bservation/1"),
                "i1-" + ring.digest("00000001", "Observation/1"),
            }
        )
        == 4
    )


# --- sealing ---------------------------------------------------------------------------------------


def test_sealed_content_opens_with_its_custodian_and_context_only(ring: KeyRing) -> None:
    sealed = ring.seal("00000001", b"content", b"key-1")
    assert sealed != ring.seal("00000001", b"content", b"key-1")
    assert b"content" not in sealed
    assert ring.unseal("00000001", sealed, b"key-1") == b"content"
    for custodian, raw, associated in (
        ("00000002", sealed, b"key-1"),
        ("00000001", sealed, b"key-2"),
        ("00000001", sealed[:-1] + bytes([sealed[-1] ^ 1]), b"key-1"),
        ("00000001", sealed[:10], b"key-1"),
        ("00000001", b"", b"key-1"),
        ("00000001", b"\0\7" + sealed[2:], b"key-1"),
    ):
        with pytest.raises(SealError):
            ring.unseal(custodian, raw, associated)


def test_rotation_keeps_sealed_content_readable(ring: KeyRing, directory: Path) -> None:
    sealed = ring.seal("00000001", b"content")
    replica = KeyRing.open(directory)
    ring.rotate("seal")
    assert ring.unseal("00000001", sealed) == b"content"
    os.utime(directory, ns=(1, 1))
    assert replica.unseal("00000001", ring.seal("00000001", b"new")) == b"new"


# --- signatures ------------------------------------------------------------------------------------


def test_audit_signatures_name_their_key(ring: KeyRing) -> None:
    signature, number = ring.sign_audit(b"checkpoint"), ring.current("audit")
    ring.rotate("audit")
    assert ring.verify_audit(b"checkpoint", signature, number)
    assert not ring.verify_audit(b"checkpoint", signature, ring.current("audit"))
    assert not ring.verify_audit(b"checkpoinT", signature, number)
    assert not ring.verify_audit(b"checkpoint", signature, 9)
    assert set(ring.audit_keys()) == {1, 2}


def test_tokens_of_an_older_key_stay_valid_and_the_newest_signs(ring: KeyRing, directory: Path) -> None:
    replica = KeyRing.open(directory)
    old = ring.sign_jwt({"a": 1}, typ="at+jwt")
    ring.rotate("token")
    new = ring.sign_jwt({"a": 2}, typ="at+jwt")
    os.utime(directory, ns=(1, 1))
    for holder in (ring, replica):
        for token, value in ((old, 1), (new, 2)):
            keys = holder.token_keys(jose.parse(token).kid)
            assert jose.verify(token, keys, algorithms=["ES256"], types=["at+jwt"]) == {"a": value}
    assert [key["kid"] for key in ring.jwks()["keys"]] == ["token-2", "token-1"]
    assert all(key["use"] == "sig" and key["alg"] == "ES256" and "d" not in key for key in ring.jwks()["keys"])


# --- where the directory fails -----------------------------------------------------------------------


def test_a_file_is_no_key_directory(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("x")
    with pytest.raises(StartError, match="the key directory cannot be read") as caught:
        KeyRing.open(tmp_path / "keys")
    assert caught.value.exit_code == 3


def test_a_key_is_never_written_over_and_no_rest_is_left(ring: KeyRing, directory: Path) -> None:
    with pytest.raises(StartError, match=r"seal-1\.json: exists already"):
        keyfiles.write_new(directory, "seal", 1)
    with pytest.raises(StartError, match=r"seal-1\.json: cannot be written"):
        keyfiles.write_new(directory / "none", "seal", 1)
    assert [path.name for path in directory.iterdir() if path.name.startswith(".")] == []


def test_a_directory_that_went_away_keeps_the_ring_working(ring: KeyRing, directory: Path) -> None:
    made = ring.patient_id(BSN_SYSTEM, BSN)
    directory.rename(directory.with_name("moved"))
    with pytest.raises(StartError, match="no such key directory"):
        ring.refresh()
    assert ring.patient_identifier(made) == (BSN_SYSTEM, BSN)


def test_memory_of_patients_is_bounded(ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.crypto.ring._REMEMBERED", 2)
    for number in range(5):
        ring.patient_identifier(ring.patient_id(LOCAL, str(number)))
        ring.seal(str(number), b"x")
    assert len(ring._identifiers) <= 2
    assert len(ring._sealers) <= 2
