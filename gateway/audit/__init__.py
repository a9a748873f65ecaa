"""What was asked, by whom, why, and what was shown: written before anything is shown.

Read `record` (the compact frozen value that is stored) and `journal` (`recorded`, the wrapper around the line).
"""
