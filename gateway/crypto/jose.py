"""Signed JSON web tokens: the one place that touches joserfc, and the one verifier of every token."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from profiles import exact

Json = dict[str, Any]
Key = ECKey | OKPKey | RSAKey

MAXIMUM_TOKEN_BYTES: Final = 8192
MAXIMUM_KEYS: Final = 32
LATEST: Final = 253_402_300_799  # 9999-12-31T23:59:59Z, the last moment a NumericDate may name

_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.ASCII)
_KEY_TYPES: Final[dict[str, type[Key]]] = {"EC": ECKey, "OKP": OKPKey, "RSA": RSAKey}
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
# A token that brings its own key, or asks for rules we do not follow, is refused instead of read without them.
_REFUSED_HEADERS: Final = ("jwk", "jku", "x5c", "x5u", "crit", "b64", "zip", "enc")
# RFC 9864 gave EdDSA with Ed25519 a name of its own; both names mean the same signature.
_SYNONYMS: Final = {"EdDSA": "Ed25519"}
_MINIMUM_RSA_CHARACTERS: Final = 2048 // 6
_MAXIMUM_RSA_CHARACTERS: Final = 8192 // 6 + 4


class TokenError(ValueError):
    """A token, key or claim that cannot be trusted; the text never repeats what was sent."""


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """The keys one party may sign with, by key id."""

    by_kid: Mapping[str, Key] = field(repr=False)

    def find(self, kid: str | None) -> Key | None:
        """The key a token names; a token without `kid` gets the only key, never a guess among several."""
        if kid is not None:
            return self.by_kid.get(kid)
        return next(iter(self.by_kid.values())) if len(self.by_kid) == 1 else None


@dataclass(frozen=True, slots=True)
class Token:
    """A compact JWS taken apart; nothing in it is proven yet."""

    header: Json
    claims: Json = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    @property
    def kid(self) -> str | None:
        """The key id the header names."""
        return self.header.get("kid")


def sign(claims: Json, key: Key, *, algorithm: str, typ: str, kid: str) -> str:
    """Write claims as a signed token."""
    header = {"alg": algorithm, "kid": kid, "typ": typ}
    signed = _segment(msgspec.json.encode(header)) + b"." + _segment(msgspec.json.encode(claims))
    signature = JWSRegistry.algorithms[_SYNONYMS.get(algorithm, algorithm)].sign(signed, key)
    return (signed + b"." + _segment(signature)).decode()


def parse(token: str, brings: str = "") -> Token:
    """Take a token apart, so that the key it needs can be found; `brings` is a header it may bring all the same.

    Raises:
        TokenError: too large, not a compact JWS, not JSON, a header that is refused.
    """
    if len(token) > MAXIMUM_TOKEN_BYTES:
        message = f"the token is larger than {MAXIMUM_TOKEN_BYTES} bytes"
        raise TokenError(message)
    found = _COMPACT.fullmatch(token)
    if found is None:
        message = "not a signed JWT of three base64url parts"
        raise TokenError(message)
    header = _json(found[1], "header")
    for name in _REFUSED_HEADERS:
        if name in header and name != brings:
            message = f"header '{name}' is not accepted"
            raise TokenError(message)
    kid = header.get("kid")
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= 256):
        message = "header 'kid' must be text of at most 256 characters"
        raise TokenError(message)
    signed = token[: found.start(3) - 1].encode()
    return Token(header, _json(found[2], "claims"), signed, _bytes(found[3], "signature"))


def verify(token: str | Token, keys: PublicKeys, *, algorithms: Collection[str], types: Collection[str]) -> Json:
    """The claims of a token, once its signature fits a key that may be used with its algorithm.

    Dates, issuer and audience are the caller's to check; see `date`, `text`.

    Raises:
        TokenError: anything else.

    Spec: RFC 8725 sections 3.1 (algorithms), 3.11 (explicit typing).
    """
    parsed = parse(token) if isinstance(token, str) else token
    algorithm = check_header(parsed, algorithms, types)
    key = keys.find(parsed.kid)
    if key is None or not _fits(parsed, algorithm, key):
        message = "the signature does not fit a key that is registered under this 'kid'"
        raise TokenError(message)
    return parsed.claims


def self_signed(token: str, *, algorithms: Collection[str], types: Collection[str]) -> tuple[Key, Json]:
    """The key a token brings itself and its claims, once signed by that key: a proof of possession, of nothing more.

    Raises:
        TokenError: no public key in header 'jwk', or anything `verify` refuses.

    Spec: RFC 9449 section 4.2.
    """
    parsed = parse(token, brings="jwk")
    algorithm = check_header(parsed, algorithms, types)
    key = public_key(parsed.header.get("jwk"))
    if not _fits(parsed, algorithm, key):
        message = "the signature does not fit the key in header 'jwk'"
        raise TokenError(message)
    return key, parsed.claims


def check_header(token: Token, algorithms: Collection[str], types: Collection[str]) -> str:
    """The algorithm of a token that says it is of one of these types and algorithms.

    Raises:
        TokenError: another type or algorithm, or none.
    """
    typ = token.header.get("typ")
    if not isinstance(typ, str) or typ.lower().removeprefix("application/") not in {name.lower() for name in types}:
        message = f"header 'typ' must be {' or '.join(sorted(types))}"
        raise TokenError(message)
    algorithm = _synonym(token.header.get("alg"))
    if algorithm not in {_synonym(name) for name in algorithms}:
        message = f"header 'alg' must be one of {', '.join(sorted(algorithms))}"
        raise TokenError(message)
    return algorithm


def public_keys(jwks: object) -> PublicKeys:
    """Read a JWK Set of public signing keys.

    Encryption keys and unknown key types are passed over, as RFC 7517 section 5 asks.

    Raises:
        TokenError: not a JWK Set, a private or symmetric key in it, a weak key, a key id twice, no usable key.
    """
    rows = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(rows, list) or not 0 < len(rows) <= MAXIMUM_KEYS:
        message = f"a JWK Set has a list 'keys' of 1 to {MAXIMUM_KEYS} keys"
        raise TokenError(message)
    found: dict[str, Key] = {}
    for row in rows:
        if isinstance(row, dict) and (row.get("use", "sig") != "sig" or row.get("kty") not in {*_KEY_TYPES, "oct"}):
            continue
        key = public_key(row)
        kid = key.kid or key.thumbprint()
        if kid in found:
            message = "two keys of the JWK Set have the same 'kid'"
            raise TokenError(message)
        found[kid] = key
    if not found:
        message = "the JWK Set has no key to verify signatures with"
        raise TokenError(message)
    return PublicKeys(found)


def public_key(jwk: object) -> Key:
    """Read one public key.

    Raises:
        TokenError: not a JWK, private, symmetric or weak.
    """
    if not isinstance(jwk, dict):
        message = "a key must be a JSON object (JWK)"
        raise TokenError(message)
    if jwk.get("kty") == "oct" or not _PRIVATE.isdisjoint(jwk):
        message = "only public keys may be registered; this one is private or symmetric: replace it at its owner"
        raise TokenError(message)
    return _import(jwk)


def private_key(jwk: object) -> Key:
    """Read one private key.

    Raises:
        TokenError: not a private JWK, or weak.
    """
    if not isinstance(jwk, dict) or "d" not in jwk:
        message = "not a private key in JWK form"
        raise TokenError(message)
    return _import(jwk)


def signing_key(material: bytes) -> Key:
    """The EC key of a PKCS #8 structure, as the key ring keeps it."""
    native = load_der_private_key(material, None)
    assert isinstance(native, EllipticCurvePrivateKey)
    return ECKey.import_key(native)


