"""Words of an item: digits as sent, negation in sight (rules E7 to E9)."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import pytest

from gateway.model import Item, Json
from gateway.summary.dosage import dose
from gateway.summary.medication import in_use
from gateway.summary.render import Line, line
from gateway.summary.texts import words_of
from profiles import exact
from tests.gateway.summary.region import SUBJECT, allergy, coded, item, observation


def lined(one: Item, *others: Item, language: str = "nl") -> Line:
    known = {f"{other.type}/{other.id}": other.resource for other in others}
    return line(one, "Bron", words_of(language), known.get)


def test_digits_unit_and_reference_range_as_sent() -> None:
    raw = observation("o", "718-7", "Hb", "8.10", kind="laboratory").raw
    raw = (
        raw[:-1] + b',"referenceRange":[{"low":{"value":7.50,"unit":"mmol/L"},"high":{"value":10.0,"unit":"mmol/L"}}]}'
    )
    told = lined(item("Observation", "o", {}, raw=raw))
    assert told.sentence == "Hb: 8.10 /min; referentie 7.50 mmol/L – 10.0 mmol/L"


def test_components_of_blood_pressure() -> None:
    resource: Json = {"status": "final", "code": coded("85354-9", "Bloeddruk"), "subject": SUBJECT, "component": [
        {"code": coded("8480-6", "Systolisch"), "valueQuantity": {"value": 120, "unit": "mm[Hg]"}},
        {"code": coded("8462-4", "Diastolisch"), "dataAbsentReason": coded("not-performed", "niet gemeten")}]}  # fmt: skip
    told = lined(item("Observation", "o", resource))
    assert told.text == "Bloeddruk; Systolisch: 120 mm[Hg]; Diastolisch: geen waarde (niet gemeten)"


@pytest.mark.parametrize(
    ("type_", "resource", "word"),
    [
        ("AllergyIntolerance", {"verificationStatus": coded("refuted")}, "WEERLEGD"),
        ("Condition", {"verificationStatus": coded("provisional")}, "VERDACHT (voorlopig)"),
        ("Condition", {"verificationStatus": coded("entered-in-error")}, "FOUTIEF INGEVOERD"),
        ("Procedure", {"status": "not-done"}, "NIET UITGEVOERD"),
        ("Procedure", {"status": "preparation"}, "GEPLAND"),
        ("Immunization", {"status": "not-done"}, "NIET GEGEVEN"),
        ("MedicationStatement", {"status": "not-taken"}, "GEBRUIKT NIET"),
        ("Encounter", {"status": "cancelled"}, "GEANNULEERD"),
        ("Observation", {"status": "preliminary"}, "voorlopige uitslag"),
        ("Observation", {"status": "final", "focus": [{"display": "kind"}]}, "BETREFT NIET DE PATIËNT ZELF"),
        ("FamilyMemberHistory", {"condition": [{"code": coded("1", "Diabetes")}]}, "FAMILIE"),
    ],
)
def test_negation_and_context_are_words(type_: str, resource: Json, word: str) -> None:
    assert word in lined(item(type_, "x", {"code": coded("1", "Iets"), **resource})).states


def test_an_explicit_none_says_none() -> None:
    assert lined(allergy("n", "716186003", "No known allergy", negative=True)).text == "GEEN BEKEND: No known allergy"


def test_a_dose_is_text_or_parts_or_unknown() -> None:
    def use(**dosage: object) -> str:
        resource = {
            "status": "active",
            "medicationCodeableConcept": coded("1", "M"),
            "dosage": [dosage] if dosage else [],
        }
        return lined(item("MedicationStatement", "m", resource)).details[0]

    assert use(text="1 tablet 's avonds") == "1 tablet 's avonds"
    timing = {"repeat": {"frequency": 2, "period": 1, "periodUnit": "d"}}
    assert (
        use(doseAndRate=[{"doseQuantity": {"value": 1, "unit": "tablet"}}], timing=timing) == "1 tablet, 2x per 1 dag"
    )
    assert use() == "dosering onbekend"
    assert use(patientInstruction="x") == "dosering onbekend"


def test_a_schedule_is_told_in_the_words_of_its_source() -> None:
    steps = [{"doseAndRate": [{"doseQuantity": {"value": amount, "unit": "stuk"}}]} for amount in (6, 2)]
    rendered = {
        "url": "http://nictiz.nl/fhir/StructureDefinition/ext-RenderedDosageInstruction",
        "valueString": "3 dagen 6, dan 4 dagen 2",
    }
    resource = {"resourceType": "MedicationDispense", "status": "unknown", "dosageInstruction": steps}
    words = words_of("nl")
    assert dose({**resource, "extension": [rendered]}, words) == "3 dagen 6, dan 4 dagen 2"
    assert dose(resource, words) == "6 stuk + 2 stuk"


def test_parts_of_a_schedule_say_for_how_long_and_what_comes_after_what() -> None:
    def part(sequence: int, amount: int, **repeat: object) -> dict[str, object]:
        rate = {"doseQuantity": {"value": amount, "unit": "stuk"}}
        return {"sequence": sequence, "doseAndRate": [rate], "timing": {"repeat": repeat}}

    def days(count: int) -> dict[str, object]:
        return {"value": count, "system": "http://unitsofmeasure.org", "code": "d"}

    daily = {"frequency": 1, "frequencyMax": 2, "period": 1, "periodUnit": "d"}
    steps = [
        part(2, 2, boundsDuration=days(4), dayOfWeek=["mon", "thu"], timeOfDay=["08:00:00"]),
        part(1, 6, boundsDuration=days(3), **daily),
        part(1, 1, when=["HS"], boundsPeriod={"start": "2026-03-02", "end": "2026-03-05"}),
    ]
    steps[0]["maxDosePerPeriod"] = {
        "numerator": {"value": 4, "unit": "stuk"},
        "denominator": {"value": 1, "unit": "dag"},
    }
    resource = {"resourceType": "MedicationRequest", "dosageInstruction": steps}
    assert dose(resource, words_of("nl")) == (
        "6 stuk, 1–2x per 1 dag, gedurende 3 dag + 1 stuk, voor het slapen, 2026-03-02 – 2026-03-05; "
        "daarna 2 stuk, maandag, donderdag, 08:00, hooguit 4 stuk / 1 dag, gedurende 4 dag"
    )
    condition = {
        "url": "http://nictiz.nl/fhir/StructureDefinition/ext-PeriodOfUse.Condition",
        "valueString": "na de operatie",
    }
    period = {
        "url": "http://nictiz.nl/fhir/StructureDefinition/ext-TimeInterval.Period",
        "valuePeriod": {"extension": [condition]},
    }
    assert in_use({**resource, "extension": [period]}, words_of("nl")) == "na de operatie"


def test_an_alert_that_points_to_a_problem_is_told_by_the_problem() -> None:
    problem = item("Condition", "c", {"code": coded("1", "MRSA-drager")})
    flag = item("Flag", "f", {"status": "active", "code": coded("not-applicable"), "extension": [
        {"url": "http://hl7.org/fhir/StructureDefinition/flag-detail", "valueReference": {"reference": "Condition/c"}}]})  # fmt: skip
    assert lined(flag, problem).text == "MRSA-drager"


@pytest.mark.parametrize("type_", ["AllergyIntolerance", "CareTeam", "Condition", "Consent", "DeviceUseStatement", "Encounter",
                                   "FamilyMemberHistory", "Flag", "Immunization", "MedicationDispense", "Observation",
                                   "Procedure", "RelatedPerson", "QuestionnaireResponse"])  # fmt: skip
@pytest.mark.parametrize("language", ["nl", "en"])
def test_an_empty_resource_is_told_as_unknown_not_as_nothing(type_: str, language: str) -> None:
    assert lined(item(type_, "x", {}), language=language).text


def test_both_languages_hold_the_same_texts() -> None:
    texts = tomllib.loads(files("gateway.summary").joinpath("texts.toml").read_text(encoding="utf-8"))

    def keys(tree: Json) -> set[str]:
        return {
            f"{name}.{inner}" for name, value in tree.items() for inner in (value if isinstance(value, dict) else ("",))
        }

    assert keys(texts["nl"]) == keys(texts["en"])


def test_resources_stay_exact() -> None:
    assert exact.encode(observation("o", value="1.50").resource).count(b"1.50") == 1
