"""What flows in: the sibling of the line, with the same record around it.

Read `submission` (FHIR writes), then `cases`, `consents`, `registrations`. What is pushed: `letters` makes sense of it,
`messages` keeps it; `files` and `documents` are its doors beside MLLP, `desk` is for people, `retention` says how long.
"""

from gateway.intake.submission import submit

__all__ = ["submit"]
