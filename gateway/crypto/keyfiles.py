"""Key files on disk: one file a key, readable by its owner only, with a check that shows damage."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.errors import StartError

_NAME: Final = re.compile(r"([a-z]+(?:-[a-z]+)*)-([1-9][0-9]{0,2})\.json")


def _p256() -> bytes:
    return generate_private_key(SECP256R1()).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _ed25519() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes_raw()


# kind -> what it is used with, and how new material is made
KINDS: Final[dict[str, tuple[str, Callable[[], bytes]]]] = {
    "token": ("ES256", _p256),
    "patient-id": ("AES-256-SIV", lambda: secrets.token_bytes(64)),
    "item-id": ("HMAC-SHA256", lambda: secrets.token_bytes(32)),
    "seal": ("HKDF-SHA256/AES-256-GCM", lambda: secrets.token_bytes(32)),
    "audit": ("Ed25519", _ed25519),
}


@dataclass(frozen=True, slots=True)
class KeyFile:
    """One key as it is kept; its printed form never shows the material."""

    kind: str
    number: int
    algorithm: str
    created: str  # FHIR instant
    material: bytes = field(repr=False)


class _Form(msgspec.Struct, forbid_unknown_fields=True):
    kind: str
    number: int
    algorithm: str
    created: str
    key: str
    check: str


def read_all(directory: Path) -> dict[str, dict[int, KeyFile]]:
    """Read every key of a directory, by kind and number.

    Raises:
        StartError: missing, unreadable, open to others, damaged, or a kind without a key. Exit code 3.
    """
    try:
        paths = sorted(path for path in directory.iterdir() if _NAME.fullmatch(path.name))
        mode = directory.stat().st_mode
    except FileNotFoundError:
        message = f"{directory}: no such key directory; make one with 'gateway init DIR' or restore it from backup"
        raise StartError(message) from None
    except OSError as error:
        message = f"{directory}: the key directory cannot be read ({error.strerror}); let the gateway's user own it"
        raise StartError(message) from None
    if mode & 0o022:
        message = f"{directory}: others may write here; run: chmod 700 {directory}"
        raise StartError(message)
    found: dict[str, dict[int, KeyFile]] = {}
    for path in paths:
        key = _read(path)
        found.setdefault(key.kind, {})[key.number] = key
    for kind in KINDS:
        if kind not in found:
            message = (
                f"{directory / f'{kind}-1.json'}: no '{kind}' key here; restore it from backup: "
                "ids and sealed content made with a lost key are lost too"
            )
            raise StartError(message)
    return found


def write_new(directory: Path, kind: str, number: int, now: datetime | None = None) -> KeyFile:
    """Make a key and write it in one atomic step; an existing file is never touched.

    Without `now` the clock of the file system says when the key was made.

    Raises:
        StartError: the file exists or cannot be written. Exit code 3.
    """
    algorithm, make = KINDS[kind]
    path = directory / f"{kind}-{number}.json"
    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=directory, prefix=f".{kind}-")  # mkstemp gives mode 0600
        with os.fdopen(descriptor, "wb") as file:
            created = now or datetime.fromtimestamp(os.fstat(descriptor).st_mtime, UTC)
            key = KeyFile(kind, number, algorithm, created.isoformat(timespec="seconds"), make())
            file.write(_form(key))
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)  # unlike rename, fails when the key exists
        _make_durable(directory)
    except FileExistsError:
        message = f"{path}: exists already and is not overwritten"
        raise StartError(message) from None
    except OSError as error:
        message = f"{path}: cannot be written ({error.strerror}); let the gateway's user own {directory}"
        raise StartError(message) from None
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
    return key


def _make_durable(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _form(key: KeyFile) -> bytes:
    text = base64.b64encode(key.material).decode()
    return msgspec.json.format(
        msgspec.json.encode(_Form(key.kind, key.number, key.algorithm, key.created, text, _check(key))), indent=1
    )


def _check(key: KeyFile) -> str:
    """A digest that a changed letter breaks; too short to say anything about 256 random bits."""
    facts = f"{key.kind}\0{key.number}\0{key.algorithm}\0".encode()
    return hashlib.sha256(facts + key.material).hexdigest()[:16]


def _read(path: Path) -> KeyFile:
    try:
        mode = path.stat().st_mode
        raw = path.read_bytes()
    except OSError as error:
        message = f"{path}: the key cannot be read ({error.strerror}); let the gateway's user own it, mode 0600"
        raise StartError(message) from None
    if mode & 0o077:
        message = (
            f"{path}: others than the owner may read or write this key; run: chmod 600 {path}, "
            "and rotate it if it was exposed"
        )
        raise StartError(message)
    try:
        form = msgspec.json.decode(raw, type=_Form)
        key = KeyFile(form.kind, form.number, form.algorithm, form.created, base64.b64decode(form.key, validate=True))
    except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error, ValueError):
        raise _damaged(path) from None
    algorithm = KINDS.get(key.kind, ("", None))[0]
    if path.name != f"{key.kind}-{key.number}.json" or key.algorithm != algorithm or _check(key) != form.check:
        raise _damaged(path)
    return key


def _damaged(path: Path) -> StartError:
    return StartError(
        f"{path}: the key file is damaged; restore it from backup (do not make a new one: "
        "ids and sealed content depend on it)"
    )
