"""Print what the detector finds in a picture: python example.py PICTURE"""

import sys
from pathlib import Path

import cv2

from detector import Detector

if len(sys.argv) != 2 or (image_bgr := cv2.imread(sys.argv[1])) is None:
    sys.exit("give the file of a picture: python example.py PICTURE")
with Detector(Path(__file__).parent / "model") as detector:
    found = detector(image_bgr)
for label, score, box_xyxy in zip(found.class_names, found.confidence, found.xyxy, strict=True):
    print(label, f"{score:.2f}", *(f"{side:.1f}" for side in box_xyxy))
