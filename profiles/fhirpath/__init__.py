"""FHIRPath for FHIR R4: expressions compiled to closures that are typed by the definitions. Pure.

Read `expression` (the API), `compiler`, then the functions by subject: `selecting`, `text`, `numeric`, `converting`,
`resource`.
"""

from profiles.fhirpath.errors import NOT_JUDGED, EvaluationError, FhirPathError, InvalidExpression, NotJudged
from profiles.fhirpath.expression import Expression, compile_expression
from profiles.fhirpath.node import Node
from profiles.fhirpath.state import NOTHING, Environment

__all__ = [
    "NOTHING",
    "NOT_JUDGED",
    "Environment",
    "EvaluationError",
    "Expression",
    "FhirPathError",
    "InvalidExpression",
    "Node",
    "NotJudged",
    "compile_expression",
]
