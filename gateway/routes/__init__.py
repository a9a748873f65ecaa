"""The doors: FastAPI routers and, beside them, the raw ASGI FHIR endpoint (`fhir`)."""
