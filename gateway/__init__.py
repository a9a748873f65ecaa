"""The gateway: everything that touches the outside.

Read in this order: `exchange` (the whole line on one page), `ports` (the outside world on one
page), `model` (the values on the line), `app` (how it is put together).
"""
