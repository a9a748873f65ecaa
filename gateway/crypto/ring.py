"""The key ring: numbered keys of every kind, the newest in use, the older ones kept for what they made."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.crypto import jose, keyfiles, pseudonyms
from gateway.crypto.keyfiles import KINDS, KeyFile
from gateway.errors import StartError

_REMEMBERED: Final = 8192
_NONCE_BYTES: Final = 12
_AS_LETTERS: Final = str.maketrans("0123456789", "ghijklmnop")  # nine digits in an id could pass for a BSN
# Rows of the store carry ids made with these; under a new key they would no longer be found.
_NAMING: Final = frozenset({"patient-id", "item-id"})


class SealError(ValueError):
    """Sealed content that was altered, belongs to another custodian, or was made with a key that is gone."""


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What may be told about a key."""

    kind: str
    number: int
    algorithm: str
    created: str  # FHIR instant
    state: str  # "current" | "kept"


class KeyRing:
    """Every secret of one gateway; the same directory on every replica gives the same ids.

    INVARIANT: nothing this object prints or raises holds key material or an identifier of a person.
    """

    def __init__(self, directory: Path, systems: Iterable[str] = ()) -> None:
        self._directory = directory
        self._systems = {pseudonyms.short_form(system): system for system in systems}
        self.generation = 0  # grows when the set of keys changes: what was derived from it is then stale
        self._load()

    @classmethod
    def open(cls, directory: Path, systems: Iterable[str] = ()) -> Self:
        """Read the keys of a directory. `systems`: identifier systems of the region other than the BSN.

        Raises:
            StartError: missing, unreadable, open to others, or damaged. Exit code 3.
        """
        return cls(directory, systems)

    @classmethod
    def create(cls, directory: Path, now: datetime | None = None, systems: Iterable[str] = ()) -> Self:
        """Make a directory with the first key of every kind.

        Raises:
            StartError: there are keys already, or the directory cannot be written. Exit code 3.
        """
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            occupied = any(directory.glob("*.json"))
            if not occupied:
                directory.chmod(0o700)
        except OSError as error:
            message = f"{directory}: cannot be made ({error.strerror}); choose a directory the gateway's user owns"
            raise StartError(message) from None
        if occupied:
            message = f"{directory}: holds keys already and they are not overwritten; use 'gateway keys rotate KIND'"
            raise StartError(message)
        for kind in KINDS:
            keyfiles.write_new(directory, kind, 1, now)
        return cls(directory, systems)

    def __repr__(self) -> str:
        return f"KeyRing({str(self._directory)!r})"

    def keys(self) -> tuple[KeyInfo, ...]:
        """Every key, without its material."""
        return tuple(
            KeyInfo(
                kind, key.number, key.algorithm, key.created, "current" if key.number == self.current(kind) else "kept"
            )
            for kind, numbered in self._files.items()
            for key in numbered.values()
        )

    def current(self, kind: str) -> int:
        """The number of the key new things are made with."""
        return self._current[kind]

    def rotate(self, kind: str, now: datetime | None = None, *, renamed: bool = False) -> KeyInfo:
        """Make the next key of a kind and use it from now on; what older keys made stays readable.

        `renamed` says that every store finds its rows under the new ids too (see `patient_ids`).

        Raises:
            StartError: no such kind (exit code 2); the store would lose sight of objections and registrations
                made under the older ids, or the key cannot be written (exit code 3).
        """
        if kind not in KINDS:
            message = f"'{kind}' is no kind of key; kinds are: {', '.join(KINDS)}"
            raise StartError(message, 2)
        if kind in _NAMING and not renamed:
            message = (
                f"'{kind}' names rows of the store; with a new key, objections and registrations made before "
                "would no longer be found. Rotate it only together with a migration of the store"
            )
            raise StartError(message)
        number = max(keyfiles.read_all(self._directory)[kind]) + 1
        keyfiles.write_new(self._directory, kind, number, now)
        self._load()
        return next(key for key in self.keys() if (key.kind, key.number) == (kind, number))

    def refresh(self) -> bool:
        """Take over keys another process added or removed; true when there were any.

        Raises:
            StartError: the directory is no longer sound; the keys in memory stay in use.
        """
        try:
            changed = self._directory.stat().st_mtime_ns != self._read_at
        except OSError:
            changed = True
        if changed:
            self._load()
        return changed

    # --- pseudonyms and digests ------------------------------------------------------------------

    def patient_id(self, system: str, value: str) -> str:
        """The pseudonymous id of an identifier: deterministic, the same on every replica.

        Raises:
            ValueError: empty, too long for a FHIR id, or of a system that is not configured.
        """
        number = self._current["patient-id"]
        return pseudonyms.encode(self._siv[number], number, system, value, self._systems)

    def patient_ids(self, system: str, value: str) -> tuple[str, ...]:
        """Every id this identifier ever had, the current one first: stores may hold rows under older keys.

        Raises:
            ValueError: see `patient_id`.
        """
        return tuple(
            pseudonyms.encode(self._siv[number], number, system, value, self._systems)
            for number in sorted(self._siv, reverse=True)
        )

    def patient_identifier(self, patient_id: str) -> tuple[str, str] | None:
        """System and value behind a patient id, None when it is not one of ours."""
        found = self._identifiers.get(patient_id)
        if found is not None:
            return found
        number = pseudonyms.number_of(patient_id)
        cipher = self._siv.get(number) or self._siv_after_refresh(number) if number is not None else None
        found = pseudonyms.decode(cipher, patient_id, self._systems) if cipher else None
        if found is not None:
            if len(self._identifiers) >= _REMEMBERED:
                self._identifiers.clear()
            self._identifiers[patient_id] = found
        return found

    def item_id(self, custodian: str, native: str) -> str:
        """The id of an item: keyed digest of custodian and native key."""
        return f"i{self._current['item-id']}-{self._keyed('item', custodian, native)}"

    def digest(self, label: str, text: str) -> str:
        """A keyed digest of a text that could identify a person; `label` keeps uses apart."""
        return self._keyed("digest", label, text)

    # --- signatures ------------------------------------------------------------------------------

    def sign_jwt(self, claims: dict[str, Any], *, typ: str) -> str:
        """Sign claims with the current token key; `typ` keeps one kind of token from passing for another."""
        number = self._current["token"]
        return jose.sign(claims, self._signers[number], algorithm="ES256", typ=typ, kid=f"token-{number}")

    def token_keys(self, kid: str | None) -> jose.PublicKeys:
        """The keys our own tokens may be signed with, also one another replica made a moment ago."""
        if kid is not None and kid not in self._verifiers.by_kid:
            with contextlib.suppress(StartError):
                self.refresh()
        return self._verifiers

    def jwks(self) -> dict[str, Any]:
        """The public token keys as a JWK Set, the current one first."""
        return {"keys": [self._public[number] for number in sorted(self._public, reverse=True)]}

    def sign_audit(self, message: bytes, number: int | None = None) -> bytes:
        """An Ed25519 signature with an audit key, the current one unless named; `current("audit")` says which."""
        return self._auditors[number or self._current["audit"]].sign(message)

    def audit_keys(self) -> dict[int, bytes]:
        """The raw public audit keys by number, for whoever must prove the log without this ring."""
        return {number: key.public_key().public_bytes_raw() for number, key in self._auditors.items()}

    def verify_audit(self, message: bytes, signature: bytes, number: int) -> bool:
        """Claim that an audit key of this ring signed the message."""
        key = self._auditors.get(number)
        if key is None:
            return False
        try:
            key.public_key().verify(signature, message)
        except InvalidSignature:
            return False
        return True

    # --- sealing ---------------------------------------------------------------------------------

    def seal(self, custodian: str, plain: bytes, associated: bytes = b"") -> bytes:
        """Encrypt content under the key of one custodian; `associated` must be given again to open it."""
        number = self._current["seal"]
        nonce = secrets.token_bytes(_NONCE_BYTES)
        head = number.to_bytes(2, "big")
        return head + nonce + self._sealer(number, custodian).encrypt(nonce, plain, head + associated)

    def unseal(self, custodian: str, sealed: bytes, associated: bytes = b"") -> bytes:
        """Open what `seal` made.

        Raises:
            SealError: altered, another custodian, other associated bytes, or the key is gone.
        """
        head, nonce, rest = sealed[:2], sealed[2 : 2 + _NONCE_BYTES], sealed[2 + _NONCE_BYTES :]
        number = int.from_bytes(head, "big")
        if number not in self._files["seal"]:
            with contextlib.suppress(StartError):
                self.refresh()
        if number not in self._files["seal"] or len(nonce) != _NONCE_BYTES:
            message = f"no 'seal' key {number} here; restore it from backup"
            raise SealError(message)
        try:
            return self._sealer(number, custodian).decrypt(nonce, rest, head + associated)
        except InvalidTag:
            message = "sealed content was altered or belongs elsewhere"
            raise SealError(message) from None

    # --- inside ----------------------------------------------------------------------------------

    def _load(self) -> None:
        """Read the directory; replaces the keys in memory only when all of it is sound."""
        with contextlib.suppress(OSError):
            self._read_at = self._directory.stat().st_mtime_ns
        files: dict[str, dict[int, KeyFile]] = keyfiles.read_all(self._directory)
        signers = {number: jose.signing_key(key.material) for number, key in files["token"].items()}
        self._files = files
        self._current = {kind: max(numbered) for kind, numbered in files.items()}
        self._siv = {number: AESSIV(key.material) for number, key in files["patient-id"].items()}
        self._digest_key = files["item-id"][self._current["item-id"]].material
        self._auditors = {
            number: Ed25519PrivateKey.from_private_bytes(key.material) for number, key in files["audit"].items()
        }
        self._signers = signers
        self._public = {
            number: jose.public_jwk(signer, f"token-{number}", "ES256") for number, signer in signers.items()
        }
        self._verifiers = jose.PublicKeys({jwk["kid"]: jose.public_key(jwk) for jwk in self._public.values()})
        self._identifiers: dict[str, tuple[str, str]] = {}
        self._sealers: dict[tuple[int, str], AESGCM] = {}
        self.generation += 1

    def _siv_after_refresh(self, number: int) -> AESSIV | None:
        with contextlib.suppress(StartError):
            self.refresh()
        return self._siv.get(number)

    def _keyed(self, use: str, first: str, second: str) -> str:
        """A digest of two texts; the length of the first keeps where one ends unmistakable.

        Spec: RFC 7693 2.9 (keyed BLAKE2b). Every item of every answer comes through here; HMAC costs four times as much.
        """
        text = f"{use}{len(first)}:{first}{second}".encode()
        return hashlib.blake2b(text, key=self._digest_key, digest_size=20).hexdigest().translate(_AS_LETTERS)

    def _sealer(self, number: int, custodian: str) -> AESGCM:
        found = self._sealers.get((number, custodian))
        if found is None:
            derived = HKDF(SHA256(), 32, salt=None, info=b"roaz seal\0" + custodian.encode())
            found = AESGCM(derived.derive(self._files["seal"][number].material))
            if len(self._sealers) >= _REMEMBERED:
                self._sealers.clear()
            self._sealers[number, custodian] = found
        return found
