"""One region of third-party files for the tests of this folder; what happened to them is printed at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from profiles.identifiers import BSN_SYSTEM
from tests.real_inputs import corpus
from tests.real_inputs.corpus import with_identifiers
from tests.real_inputs.shelf import Shelf
from tests.real_inputs.stand import Person, Stand, standing, system_of

COLLECTIONS = ("nl-core-examples", "ips-examples", "synthea-r4", "nl-bgz-msz2-stu3", "pairs/hl7v2-r4-ms",
               "pairs/ccda-r4-ms", "pairs/nl-ketenzorg-hl7v3-stu3", "pairs/nl-saz-cda-ehdsi")  # fmt: skip


@pytest.fixture(scope="session")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """The region, with every collection behind an endpoint of its own kind."""
    if not corpus.present(*COLLECTIONS):
        pytest.skip("the third-party files are not beside the project")

    def shelf(name: str, resources: list[corpus.Json]) -> Shelf:
        return Shelf("r4", with_identifiers(resources, system_of(name)))

    shelves = {
        "nl-core-360": ("360@1.0", shelf("nl-core-360", corpus.nl_core())),
        "nl-core": ("r4-identifier@1.0", shelf("nl-core", corpus.nl_core())),
        "ips": ("r4-identifier@1.0", shelf("ips", corpus.ips())),
        "synthea": ("r4-identifier@1.0", shelf("synthea", corpus.synthea())),
        "bgz": ("bgz-msz@2.0", Shelf("stu3", corpus.bgz())),
    }
    pushes: dict[str, corpus.Json] = {
        "hl7v2": {"kind": "mllp"},
        "ccda": {"kind": "inbox"},
        "ketenzorg": {"kind": "inbox"},
        "saz": {"kind": "inbox"},
    }
    with standing(tmp_path_factory.mktemp("real"), shelves, pushes) as started:
        nobody = Person(started.sources["bgz"], BSN_SYSTEM, "999990019", "")
        assert started.summary(nobody).status_code == 200  # the first answer of a process is no measure of a file
        yield started
        for source, counted in started.tally.items():
            print(f"\n{source}: " + ", ".join(f"{what} {number}" for what, number in sorted(counted.items())))
        said = started.said()
    assert "Traceback" not in said
