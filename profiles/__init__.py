"""Is this resource what the specification and the guideline ask? Pure: values in, issues out.

Read `identifiers` (checked value types), `exact` (JSON that keeps decimals), `dates` (as precise as written),
`narrative` (safe to show) and `validation`.
"""
