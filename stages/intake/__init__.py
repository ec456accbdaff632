"""The parts of `ingest`: what happens between a CVAT export and a data set to be trusted.

archive.py      a zip or a folder        -> Export: safe names, and a way to read one file
zips.py         a zip                    -> its members, each checked before any is read
annotations.py  instances_*.json         -> labels and Pictures with their Boxes
strict_json.py  bytes                    -> JSON values, and lists whose entries have ids
boxes.py        one entry of annotations -> the box that is trained on
layout.py       Pictures                 -> where their files lie in the export
review.py       all of them              -> warnings of what looks odd
pictures.py     Pictures and files       -> OUT_DIR/images, on all cores
decode.py       the bytes of one file    -> admitted by content, decoded whole, upright
dataset.py      Pictures                 -> annotations.json and report.json
records.py      Picture and Box
findings.py     faults, repairs and warnings, collected and told
names.py        which file names are safe
"""
