"""Source bytes in, R4 nl-core resources and a list of what was lost out. Pure.

Read `model`, then `translation.translate`.
"""
