"""Is this resource what the specification and the guideline ask? Pure: values in, issues out.

Read `identifiers` (checked value types), `exact` (JSON that keeps decimals) and `validation`.
"""