def public_jwk(key: Key, kid: str, algorithm: str) -> Json:
    """The public half of a key, ready for a JWK Set."""
    return dict(key.as_dict(private=False, kid=kid, alg=algorithm, use="sig"))


def private_jwk(key: Key, kid: str, algorithm: str) -> Json:
    """A whole key, for its owner's eyes only."""
    return dict(key.as_dict(private=True, kid=kid, alg=algorithm, use="sig"))


def new_key(algorithm: str) -> Key:
    """Make a private key for an algorithm.

    Raises:
        TokenError: an algorithm the gateway does not know.
    """
    match _synonym(algorithm):
        case "ES256":
            return ECKey.generate_key("P-256")
        case "ES384":
            return ECKey.generate_key("P-384")
        case "Ed25519":
            return OKPKey.generate_key("Ed25519")
        case "RS384" | "PS256":
            return RSAKey.generate_key(2048)
        case _:
            message = "algorithm must be one of RS384, ES384, PS256, ES256, Ed25519"
            raise TokenError(message)


def date(claims: Json, name: str) -> float | None:
    """A numeric date among the claims, None when absent.

    Raises:
        TokenError: not a finite number of seconds between 1970 and the year 9999.
    """
    if name not in claims:
        return None
    value = claims[name]
    number = isinstance(value, int | float | Decimal) and not isinstance(value, bool) and value == value  # noqa: PLR0124 - NaN
    if not number or not 0 <= value <= LATEST:
        message = f"claim '{name}' must be a number of seconds since 1970"
        raise TokenError(message)
    return float(value)


def text(claims: Json, name: str, *, longest: int = 512) -> str:
    """A claim that must be there as one piece of text.

    Raises:
        TokenError: absent, empty, too long, or not text (a list of one is not text).
    """
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        message = f"claim '{name}' must be one text of at most {longest} characters"
        raise TokenError(message)
    return value


def _import(jwk: Json) -> Key:
    kind = _KEY_TYPES.get(jwk.get("kty", "")) if isinstance(jwk.get("kty"), str) else None
    if kind is None:
        message = f"key type 'kty' must be one of {', '.join(_KEY_TYPES)}"
        raise TokenError(message)
    modulus = jwk.get("n", "")
    if kind is RSAKey and not (
        isinstance(modulus, str) and _MINIMUM_RSA_CHARACTERS <= len(modulus) <= _MAXIMUM_RSA_CHARACTERS
    ):
        message = "an RSA key must have 2048 to 8192 bits"
        raise TokenError(message)
    try:
        # The library knows Ed25519 only by its newer name.
        return kind.import_key(jwk | {"alg": _synonym(jwk["alg"])} if "alg" in jwk else jwk)
    except (JoseError, UnsupportedAlgorithm, ValueError, TypeError, KeyError):
        message = "the key is not a usable JWK"
        raise TokenError(message) from None


def _fits(token: Token, algorithm: str, key: Key) -> bool:
    """Claim that key, algorithm and signature belong together."""
    model = JWSRegistry.algorithms[algorithm]
    try:
        model.check_key(key)
        return bool(model.verify(token.signed, token.signature, key))
    except (JoseError, ValueError):
        return False


def _synonym(name: object) -> str:
    return _SYNONYMS.get(name, name) if isinstance(name, str) else ""


def _json(part: str, what: str) -> Json:
    try:
        return exact.decode(_bytes(part, what))
    except exact.NotExact as error:
        message = f"the {what} of the token: {error}"
        raise TokenError(message) from None


def _bytes(part: str, what: str) -> bytes:
    raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) if len(part) % 4 != 1 else b""
    if _segment(raw).decode() != part:
        message = f"the {what} of the token is not base64url"
        raise TokenError(message)
    return raw


def _segment(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
