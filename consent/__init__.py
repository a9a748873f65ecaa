"""May this requester see this, now, for this purpose? Pure and total: no answer is left open, broken means no.

Read `model` (the question, the facts and the answer), then `decision.decide`.
"""
