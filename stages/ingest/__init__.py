"""The parts of `ingest`: what happens between a CVAT export and a data set to be trusted.

archive.py      a zip or a folder        -> Source: safe names, and a way to read one file
zips.py         a zip                    -> its members, each checked before any is read
folders.py      a folder                 -> its files
listings.py     names of files           -> which JSON files list pictures, of which subset
annotations.py  these JSON files         -> labels and Pictures with their Boxes
labels.py       their categories         -> the names of labels
strict_json.py  bytes                    -> JSON values, and lists whose entries have ids
boxes.py        one entry of annotations -> the box that is trained on
layout.py       Pictures                 -> what reads their files, wherever they lie
originals.py    data.images              -> the files that the export does not hold
review.py       all of them              -> warnings of what looks odd
pictures.py     Pictures and files       -> OUT_DIR/images, on all cores
workers.py      threads                  -> all cores, in a bound of memory
decode.py       the bytes of one file    -> admitted by content, decoded whole, upright
series.py       a name, a grey picture   -> its series, and a hash of how it looks
dataset.py      Pictures                 -> annotations.json and report.json
records.py      Picture and Box
limits.py       section `ingest`         -> the largest sizes that are admitted
findings.py     faults, repairs and warnings, collected and told
names.py        which file names are safe
"""
