"""The shipped definitions: complete, of one version, free of texts, and reproducible."""

from __future__ import annotations

import json
import lzma
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from profiles.build import main
from profiles.definitions import definitions

PACKAGES = Path(__file__).parents[2].parent / "shared" / "packages"


def test_all_resources_of_r4_and_nothing_of_other_versions() -> None:
    facts = definitions()
    assert facts.version == "4.0.1"
    assert len(facts.resources) == 146
    assert "SubscriptionStatus" not in facts.resources
    assert {"Patient", "Bundle", "Parameters", "Binary"} <= facts.resources
    assert len(facts.primitives) == 20
    for kind in facts.types.values():
        for element in kind.elements:
            for member in element.members:
                assert member.type in facts.types or member.type in facts.primitives or member.type == "Resource"
                assert member.codes is None or member.codes in facts.codes


def test_the_file_is_small_and_says_where_it_is_from() -> None:
    raw = files("profiles.definitions").joinpath("r4.json.xz").read_bytes()
    assert len(raw) <= 300_000
    facts = json.loads(lzma.decompress(raw))
    assert facts["source"]["license"] == "CC0-1.0"
    assert facts["codes"]["administrative-gender"] == {
        "http://hl7.org/fhir/administrative-gender": ["female", "male", "other", "unknown"]
    }
    assert not {"definition", "short", "comment"} & {key for kind in facts["types"].values() for key in kind}


def test_wrong_use_of_the_builder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert main(["/nowhere", "/nowhere", "x"]) == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.proof
@pytest.mark.real_inputs
@pytest.mark.skipif(not PACKAGES.is_dir(), reason="published definitions are not beside the project")
def test_building_again_gives_the_same_bytes(tmp_path: Path) -> None:
    out = tmp_path / "r4.json.xz"
    assert main([str(PACKAGES / "r4-core"), str(PACKAGES / "r4-terminology"), str(out)]) == 0
    assert out.read_bytes() == files("profiles.definitions").joinpath("r4.json.xz").read_bytes()


@pytest.mark.slow
def test_definitions_are_read_only_when_asked_for() -> None:
    code = "import profiles.validation, profiles.definitions as d; print(d.definitions.cache_info().currsize)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
