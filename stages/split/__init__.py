"""The parts of `split`: what must stay together, which side it goes to, what calibrates.

twins.py         pictures that look the same, found by their hashes
units.py         images -> what the split may not cut: groups, or pictures that look the same
sides.py         units  -> train, val and test, by hash, with the shares kept
assign.py        images -> their sides, subsets of the export and leaks minded
calibration.py   train images -> the order in which they calibrate
account.py       the sides -> report.json, metrics/data.json and what a person must know
"""
