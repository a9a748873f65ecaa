"""The FHIR REST surface without a framework.

Read `interactions` (THE table), `app` (raw ASGI), `reading` (HTTP to Question), `answering` (Answers to bytes).
"""
