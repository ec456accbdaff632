"""Choose the frames that go through the model: those with motion, or as many as keep pace."""

import time

import cv2
import numpy as np

from detector.video.sources import Frame

WIDTH_PX = 160  # of the small gray picture that motion is looked for in
LEARNING_RATE = 0.02  # of the background for each frame: it forgets within some seconds
REFRESH_S = 2.0  # a still picture is looked at again after this time
AFTER_S = 0.5  # and so long after something moved: it may have left, and its boxes must go too
AHEAD_S = 0.1  # what the first frames of a file may take longer
LONGEST_S = 0.5  # without a detection, however late a run is


class WhenMoving:
    """Lets frames through in which something moves, and one in REFRESH_S seconds.

    The background is a mixture of Gaussians at each pixel (Zivkovic, 2004, in OpenCV).
    """

    def __init__(self) -> None:
        self.background = cv2.createBackgroundSubtractorMOG2(detectShadows=False)
        self.passed_s = self.moved_s = -REFRESH_S

    def __call__(self, frame: Frame) -> bool:
        height, width = frame.image_bgr.shape[:2]
        small_wh = WIDTH_PX, max(1, round(WIDTH_PX * height / width))
        small_bgr = cv2.resize(frame.image_bgr, small_wh, interpolation=cv2.INTER_AREA)
        gray = cv2.cvtColor(small_bgr, cv2.COLOR_BGR2GRAY)
        moving = self.background.apply(gray, learningRate=LEARNING_RATE)
        # What is smaller than a square of four pixels is noise.
        square = np.ones((2, 2), np.uint8)
        frame.moving = bool(cv2.morphologyEx(moving, cv2.MORPH_OPEN, square).any())
        if frame.moving:
            self.moved_s = frame.time_s
        passes = (
            0 <= frame.time_s - self.moved_s <= AFTER_S
            # Below 0: the next file of a folder.
            or not 0 < frame.time_s - self.passed_s < REFRESH_S
        )
        if passes:
            self.passed_s = frame.time_s
        return passes


class OnTime:
    """Lets frames through while the run keeps pace: of a file with its playing time, of a camera
    with the frames that it sends; and one in LONGEST_S seconds in any case.

    Args:
        live: whether it is a camera.
    """

    def __init__(self, live: bool):
        self.live, self.read_at, self.began = live, 0.0, 0.0
        self.time_s, self.passed_s = 0.0, 0.0

    def __call__(self, frame: Frame) -> bool:
        now, before, self.read_at = time.perf_counter(), self.read_at, frame.read_at
        if frame.time_s <= self.time_s:  # the first frame, or the next file of a folder
            self.began, self.passed_s = now, -LONGEST_S
        self.time_s = frame.time_s
        in_time = (
            now - frame.read_at < frame.read_at - before
            if self.live
            else now - self.began < frame.time_s + AHEAD_S
        )
        passes = in_time or frame.time_s - self.passed_s >= LONGEST_S
        if passes:
            self.passed_s = frame.time_s
        return passes
