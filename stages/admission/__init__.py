"""Files from outside, before anything is made of them: of an export, and of the pool.

source.py         a zip or a folder -> Source: safe names, limits, a way to read one file
findings.py       faults, repairs and warnings, collected and printed
other_formats.py  what was given instead of COCO
"""
