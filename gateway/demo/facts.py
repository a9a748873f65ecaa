"""What the simulated organizations know, as typed facts: a typing error in a person file is an error."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, Self

import msgspec


class Coding(str):
    """A code as a person file writes it: "sct 372687004 amoxicilline"."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check that alias, code and display are all there.

        Raises:
            ValueError: one of the three is missing.
        """
        if text.count(" ") < 2:
            message = 'expected "alias code display"'
            raise ValueError(message)
        return super().__new__(cls, text)

    @property
    def alias(self) -> str:
        """The short word of the code system."""
        return self.split(" ", 2)[0]

    @property
    def code(self) -> str:
        """The code."""
        return self.split(" ", 2)[1]

    @property
    def display(self) -> str:
        """What a person reads."""
        return self.split(" ", 2)[2]


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a person file."""


class Name(_Strict, frozen=True, kw_only=True):
    """A Dutch name in its parts."""

    given: str
    family: str
    prefix: str = ""
    initials: str = ""

    @property
    def last(self) -> str:
        """Prefix and family name."""
        return f"{self.prefix} {self.family}".strip()

    @property
    def full(self) -> str:
        """The whole name."""
        return f"{self.given} {self.last}"


class Address(_Strict, frozen=True, kw_only=True):
    """A Dutch address."""

    street: str
    number: str
    postcode: str
    city: str


class Contact(_Strict, frozen=True, kw_only=True):
    """Somebody to call."""

    relation: Coding
    name: Name
    phone: str = ""
    role: Coding | None = None


class Trip(_Strict, frozen=True, kw_only=True):
    """The ambulance trip that brought the person into the record."""

    number: str
    start: str
    complaint: str


class _Fact(_Strict, frozen=True, kw_only=True, tag_field="kind"):
    """One thing an organization recorded; `id` is its own key within the person."""

    id: str
    labels: tuple[str, ...] = ()


class Allergy(_Fact, frozen=True, tag="allergy", kw_only=True):
    """An allergy, or the explicit absence of one."""

    code: Coding
    status: Literal["active", "inactive", "resolved"]
    verification: Literal["confirmed", "unconfirmed", "refuted"]
    recorded: str
    category: Literal["medication", "food", "environment", "biologic", ""] = ""
    criticality: Literal["low", "high", ""] = ""
    onset: str = ""
    reaction: Coding | None = None
    severity: Literal["mild", "moderate", "severe", ""] = ""
    note: str = ""


class Problem(_Fact, frozen=True, tag="problem", kw_only=True):
    """A diagnosis or episode."""

    code: Coding
    status: Literal["active", "inactive"]
    recorded: str
    onset: str = ""
    end: str = ""
    note: str = ""


class _Drug(_Fact, frozen=True, kw_only=True):
    code: Coding
    text: str
    status: Literal["active", "completed", "stopped"]
    start: str
    dosage: str
    end: str = ""
    amount: Decimal | None = None
    unit: str = ""
    times: int = 0  # a day
    reason: str = ""


class Medication(_Drug, frozen=True, tag="medication", kw_only=True):
    """What the person uses (MP9 building block medication use)."""

    asserted: str


class MedicationAgreement(_Drug, frozen=True, tag="agreement", kw_only=True):
    """What was prescribed (MP9 building block medication agreement)."""

    authored: str


class Step(_Strict, frozen=True, kw_only=True):
    """One step of a schedule: so much, so often a day, for so many days."""

    amount: Decimal
    times: int
    days: int


class AdministrationAgreement(_Drug, frozen=True, tag="administration-agreement", kw_only=True):
    """What a pharmacy agreed to hand out (MP9 building block administration agreement)."""

    authored: str
    treatment: str  # the number that relates the building blocks of one treatment
    steps: tuple[Step, ...] = ()  # one after the other
    replaces: str = ""  # the id of the agreement that this one ends


