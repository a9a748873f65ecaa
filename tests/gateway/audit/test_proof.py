"""A proof that leaves the house: checked by the very script of the docs, by somebody who has only the public key."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.audit.checkpoints import tree_in
from gateway.audit.merkle import entry_of, inclusion_proof
from gateway.audit.proof import Proof
from gateway.audit.record import Record, encode
from gateway.crypto.notes import Note, Verifier
from tests.gateway.audit.ledger import BASE, KEY, OTHER, Ledger

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[3]
VKEY = Verifier(BASE, KEY.public_key().public_bytes_raw())


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def script() -> str:
    found = re.search(
        r"<!-- check -->\n```python\n(.*?)```", (ROOT / "docs/audit.md").read_text(encoding="utf-8"), re.DOTALL
    )
    assert found is not None
    return found[1]


async def a_proof(count: int, sequence: int) -> Proof:
    ledger = Ledger()
    await ledger.append([encode(Record(kind="start", at="x", request=f"r{number}")) for number in range(1, count + 1)])
    await ledger.checkpoint()
    _, at, body = ledger.shelf.records[1, 1][sequence - 1]
    note = await ledger.shelf.last_note((1, 1))
    assert note is not None
    nodes = await ledger.shelf.nodes((1, 1), count, sequence - 1)
    return Proof(entry_of(at, body), sequence - 1, tuple(inclusion_proof(sequence - 1, count, nodes)), Note.parse(note))


@pytest.mark.parametrize(("count", "sequence"), [(1, 1), (2, 2), (7, 3), (300, 257), (513, 1), (513, 513)])
async def test_a_proof_is_read_back_and_holds(count: int, sequence: int) -> None:
    proof = await a_proof(count, sequence)
    read = Proof.parse(proof.text())
    assert read == proof
    assert read.holds(VKEY)
    assert not read.holds(Verifier(BASE, OTHER.public_key().public_bytes_raw()))
    assert not Proof(read.entry + b"x", read.index, read.path, read.checkpoint).holds(VKEY)


def checked(directory: Path, text: str, key: Verifier = VKEY) -> subprocess.CompletedProcess[str]:
    (directory / "check.py").write_text(script(), encoding="utf-8")
    (directory / "proof.txt").write_text(text, encoding="utf-8", newline="")
    command = [sys.executable, "-I", str(directory / "check.py"), str(directory / "proof.txt"), str(key)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
async def test_an_outsider_checks_it_with_the_script_of_the_docs(tmp_path: Path) -> None:
    for count, sequence in ((1, 1), (600, 300), (600, 600)):
        proof = await a_proof(count, sequence)
        good = checked(tmp_path, proof.text())
        assert good.returncode == 0, good.stderr
        assert json.loads(good.stdout.splitlines()[1])["request"] == f"r{sequence}"
    text = proof.text()
    forged = Proof(proof.entry[:-2] + b"X}", proof.index, proof.path, proof.checkpoint).text()
    moved = Proof(proof.entry, proof.index - 1, proof.path, proof.checkpoint).text()
    assert tree_in(proof.checkpoint.text)[1] == 600
    for wrong in (forged, moved, text.replace("\n600\n", "\n601\n"), text.replace("time 20", "time 19")):
        assert checked(tmp_path, wrong).returncode == 1
    assert checked(tmp_path, text, Verifier(BASE, OTHER.public_key().public_bytes_raw())).returncode == 1
    assert checked(tmp_path, text, Verifier("other.example/audit", VKEY.public)).returncode == 1


def test_the_script_needs_nothing_of_the_gateway() -> None:
    imported = set(re.findall(r"^(?:from|import) ([\w.]+)", script(), re.MULTILINE))
    assert imported == {"base64", "hashlib", "cryptography.hazmat.primitives.asymmetric.ed25519"}
    assert len([line for line in script().splitlines() if line.strip()]) <= 45


@pytest.mark.parametrize("text", ["", "x\n\ny", "c2sp.org/tlog-proof@v1\nextra !\nindex 1\n\nx"])
def test_what_is_no_proof_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"proof|base64"):
        Proof.parse(text)
