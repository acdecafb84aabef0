"""Any number of photographs: what is to be done, what was done, and how it is done side by side.

`plan` turns words into jobs, `journal` and `claims` remember and share them, `run` does them, `summary` tells.
This package loads torch only in `one` and `run`.
"""
