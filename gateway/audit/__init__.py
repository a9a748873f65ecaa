"""What was asked, by whom, why, and what was shown: written before anything is shown.

Writing: `record` (the compact frozen value that is stored) and `journal` (`recorded`, the wrapper around the line).

Reading: `view` (what one organization may see of a record), `rendering` with `participants`, `objects` and `vocabulary` (records as
AuditEvents), `reading` (records of a question), `citizen` and `page` (the overview for the person concerned), `export`.
"""
