"""Certificates made while testing: good ones and bad ones."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate (with its chain) and its key, as files."""

    certificate: Path
    key: Path

    def server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("ALL:@SECLEVEL=0")  # the weak ones too: refusing them is up to the other side
        context.load_cert_chain(self.certificate, self.key)
        return context


class Authority:
    """A certificate authority in a directory; `file` is what those who trust it need."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("Test authority")
        self._certificate = (
            _builder(self._name, self._name, self._key, timedelta(days=-1), timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(authority=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = directory / "ca.pem"
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        self._count = 0

    def intermediate(self) -> Authority:
        """An authority below this one, whose certificate a careless server leaves out."""
        child = Authority(self._directory / "intermediate")
        child._name = _name("Intermediate")
        child._certificate = (
            _builder(child._name, self._name, child._key, timedelta(days=-1), timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(authority=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        return child

    def issue(
        self,
        host: str,
        *,
        after: timedelta = timedelta(days=-1),
        until: timedelta = timedelta(days=1),
        key: Key | None = None,
        with_chain: bool = False,
    ) -> Issued:
        self._count += 1
        mine: Key = key or ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(_name(host), self._name, mine, after, until)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        chain = [certificate, self._certificate] if with_chain else [certificate]
        files = Issued(self._directory / f"{self._count}.pem", self._directory / f"{self._count}.key")
        files.certificate.write_bytes(b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain))
        files.key.write_bytes(
            mine.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return files


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(True, False, False, False, False, authority, authority, False, False)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Key, after: timedelta, until: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + after)
        .not_valid_after(now + until)
    )
