"""What flows in: the sibling of the line, with the same record around it.

Read `submission` (FHIR writes), then `cases`, `consents`, `registrations`; `messages` takes what feeds push.
"""

from gateway.intake.submission import submit

__all__ = ["submit"]
