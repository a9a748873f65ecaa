"""What an X.509 certificate says of itself: whose it is, who vouches for it, and until when."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.errors import StartError


@dataclass(frozen=True, slots=True)
class Certificate:
    """The facts of one certificate. INVARIANT: public by nature; no key material."""

    subject: str
    issuer: str
    names: tuple[str, ...]  # host names it is for
    key: str  # "RSA 2048", "EC secp256r1", …
    starts: datetime
    ends: datetime

    def days_left(self, now: datetime) -> int:
        """Whole days until it ends; negative once it has."""
        return (self.ends - now).days


def read(der: bytes) -> Certificate:
    """Read the DER bytes of a certificate, as a TLS connection gives them.

    Raises:
        ValueError: they are not a certificate.
    """
    return _facts(x509.load_der_x509_certificate(der))


def read_file(path: Path) -> Certificate:
    """Read the first certificate of a PEM file.

    Raises:
        StartError: it cannot be read or holds no certificate. Exit code 1.
    """
    try:
        return _facts(x509.load_pem_x509_certificate(path.read_bytes()))
    except (OSError, ValueError) as error:
        message = f"{path}: not a readable certificate ({type(error).__name__})"
        raise StartError(message, 1) from None


def _facts(certificate: x509.Certificate) -> Certificate:
    return Certificate(
        subject=_common(certificate.subject),
        issuer=_common(certificate.issuer),
        names=_names(certificate),
        key=_key(certificate),
        starts=certificate.not_valid_before_utc,
        ends=certificate.not_valid_after_utc,
    )


def _common(name: x509.Name) -> str:
    found = [str(one.value) for one in name.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return found[0] if found else name.rfc4514_string()


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        named = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    addresses = (str(address) for address in named.get_values_for_type(x509.IPAddress))
    return (*named.get_values_for_type(x509.DNSName), *addresses)


def _key(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    return f"EC {key.curve.name}" if isinstance(key, ec.EllipticCurvePublicKey) else type(key).__name__.lstrip("_")


@dataclass(frozen=True, slots=True)
class Credential:
    """What a certificate is worth as the proof of a client."""

    thumbprint: str  # x5t#S256: base64url of the SHA-256 of its bytes. Spec: RFC 8705 section 3.1
    subject: str  # RFC 4514
    starts: datetime
    ends: datetime
    for_clients: bool  # its extended key usage, when it has one, names client authentication


def credential(der: bytes) -> Credential:
    """Read a certificate as the proof of a client.

    Raises:
        ValueError: not a certificate.
    """
    found = x509.load_der_x509_certificate(der)
    digest = base64.urlsafe_b64encode(found.fingerprint(hashes.SHA256())).rstrip(b"=").decode()
    subject = found.subject.rfc4514_string()
    return Credential(digest, subject, found.not_valid_before_utc, found.not_valid_after_utc, _for_clients(found))


def same_name(one: str, other: str) -> bool:
    """Claim that two distinguished names are the same, however they are spaced."""
    try:
        return x509.Name.from_rfc4514_string(one) == x509.Name.from_rfc4514_string(other)
    except ValueError:
        return False


def _for_clients(certificate: x509.Certificate) -> bool:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    except ValueError:
        return False
    return ExtendedKeyUsageOID.CLIENT_AUTH in usages