class Dispense(_Fact, frozen=True, tag="dispense", kw_only=True):
    """What a pharmacy handed out (MP9 building block dispense)."""

    code: Coding
    at: str
    amount: Decimal  # in pieces
    days: int
    treatment: str


class Alert(_Fact, frozen=True, tag="alert", kw_only=True):
    """A warning."""

    code: Coding
    status: Literal["active", "inactive"]
    start: str


class Directive(_Fact, frozen=True, tag="directive", kw_only=True):
    """A treatment directive of a doctor."""

    treatment: Coding
    decision: Literal["do", "dont", "other"]
    date: str
    verified: Literal["patient", "representative"]
    text: str = ""  # the full "ja, maar"
    note: str = ""


class Will(_Fact, frozen=True, tag="will", kw_only=True):
    """A declaration of the person."""

    type: Coding
    date: str
    note: str = ""


class Pressure(_Fact, frozen=True, tag="pressure", kw_only=True):
    """A blood pressure in mm[Hg]."""

    systolic: Decimal
    diastolic: Decimal
    at: str


class Measurement(_Fact, frozen=True, tag="measurement", kw_only=True):
    """A vital sign with one value."""

    of: str  # a row of `measurements` in vocabulary.yaml
    value: Decimal
    at: str
    unit: str = ""  # when another than usual


class Laboratory(_Fact, frozen=True, tag="laboratory", kw_only=True):
    """A laboratory result with the range of its laboratory."""

    code: Coding
    value: Decimal
    unit: str
    at: str
    comparator: Literal["<", "<=", ">=", ">", ""] = ""
    low: Decimal | None = None
    high: Decimal | None = None
    flag: Literal["H", "L", ""] = ""


class Encounter(_Fact, frozen=True, tag="encounter", kw_only=True):
    """A contact with an organization."""

    class_: Literal["AMB", "EMER", "IMP", "HH", "VR"] = msgspec.field(name="class")
    start: str
    reason: str
    end: str = ""


class Given(_Fact, frozen=True, tag="given", kw_only=True):
    """A medicine somebody was given on the way."""

    code: Coding
    at: str
    amount: Decimal
    unit: str
    text: str = ""


Fact = (
    Allergy
    | Problem
    | Medication
    | MedicationAgreement
    | AdministrationAgreement
    | Dispense
    | Alert
    | Directive
    | Will
    | Pressure
    | Measurement
    | Laboratory
    | Encounter
)


class Transfer(_Strict, frozen=True, kw_only=True):
    """The document with which an ambulance hands a person over, and for whom it is."""

    at: str
    to: tuple[str, ...]  # organizations of the region
    narrative: str
    facts: tuple[Allergy | Problem | Measurement | Pressure | Given, ...] = ()


class Chart(_Strict, frozen=True, kw_only=True):
    """What one organization holds about a person; its own birth date or death may differ."""

    facts: tuple[Fact, ...] = ()
    contacts: tuple[Contact, ...] = ()
    birthDate: str = ""  # noqa: N815 - FHIR word
    deceased: str = ""
    trip: Trip | None = None
    transfer: Transfer | None = None
    earlier: tuple[Fact, ...] = ()  # of a feed of files: what the one before said


class Person(_Strict, frozen=True, kw_only=True):
    """One synthetic person and what every organization says about them."""

    bsn: str
    birthDate: str  # noqa: N815 - FHIR word
    shows: str
    name: Name
    gender: Literal["female", "male"]
    sources: dict[str, Chart]
    consents: dict[str, tuple[str | dict[str, tuple[str, ...]], ...]]
    number: str = ""  # the hospital's own patient number, for who has no BSN
    address: Address | None = None
    phone: str = ""
    labels: tuple[str, ...] = ()
    multipleBirth: int = 0  # noqa: N815 - FHIR word
    consentBy: tuple[str, ...] = ("patient",)  # noqa: N815 - FHIR manner
