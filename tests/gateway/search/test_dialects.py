"""The dialects in which a record is asked: BgZ by code in three versions, 360 degrees by profile, PDQm; the same facts come out."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import pytest

from tests.gateway.charts import (
    BIRTH,
    BSN,
    BSN_SYSTEM,
    TERMS,
    Json,
    allergy,
    coded,
    condition,
    flag,
    observation,
    person,
)
from tests.gateway.world import World

_NICTIZ: Final = "http://nictiz.nl/fhir/StructureDefinition"
_SCT, _LOINC = "http://snomed.info/sct", "http://loinc.org"
QUALIFICATION: Final = Path(__file__).parents[4] / "shared" / "data" / "nl-bgz-msz2-stu3" / "queries.json"


def about(type_: str, id_: str, **more: Any) -> Json:
    return {"resourceType": type_, "id": id_, "subject": {"reference": "Patient/h1"}, **more}


RECORD: Final[list[Json]] = [
    person("h1", generalPractitioner=[{"reference": "Practitioner/d1"}], telecom=[{"system": "phone", "value": "0612345678"}],
           address=[{"city": "Zwolle", "postalCode": "8011 AA"}]),
    {"resourceType": "Practitioner", "id": "d1", "name": [{"family": "Bakker"}]},
    {"resourceType": "Organization", "id": "ins", "name": "Zorgverzekeraar"},
    {"resourceType": "Coverage", "id": "cov", "status": "active", "beneficiary": {"reference": "Patient/h1"}, "payor": [{"reference": "Organization/ins"}]},
    {"resourceType": "Consent", "id": "treat", "status": "active", "patient": {"reference": "Patient/h1"},
     "scope": coded("treatment", system=f"{TERMS}/consentscope"), "category": [coded("129125009")], "policyRule": coded("x"), "dateTime": "2026-01-01"},
    {"resourceType": "Consent", "id": "adv", "status": "active", "patient": {"reference": "Patient/h1"},
     "scope": coded("adr", system=f"{TERMS}/consentscope"), "category": [coded("11341000146107")], "policyRule": coded("x"), "dateTime": "2026-01-01"},
    condition("c1", "h1"), allergy("a1", "h1"), flag("f1", "h1"),
    observation("func", "h1", "54522-8", category=[coded("118228005")]),
    observation("living", "h1") | {"code": coded("365508006")},
    observation("smoke", "h1", "72166-2"),
    observation("bp", "h1", "85354-9"), observation("weight", "h1", "29463-7"), observation("height", "h1", "8302-2"),
    observation("lab", "h1", "718-7", category=[coded("49581000146104")], hasMember=[{"reference": "Observation/sub"}]),
    observation("sub", "h1", "789-8", category=[coded("laboratory", system=f"{TERMS}/observation-category")]),
    about("MedicationRequest", "mr", status="active", intent="order", category=[coded("33633005")], medicationReference={"reference": "Medication/m"}),
    about("MedicationStatement", "ms", status="active", medicationReference={"reference": "Medication/m"}),
    about("MedicationDispense", "md", status="completed", category=coded("422037009"), medicationReference={"reference": "Medication/m"}),
    {"resourceType": "Medication", "id": "m", "code": coded("387207008", "Ibuprofen")},
    about("DeviceUseStatement", "dus", status="active", device={"reference": "Device/pace"}),
    {"resourceType": "Device", "id": "pace", "patient": {"reference": "Patient/h1"}, "type": coded("14106009")},
    {"resourceType": "Immunization", "id": "im", "status": "completed", "patient": {"reference": "Patient/h1"}, "vaccineCode": coded("1"),
     "occurrenceDateTime": "2025-10-01"},
    about("Encounter", "enc", status="finished") | {"class": {"system": f"{TERMS}/v3-ActCode", "code": "IMP"}},
    about("Procedure", "op", status="completed", category=coded("387713003"), basedOn=[{"reference": "ServiceRequest/sr"}]),
    about("ServiceRequest", "sr", status="active", intent="order", code=coded("1")),
    {"resourceType": "NutritionOrder", "id": "no", "status": "active", "intent": "order", "patient": {"reference": "Patient/h1"}, "dateTime": "2026-01-01"},
    about("CareTeam", "ct", status="active", participant=[{"member": {"reference": "Practitioner/d1"}}]),
    about("DocumentReference", "doc", status="current", content=[{"attachment": {"contentType": "text/plain"}}]),
]  # fmt: skip

# What every version asks, in its own words; BgZ MedMij 3.0 | BgZ-MSZ 1.2.2 | BgZ-MSZ 2.0. Then: what is found, and what comes along.
_V3: Final = "http://hl7.org/fhir/v3/ActCode"
_LAB: Final = ",".join(
    f"{_SCT}|{code}"
    for code in ("275711006", "252275004", "68793005", "395124008", "314076009", "19851009", "405825005")
)
_USE: Final = "urn:oid:2.16.840.1.113883.2.4.3.11.60.20.77.5.3|6"
BGZ: Final = (
    ("Patient", ("_include=Patient:general-practitioner",) * 3, "", "Practitioner/d1"),
    ("Coverage", ("_include=Coverage:payor:Patient&_include=Coverage:payor:Organization",) * 2 + ("_include=Coverage:payor",), "cov", "Organization/ins"),
    ("Consent", (f"category={_SCT}|11291000146105",) * 3, "treat", ""),
    ("Consent", (f"category={_SCT}|11341000146107",) * 3, "adv", ""),
    ("Observation", (f"category={_SCT}|118228005,{_SCT}|384821006",) * 3, "func", ""),
    ("Condition", ("",) * 3, "c1", ""),
    ("Observation", (f"code={_SCT}|365508006",) * 3, "living", ""),
    ("Observation", (f"code={_SCT}|365980008",) * 3, "smoke", ""),
    ("NutritionOrder", ("",) * 3, "no", ""),
    ("Flag", ("",) * 3, "f1", ""),
    ("AllergyIntolerance", ("",) * 3, "a1", ""),
    ("MedicationStatement", (f"category={_USE}&_include=MedicationStatement:medication",) * 3, "ms", "Medication/m"),
    ("MedicationRequest", (f"category={_SCT}|16076005&_include=MedicationRequest:medication",) * 3, "mr", "Medication/m"),
    ("MedicationDispense", (f"category={_SCT}|422037009&_include=MedicationDispense:medication",) * 3, "md", "Medication/m"),
    ("DeviceUseStatement", ("_include=DeviceUseStatement:device",) * 3, "dus", "Device/pace"),
    ("Immunization", ("status=completed",) * 3, "im", ""),
    ("Observation", (f"code={_LOINC}|85354-9&_sort=-date&_count=1",) * 3, "bp", ""),
    ("Observation", (f"code={_LOINC}|29463-7",) * 3, "weight", ""),
    ("Observation", (f"code={_LOINC}|8302-2,{_LOINC}|8306-3,{_LOINC}|8308-9",) * 3, "height", ""),
    ("Observation", (f"category={_SCT}|275711006&_include=Observation:related-target&_include=Observation:specimen", f"category={_LAB}",
                     f"category={_SCT}|49581000146104&_include=Observation:related-target"), "lab sub", ""),
    ("Procedure", (f"category={_SCT}|387713003", "", f"category={_SCT}|387713003,{_SCT}|258174001&_include=Procedure:based-on"), "op", None),
    ("Encounter", (f"class={_V3}|IMP,{_V3}|ACUTE,{_V3}|NONAC", "", ""), "enc", ""),
    ("ProcedureRequest", ("status=active",) * 3, "sr", ""),
    ("CareTeam", ("status=active&_include=CareTeam:participant",) * 3, "ct", "Practitioner/d1"),
    ("DocumentReference", ("status=current",) * 3, "doc", ""),
    ("ImmunizationRecommendation", ("",) * 3, None, ""),
    ("Appointment", ("status=booked,pending,proposed",) * 3, None, ""),
    ("DeviceRequest", ("status=active&_include=DeviceRequest:device",) * 3, None, ""),
)  # fmt: skip


@cache
def asked() -> World:
    return World(charts={"hospital": RECORD, "gp": [person("g1")], "mental": []})


def search(type_: str, more: str) -> tuple[set[str], set[str]]:
    """Who names the patient by BSN asks in a body; the native ids of what is found and of what comes along."""
    name = {"Patient": "identifier", "Coverage": "beneficiary.identifier"}.get(type_, "patient.identifier")
    form = f"{name}={BSN_SYSTEM}|{BSN}{'&' if more else ''}{more}"
    reply = asked().post(f"{type_}/_search", form)
    assert reply.status == 200, (type_, more, reply.body)
    entries = reply.json.get("entry", [])
    found: dict[str, set[str]] = {"match": set(), "include": set(), "outcome": set()}
    for entry in entries:
        meta = entry["resource"].get("meta", {})
        source = meta.get("source", "") or next(
            (one.get("valueUri", "") for one in meta.get("extension", ()) if "valueUri" in one), ""
        )
        found[entry["search"]["mode"]].add(source.partition("#")[2])
    return {one.partition("/")[2] for one in found["match"]}, found["include"] - {""}


@pytest.mark.slow
def test_every_version_of_the_bgz_gives_the_same_facts() -> None:
    for type_, versions, matches, along in BGZ:
        for version, more in zip(("MedMij 3.0", "MSZ 1.2.2", "MSZ 2.0"), versions, strict=True):
            for provenance in ("", "_revinclude=Provenance:target"):
                found, brought = search(type_, "&".join(part for part in (more, provenance) if part))
                if type_ != "Patient":
                    assert found == set((matches or "").split()), (version, type_, more)
                if along is not None and "_include" in more:
                    assert brought == set(along.split()), (version, type_, more)


@pytest.mark.real_inputs
@pytest.mark.slow
@pytest.mark.skipif(not QUALIFICATION.is_file(), reason="the queries of the qualification are not beside the project")
def test_every_query_of_the_qualification_is_answered_when_it_is_asked_in_a_body() -> None:
    world, count = asked(), 0
    for one in {(row["resource"], row["params"]): row for row in json.loads(QUALIFICATION.read_text("utf-8"))}.values():
        path, _, query = unquote(one["params"]).partition("?")
        given = [
            (name, f"{BSN_SYSTEM}|{BSN}" if name.endswith("identifier") else value) for name, value in parse_qsl(query)
        ]
        form = "&".join(f"{name}={value}" for name, value in given)
        assert world.get(f"{one['resource']}{path}?{form}").code == "bsn-in-url", "never in a URL"
        if "$" in path:
            continue
        reply = world.post(f"{one['resource']}/_search", form)
        assert reply.status == 200, (one, reply.body)
        count += 1
    assert count >= 24


# 360 degrees, volume 3: per zib the profiles that are asked for, and the code where there is no profile.
ZIBS: Final = {
    "Observation": [
        "AlcoholUse", "BloodPressure", "BodyWeight", "BodyHeight", "BodyTemperature", "O2Saturation", "PulseRate", "LaboratoryTestResult",
        "LivingSituation", "Mobility", "ParticipationInSociety", "SNAQ65plusScore", "SNAQrcScore", "AbilityToDrink", "AbilityToEat",
        "AbilityToPerformMouthcareActivities", "AbilityToGroom", "AbilityToDressOneself", "AbilityToWashOneself",
    ],
    "Flag": ["Alert"], "AllergyIntolerance": ["AllergyIntolerance"], "Consent": ["TreatmentDirective2", "AdvanceDirective"],
    "Coverage": ["Payer.InsuranceCompany"], "Encounter": ["Encounter"], "Condition": ["Problem", "PressureUlcer", "SkinDisorder", "Wound"],
    "DeviceUseStatement": ["MedicalDevice"], "Immunization": ["Vaccination-event"], "Procedure": ["Procedure-event", "FreedomRestrictingIntervention"],
    "NutritionOrder": ["NutritionAdvice"], "CareTeam": ["CareTeam"],
}  # fmt: skip


@pytest.mark.slow
def test_every_query_by_profile_finds_what_claims_it_or_says_nothing() -> None:
    found: dict[str, set[str]] = {}
    for type_, zibs in ZIBS.items():
        for zib in zibs:
            profiles = f"{_NICTIZ}/nl-core-{zib},{_NICTIZ}/zib-{zib}"
            found[zib], _ = search(type_, f"_profile={profiles}")
    assert found["BloodPressure"] == {"bp"}
    assert found["BodyWeight"] == {"weight"}
    assert found["BodyHeight"] == {"height"}
    assert found["AllergyIntolerance"] == {"a1"}
    assert found["Problem"] == {"c1"}
    assert found["TreatmentDirective2"] == {"treat"}
    assert found["AdvanceDirective"] == {"adv"}
    assert found["Alert"] == {"f1"}
    assert found["Encounter"] == {"enc"}
    assert found["Payer.InsuranceCompany"] == {"cov"}
    assert found["MedicalDevice"] == {"dus"}
    assert found["Procedure-event"] == {"op"}
    assert found["NutritionAdvice"] == {"no"}
    assert found["CareTeam"] == {"ct"}
    assert found["Vaccination-event"] == {"im"}
    assert found["LivingSituation"] == {"living"}
    assert found["LaboratoryTestResult"] == {"lab", "sub"}, "claimed where it is certain"
    assert found["Wound"] == found["FreedomRestrictingIntervention"] == set()
    medication, product = search(
        "MedicationStatement", f"_profile={_NICTIZ}/mp-MedicationUse2&_include=MedicationStatement:medication"
    )
    assert (medication, product) == ({"ms"}, {"Medication/m"})
    for code in ("422834003", "365470003", "303074009", "285033005"):
        for name in ("code", "_code"):  # the table of the guideline writes _code
            search("Observation", f"{name}={_SCT}|{code}")


def test_pdqm_asks_for_one_person_and_holds_what_is_known_against_it() -> None:
    world = asked()
    yes = ("family=jansen", "given=Ada", "gender=female", "birthdate=1980-02-29", "active:missing=true", "family:exact=Jansen", "_id={p}",
           "deceased=false", "name:contains=ans", "general-practitioner.name=bakker")  # fmt: skip
    no = ("family=vries", "gender=male", "birthdate=1980-02-28", "active=true", "deceased=true", "_lastUpdated=lt2000")
    for count, group in ((1, yes), (0, no)):
        for more in group:
            reply = world.post("Patient/_search", f"identifier={BSN_SYSTEM}|{BSN}&{more}".format(p=world.patient))
            assert (reply.status, reply.json["total"]) == (200, count), more
    for refused in ("family=jansen", "family=jansen&birthdate=1980-02-29"):  # a person is not looked for by name
        assert world.post("Patient/_search", refused).code == "patient-required"
    assert world.get(f"Patient?identifier={BSN_SYSTEM}|{BSN}").code == "bsn-in-url"


HOME: Final = {"line": ["Dorpsstraat 1"], "city": "Zwolle", "postalCode": "8011 AA"}
PHONE: Final = {"system": "phone", "value": "0612345678"}
SECRET: Final = {
    "security": [{"system": "https://roaz-gateway.example/fhir/CodeSystem/label", "code": "secret-address"}]
}


def reached(**hospital: Any) -> World:
    gp = [person("g1", address=[HOME], telecom=[PHONE]), condition("c1", "g1")]
    return World(charts={"gp": gp, "hospital": [person("h1", **hospital)], "mental": []})


@pytest.mark.slow
def test_pdqm_shows_where_a_person_is_reached_and_finds_by_it() -> None:
    mail = {"system": "email", "value": "ada@example.org"}
    world = reached(address=[HOME], telecom=[mail])
    named = f"identifier={BSN_SYSTEM}|{BSN}"
    (found,) = world.post("Patient/_search", named).items
    assert (found["address"], found["telecom"]) == ([HOME], [PHONE, mail]), "each once, whoever gave it"
    assert world.get(f"Patient/{world.patient}").json["telecom"] == [PHONE, mail]
    yes = (
        "telecom=0612345678",
        "phone=0612345678",
        "email=ada@example.org",
        "address-city=zwolle",
        "address=dorps",
        "address-postalcode=8011",
    )
    for more, count in (*((one, 1) for one in yes), ("address-city=Assen", 0), ("email=0612345678", 0)):
        assert world.post("Patient/_search", f"{named}&{more}").json["total"] == count, more
    body = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": {
        "resourceType": "Patient", "birthDate": BIRTH, "identifier": [{"system": BSN_SYSTEM, "value": BSN}]}}]}  # fmt: skip
    (matched,) = world.post("Patient/$match", body).items
    assert matched["address"] == [HOME]


def test_e11_an_address_one_source_keeps_secret_no_other_gives_away() -> None:
    world = reached(meta=SECRET, address=[{"city": "Elders"}])
    named = f"identifier={BSN_SYSTEM}|{BSN}"
    for reply in (
        world.post("Patient/_search", named),
        world.get(f"Patient/{world.patient}"),
        world.get(f"Patient/{world.patient}/$everything"),
    ):
        assert reply.status == 200
        for word in (b"Dorpsstraat", b"Elders", b"0612345678"):
            assert word not in reply.body
    assert world.post("Patient/_search", f"{named}&address-city=zwolle").json["total"] == 0
    assert "Jansen" in str(world.post("Patient/_search", named).items), "who the person is stays"


def test_who_asks_in_stu3_is_answered_in_stu3() -> None:
    form = f"patient.identifier={BSN_SYSTEM}|{BSN}&status=active"
    reply = asked().post("ProcedureRequest/_search", form, accept="application/fhir+json; fhirVersion=3.0")
    assert reply.status == 200
    assert "fhirVersion=3.0" in reply.header("content-type")
    assert [one["resourceType"] for one in reply.resources if one["resourceType"] != "OperationOutcome"] == [
        "ProcedureRequest"
    ]
    plain = asked().post("ProcedureRequest/_search", form)
    assert [one["resourceType"] for one in plain.items] == ["ServiceRequest"]
