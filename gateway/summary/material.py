"""What a summary is made of: one caller, one patient, every answer, and the moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gateway.model import Answer, Caller, Patient
from gateway.policy import Policy


@dataclass(frozen=True, slots=True)
class Material:
    """Everything `document` and `page` need; they reach for nothing else."""

    patient: Patient
    caller: Caller
    answers: tuple[Answer, ...]
    policy: Policy
    base: str  # public base URL, without /fhir
    now: datetime
    request_id: str
    language: str = "nl"
    profile: str = ""  # canonical of a Composition profile; empty = IPS
    gateway_name: str = "ROAZ FHIR gateway"
    gateway_version: str = ""
    operator: str = ""  # the organization that runs the gateway
    operator_ura: str = ""
