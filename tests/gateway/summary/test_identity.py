"""The one Patient: never a guess, never two people in one document (rules E1, E3, E4)."""

from __future__ import annotations

import pytest

from gateway.errors import Invalid
from gateway.model import Patient
from gateway.summary.identity import Identity, identify
from profiles.identifiers import BSN_SYSTEM
from tests.gateway.summary.region import PERSON, answer, person

KNOWN = Patient(PERSON, BSN_SYSTEM, "999990019")
WHO = ("gp", "hospital", "ambulance")


def of(*facts: dict[str, object], patient: Patient = KNOWN) -> Identity:
    return identify(patient, [answer(who, person(f"p{who}", **given)) for who, given in zip(WHO, facts, strict=False)])


def keys(identity: Identity) -> list[str]:
    return [banner.key for banner in identity.banners]


def test_two_birth_dates_are_two_people() -> None:
    with pytest.raises(Invalid) as refusal:
        of({"birthDate": "1980-05-17"}, {"birthDate": "1980-05-18"})
    assert refusal.value.code == "patient-ambiguous"


def test_the_date_the_caller_gave_counts_too() -> None:
    with pytest.raises(Invalid):
        of({"birthDate": "1980-05-17"}, patient=Patient(PERSON, BSN_SYSTEM, "999990019", "1981-05-17"))


@pytest.mark.parametrize("partial", ["1980", "1980-01", "1980-01-01"])
def test_a_partial_date_is_not_the_first_of_january(partial: str) -> None:
    if partial == "1980":
        identity = of({"birthDate": partial}, {"birthDate": "1980-05-17"})
        assert identity.resource["birthDate"] == "1980-05-17"
        assert keys(identity) == ["birth-date-uncertain"]
    else:
        with pytest.raises(Invalid):
            of({"birthDate": partial}, {"birthDate": "1980-05-17"})


def test_nobody_knows_the_patient() -> None:
    resource = identify(KNOWN, []).resource
    assert resource["identifier"] == [{"system": BSN_SYSTEM, "value": "999990019"}]
    assert resource["name"][0]["_text"]["extension"][0]["valueCode"] == "unknown"
    assert "birthDate" not in resource


def test_deceased_at_one_source_is_a_banner() -> None:
    identity = of({"deceasedDateTime": "2025-12-01"}, {})
    assert "deceasedDateTime" not in identity.resource
    assert [(banner.key, banner.urgent) for banner in identity.banners] == [("deceased-at-one", True)]


def test_deceased_at_the_only_source_is_a_banner_too() -> None:
    assert keys(of({"deceasedBoolean": True})) == ["deceased-at-one"]


def test_deceased_everywhere_is_stated() -> None:
    identity = of({"deceasedDateTime": "2025-12-01"}, {"deceasedBoolean": True})
    assert identity.resource["deceasedDateTime"] == "2025-12-01"


def test_birth_order_is_kept_and_said() -> None:
    identity = of({"multipleBirthInteger": 2}, {})
    assert identity.resource["multipleBirthInteger"] == 2
    assert keys(identity) == ["multiple-birth"]
    assert of({"multipleBirthInteger": 1}, {"multipleBirthInteger": 2}).resource["multipleBirthBoolean"] is True


def test_no_gender_and_no_name_is_chosen_away() -> None:
    identity = of({"gender": "female"}, {"gender": "male", "name": [{"family": "Pietersen"}]})
    assert "gender" not in identity.resource
    assert [name["family"] for name in identity.resource["name"]] == ["Jansen", "Pietersen"]
    assert keys(identity) == ["gender-differs", "name-differs"]


def test_without_a_bsn_the_person_is_not_verified() -> None:
    identity = of({}, patient=Patient(PERSON, "https://hospital.example/mrn", "77"))
    assert keys(identity) == ["not-verified"]
