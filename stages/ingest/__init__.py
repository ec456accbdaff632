"""A CVAT export becomes a clean COCO data set, in the order of `__main__.main`.

layout.py       names of files -> the JSON files, and the file of each image
annotations.py  the JSON files -> labels and Images with their Boxes
schema.py       COCO in pydantic, and a strict JSON parser
conventions.py  boxes of another convention than [x, y, width, height] in pixels
boxes.py        one annotation -> the box to train on; Image and Box
images.py       Images -> OUT_DIR/images, decoded whole, upright, on all cores
dataset.py      Images -> annotations.json, report.json and warnings
"""
