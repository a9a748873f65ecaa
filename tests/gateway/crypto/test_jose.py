"""The one verifier of tokens, by itself: keys, headers, numbers and text."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from gateway.crypto import jose

ALGORITHMS = ("RS384", "ES384", "PS256", "ES256", "Ed25519", "EdDSA")
KEYS = {algorithm: jose.new_key(algorithm) for algorithm in ALGORITHMS}


def published(algorithm: str) -> jose.PublicKeys:
    return jose.public_keys({"keys": [jose.public_jwk(KEYS[algorithm], "k", algorithm)]})


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_key_signs_with_its_own_algorithm_only(algorithm: str) -> None:
    token = jose.sign({"a": 1}, KEYS[algorithm], algorithm=algorithm, typ="JWT", kid="k")
    assert jose.verify(token, published(algorithm), algorithms=ALGORITHMS, types=["JWT"]) == {"a": 1}
    same = {algorithm, "Ed25519" if algorithm == "EdDSA" else "EdDSA" if algorithm == "Ed25519" else algorithm}
    for other in set(ALGORITHMS) - same:
        with pytest.raises(jose.TokenError, match="signature"):
            jose.verify(token, published(other), algorithms=ALGORITHMS, types=["JWT"])
        with pytest.raises(jose.TokenError, match="'alg' must be one of"):
            jose.verify(token, published(algorithm), algorithms=[other], types=["JWT"])


def test_an_rsa_key_is_held_to_the_algorithm_it_is_registered_for() -> None:
    token = jose.sign({}, KEYS["RS384"], algorithm="RS384", typ="JWT", kid="k")
    bound = jose.public_keys({"keys": [jose.public_jwk(KEYS["RS384"], "k", "PS256")]})
    with pytest.raises(jose.TokenError):
        jose.verify(token, bound, algorithms=ALGORITHMS, types=["JWT"])


@pytest.mark.parametrize("position", range(3))
def test_a_changed_part_is_refused(position: int) -> None:
    token = jose.sign({"a": "b" * 30}, KEYS["ES256"], algorithm="ES256", typ="JWT", kid="k")
    parts = token.split(".")
    parts[position] = ("A" if parts[position][0] != "A" else "B") + parts[position][1:]
    with pytest.raises(jose.TokenError):
        jose.verify(".".join(parts), published("ES256"), algorithms=ALGORITHMS, types=["JWT"])


@pytest.mark.parametrize(
    "jwk", [None, [], {"kty": "EC"}, {"d": 1, "kty": ["EC"]}, {"d": "AAAA", "kty": "EC", "crv": "P-256"}]
)
def test_what_is_no_private_key(jwk: Any) -> None:
    with pytest.raises(jose.TokenError):
        jose.private_key(jwk)


def test_no_error_repeats_a_key() -> None:
    secret = jose.private_jwk(KEYS["ES256"], "k", "ES256")
    for read in (jose.public_key, lambda jwk: jose.private_key(jwk | {"x": "AA"})):
        with pytest.raises(jose.TokenError) as caught:
            read(secret)
        assert str(secret["d"]) not in str(caught.value)
    assert jose.private_key(secret).is_private


@pytest.mark.parametrize(
    "jwks",
    [
        None,
        [],
        {},
        {"keys": {}},
        {"keys": []},
        {"keys": [1]},
        {"keys": [None]},
        {"keys": [{}]},
        {"keys": [{"kty": "XX"}]},
        {"keys": [{}] * 33},
    ],
)
def test_what_is_no_key_set(jwks: object) -> None:
    with pytest.raises(jose.TokenError):
        jose.public_keys(jwks)


def test_keys_for_other_uses_are_passed_over() -> None:
    row = jose.public_jwk(KEYS["ES256"], "k", "ES256")
    found = jose.public_keys({"keys": [{"kty": "AKP", "alg": "ML-DSA-44"}, {**row, "use": "enc", "kid": "e"}, row]})
    assert set(found.by_kid) == {"k"}
    nameless = {name: value for name, value in row.items() if name != "kid"}
    assert set(jose.public_keys({"keys": [nameless]}).by_kid) == {KEYS["ES256"].thumbprint()}


def test_an_unknown_algorithm_makes_no_key() -> None:
    with pytest.raises(jose.TokenError, match="RS384, ES384, PS256, ES256, Ed25519"):
        jose.new_key("HS256")


@pytest.mark.parametrize("value", [0, 1, 1.5, Decimal("1.5"), jose.LATEST])
def test_numeric_dates(value: Any) -> None:
    assert jose.date({"exp": value}, "exp") == float(value)
    assert jose.date({}, "exp") is None


@pytest.mark.parametrize(
    "value",
    [None, True, "1", -1, Decimal("NaN"), float("nan"), float("inf"), jose.LATEST + 1, [1], Decimal("1e999999")],
)
def test_what_is_no_numeric_date(value: Any) -> None:
    with pytest.raises(jose.TokenError, match="claim 'exp' must be a number"):
        jose.date({"exp": value}, "exp")


@pytest.mark.parametrize("depth", [65, 3000])
def test_deep_claims_are_refused(depth: int) -> None:
    import base64

    text = ('{"a":' * depth + "1" + "}" * depth).encode()
    part = base64.urlsafe_b64encode(text).rstrip(b"=").decode()
    with pytest.raises(jose.TokenError):
        jose.parse(f"{base64.urlsafe_b64encode(json.dumps({'alg': 'ES256'}).encode()).rstrip(b'=').decode()}.{part}.AA")
