"""Valid values for the contracts: one argument, one deviation."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from msgspec import structs

from consent.model import Case, Statement
from gateway.model import IndexEntry, Item
from gateway.ports import Issued
from gateway.pushed import Message
from tests.fakes import NOON

PATIENT = "p1-aaaa"
HOSPITAL = "90000001"
AMBULANCE = "90000002"


def an_item(**other: Any) -> Item:
    return structs.replace(
        Item(
            raw=b'{"resourceType":"Observation","valueQuantity":{"value":7.10}}',
            id="i1",
            type="Observation",
            patient=PATIENT,
            custodian=AMBULANCE,
            source="ambulance",
            category="ObservationVitalSigns",
            native="k1",
            labels=frozenset({"R", "extra"}),
            date="2026-03-01",
            recorded="2026-03-01T10:00:00+01:00",
            fetched="2026-03-01T09:00:01Z",
            version="v",
            map="hl7v2-oru",
            negative=True,
            marks=("stale",),
        ),
        **other,
    )


def a_message(**other: Any) -> Message:
    message = Message("ambulance", AMBULANCE, "M1", "d1", b"MSH|", NOON, "accepted")
    return replace(message, **other)


def an_entry(**other: Any) -> IndexEntry:
    entry = IndexEntry(
        "e1", PATIENT, AMBULANCE, frozenset({"AllergyIntolerance", "Condition"}), "referral", NOON, "client-1"
    )
    return replace(entry, **other)


def a_statement(**other: Any) -> Statement:
    statement = Statement(
        "s1", 1, "deny", PATIENT, HOSPITAL, categories=frozenset({"MedicationUse"}), start=NOON, data_end="2025"
    )
    return replace(statement, **other)


def a_case(**other: Any) -> Case:
    case = Case("c1", "caller", HOSPITAL, PATIENT, NOON, NOON + timedelta(hours=24), "client-1", "person-1")
    return replace(case, **other)


def an_issued(**other: Any) -> Issued:
    return replace(Issued("x1", "Condition", PATIENT, HOSPITAL, "hospital", "Condition", NOON), **other)
