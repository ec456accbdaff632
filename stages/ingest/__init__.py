"""A CVAT export becomes a clean COCO data set, in the order of `__main__.main`.

source.py       a zip or a folder -> Source: safe names, limits, a way to read one file
layout.py       names of files -> the JSON files, and the file of each image
annotations.py  the JSON files -> labels and Images with their Boxes
schema.py       COCO in pydantic, and a strict JSON parser
conventions.py  boxes of another convention than [x, y, width, height] in pixels
other_formats.py  what was given instead of COCO
boxes.py        one annotation -> the box to train on; Image and Box
images.py       Images -> OUT_DIR/images, decoded whole, upright, on all cores
dataset.py      Images -> annotations.json, report.json and warnings
findings.py     faults, repairs and warnings, collected and printed
"""
