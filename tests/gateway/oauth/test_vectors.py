"""Vectors of the JOSE cookbook: verified where the algorithm is in use here, refused everywhere else (attack 31)."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.crypto import jose
from profiles import exact
from tests.gateway.oauth.world import World, client_row
from tests.slack import slack as factor

Json = dict[str, Any]

VECTORS: Final = Path(__file__).resolve().parents[4] / "shared/data/jose/cookbook"
USED: Final = frozenset({"RS384", "ES384", "PS256", "ES256", "EdDSA", "Ed25519"})

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.real_inputs,
    pytest.mark.skipif(not VECTORS.is_dir(), reason="the JOSE cookbook is not beside the project"),
]


def vectors(*prefixes: str) -> list[tuple[str, Json]]:
    found = [path for path in sorted(VECTORS.glob("*.json")) if path.name.startswith(prefixes)]
    return [(path.stem, exact.decode(path.read_bytes())) for path in found]


def compacts() -> list[Any]:
    """Every compact serialization of a signature or an encryption."""
    rows = vectors("jws", "jwe", "rfc7797", "curve25519")
    return [pytest.param(one["output"]["compact"], id=name) for name, one in rows if "compact" in one["output"]]


def signatures() -> list[Any]:
    """Every compact signature with one key and an algorithm, and its verdict here."""
    rows = vectors("jws", "curve25519__jws")
    return [
        pytest.param(one, id=name)
        for name, one in rows
        if "compact" in one["output"] and isinstance(one["input"]["key"], dict)
    ]


def token_of(vector: Json) -> jose.Token:
    """The parts of a compact signature; the payloads of the cookbook are prose, so no claims are read."""
    head, payload, signature = vector["output"]["compact"].split(".")
    payload = payload or base64.urlsafe_b64encode(vector["input"]["payload"].encode()).decode().rstrip("=")
    return jose.Token(vector["signing"]["protected"], {}, f"{head}.{payload}".encode(), _bytes(signature))


def _bytes(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def fits(token: jose.Token, algorithm: str, jwk: Json) -> bool:
    """What the one verifier says of a signature, its type set aside: prose carries none."""
    public = {name: value for name, value in jwk.items() if name not in {"d", "p", "q", "dp", "dq", "qi"}}
    named = {**token.header, "typ": "JWT"}
    try:
        keys = jose.PublicKeys({"k": jose.public_key(public)})
        jose.verify(
            jose.Token({**named, "kid": "k"}, {}, token.signed, token.signature), keys, algorithms=USED, types=("JWT",)
        )
    except jose.TokenError:
        return False
    assert named["alg"] == algorithm
    return True


@pytest.mark.parametrize("vector", signatures())
def test_31_a_signature_counts_where_its_algorithm_is_in_use(vector: Json) -> None:
    token, algorithm = token_of(vector), vector["input"]["alg"]
    assert fits(token, algorithm, vector["input"]["key"]) is (algorithm in USED)


def test_31_at_least_one_vector_is_of_an_algorithm_in_use() -> None:
    assert [one.values[0]["input"]["alg"] for one in signatures() if one.values[0]["input"]["alg"] in USED]


@pytest.mark.parametrize("position", [0, 10, 31, 32, 63])
def test_31_a_signature_with_one_changed_bit_counts_nowhere(position: int) -> None:
    (vector,) = [one for name, one in vectors("curve25519__jws")]
    token = token_of(vector)
    changed = bytearray(token.signature)
    changed[position] ^= 1
    assert not fits(jose.Token(token.header, {}, token.signed, bytes(changed)), "EdDSA", vector["input"]["key"])
    assert not fits(jose.Token(token.header, {}, token.signed + b"x", token.signature), "EdDSA", vector["input"]["key"])


@pytest.mark.parametrize("compact", compacts())
async def test_30_31_no_vector_authenticates_a_client(tmp_path: Path, compact: str) -> None:
    world = World(tmp_path, client_row())
    before = time.process_time()
    answer = await world.ask(compact)
    assert time.process_time() - before < 0.2 * factor()
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(("name", "jwk"), vectors("jwk"))
def test_31_only_public_signing_keys_are_registered(name: str, jwk: Json) -> None:
    if "public" in name:
        assert jose.public_keys({"keys": [jwk]}).find(jwk["kid"]) is not None
        return
    with pytest.raises(jose.TokenError):
        jose.public_keys({"keys": [jwk]})


def test_31_a_key_of_the_cookbook_never_prints(capsys: pytest.CaptureFixture[str]) -> None:
    for _, jwk in vectors("jwk"):
        try:
            print(repr(jose.public_keys({"keys": [jwk]})))
        except jose.TokenError as error:
            print(error)
        printed = capsys.readouterr().out
        assert not [value for key, value in jwk.items() if key in {"d", "k", "p", "q", "n"} and value in printed]
