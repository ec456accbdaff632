"""Write videos that browsers and players open, encoded by FFmpeg through PyAV."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from detector.video.sources import FALLBACK_FPS
from detector.video.video_file import av, open_container, packets

# Without B-frames packets are in the order of the frames, and irregular times stay as they are.
H264 = ("libx264", {"preset": "ultrafast", "crf": "23", "bf": "0"})
VP9 = ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "crf": "32", "b": "0"})
# By suffix the container and the codec: H.264 plays everywhere, VP9 needs no patent licence.
FORMATS = {
    ".mp4": ("mp4", *H264), ".m4v": ("mp4", *H264), ".mov": ("mov", *H264),
    ".mkv": ("matroska", *H264), ".webm": ("webm", *VP9),
}  # fmt: skip
TICKS = Fraction(1, 90_000)  # s
BT709 = 1  # the colors that players expect


class VideoWriter:
    """A video of frames of one size, at their presentation times.

    Args:
        file: where it is written, open.
        suffix: a key of FORMATS.
        size_wh: of the frames; an odd side gets one more line, the last one again.
        fps: frames per second, about.
        sound: a file whose sound is copied; None for no sound.

    Raises:
        ValueError: the container cannot hold that sound.
    """

    def __init__(
        self,
        file: BinaryIO,
        suffix: str,
        size_wh: tuple[int, int],
        fps: float | None,
        sound: Path | None = None,
    ):
        container, codec, options = FORMATS[suffix]
        self.fps = fps or FALLBACK_FPS
        self.container = av.open(file, "w", format=container)
        self.stream = self.container.add_stream(
            codec, rate=max(1, round(self.fps)), options=options
        )
        self.stream.width, self.stream.height = (side + side % 2 for side in size_wh)
        self.stream.pix_fmt = "yuv420p"
        self.stream.time_base = self.stream.codec_context.time_base = TICKS
        for name in ("colorspace", "color_primaries", "color_trc", "color_range"):
            setattr(self.stream.codec_context, name, BT709)
        self.last_s = -1 / self.fps
        self.sound = self.copied_sound(sound) if sound else iter(())
        self.waiting = next(self.sound, None)

    def write(self, image_bgr: np.ndarray, time_s: float) -> None:
        """Add a frame; one that is not later than the one before follows it by 1 / fps."""
        self.last_s = time_s if time_s > self.last_s else self.last_s + 1 / self.fps
        height, width = image_bgr.shape[:2]
        if (width, height) != (self.stream.width, self.stream.height):
            below, right = self.stream.height - height, self.stream.width - width
            image_bgr = cv2.copyMakeBorder(image_bgr, 0, below, 0, right, cv2.BORDER_REPLICATE)
        frame = av.VideoFrame.from_ndarray(image_bgr, format="bgr24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=BT709, threads=1)
        frame.pts, frame.time_base = round(self.last_s / TICKS), TICKS
        self.container.mux(self.stream.encode(frame))
        self.write_sound(self.last_s)

    def close(self) -> None:
        """Write what is still in the encoder, and the index."""
        self.container.mux(self.stream.encode(None))
        self.write_sound(self.last_s + 1 / self.fps)
        self.container.close()

    def write_sound(self, until_s: float) -> None:
        """Copy the sound up to a time."""
        while self.waiting and float(self.waiting.dts * self.waiting.time_base) <= until_s:
            self.container.mux(self.waiting)
            self.waiting = next(self.sound, None)

    def copied_sound(self, path: Path) -> Iterator["av.Packet"]:
        """Add the first sound of a file as a stream, and return its packets, from time 0 on."""
        source = open_container(path)
        if not source.streams.audio:
            return iter(())
        stream = source.streams.audio[0]
        copy = self.container.add_stream_from_template(stream)

        def shifted() -> Iterator["av.Packet"]:
            zero = round((source.start_time or 0) / av.time_base / stream.time_base)
            for packet in packets(source, stream):
                if packet is None or packet.dts is None:
                    break
                packet.pts, packet.dts = packet.pts - zero, packet.dts - zero
                packet.stream = copy
                yield packet
            source.close()

        return shifted()
