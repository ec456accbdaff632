"""Frames of a video file, decoded by FFmpeg through PyAV."""

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from detector.core.cpu import usable_cores
from detector.video.sources import FALLBACK_FPS, MAX_PIXELS, Frame, Source, SourceError

try:
    import av
    import av.filter
    import av.stream
except ModuleNotFoundError as error:
    raise SourceError(
        "videos are read and written by PyAV, which is not installed: pip install av"
    ) from error

# FFmpeg's demuxers that read frames from the file itself; playlists are none of them.
FORMATS = "mov,matroska,webm,avi,mpeg,mpegts,asf,flv,ogg,gif,h264,hevc,mjpeg,ivf,m4v,obu"
OPTIONS = {"protocol_whitelist": "none", "format_whitelist": FORMATS}
TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}


class VideoFile(Source):
    """A video file, to its end and beyond damaged parts.

    Frames are as a player shows them: upright, deinterlaced, with square pixels, at their
    presentation times.

    Args:
        path: the file.
        every: take each n-th frame only.
    """

    def __init__(self, path: Path, every: int = 1):
        super().__init__()
        self.path, self.every = path, every
        with closing(open_container(path)) as container:
            stream = video_stream(container, path)
            rate = stream.average_rate or stream.guessed_rate
            self.fps = float(rate) if rate and rate <= 1000 else None  # others cannot be true
            self.total = -(-stream.frames // every) or None

    def frames(self) -> Generator[Frame, None, None]:
        name, number, started = str(self.path), 0, time.perf_counter()
        with closing(open_container(self.path)) as container:
            stream = video_stream(container, self.path)
            zero_s = (container.start_time or 0) / av.time_base
            last_s = -1 / (self.fps or FALLBACK_FPS)
            for decoded in self.decoded(container, stream):
                time_s = last_s + 1 / (self.fps or FALLBACK_FPS)
                if decoded.time is not None:
                    time_s = max(decoded.time - zero_s, last_s, 0.0)
                last_s = time_s
                if number % self.every == 0:
                    image_bgr, stretch = as_shown(decoded, stream)
                    read = time.perf_counter()
                    yield Frame(
                        name, number, time_s, image_bgr, (read - started) * 1e3, read, self.path,
                        stretch,
                    )  # fmt: skip
                    started = time.perf_counter()
                number += 1
        if number == 0:
            raise SourceError(f"{self.path} holds no frame that can be decoded")

    def decoded(self, container, stream) -> Iterator["av.VideoFrame"]:
        """Yield the decoded frames, deinterlaced where they ask for it; count what is damaged."""
        lost, deinterlacer = 0, None
        for packet in packets(container, stream):
            try:
                found = packet.decode() if packet else []
                lost += packet is None or packet.is_corrupt
            except av.FFmpegError:
                found, lost = [], lost + 1
            for frame in found:
                if deinterlacer is None and frame.interlaced_frame:
                    deinterlacer = deinterlacing(stream, frame)
                yield from deinterlaced(deinterlacer, frame) if deinterlacer else [frame]
        if deinterlacer:
            yield from deinterlaced(deinterlacer, None)
        if lost:
            self.warnings.append(
                f"{self.path} is damaged or cut: {lost} of its packets could not be read; what "
                "could be decoded was used"
            )


def open_container(path: Path) -> "av.container.InputContainer":
    """Open a video file without ever opening another one.

    Raises:
        SourceError: it is empty, broken or no video.
    """
    # A file object: FFmpeg takes 12:30.mp4 for a protocol, and opens no names that are not UTF-8.
    file = path.open("rb")
    try:
        return av.open(file, options=OPTIONS, buffer_size=2**20)
    except (av.FFmpegError, OSError) as error:
        raise SourceError(
            f"{path} cannot be opened; it is empty, broken or no video that can be decoded here"
        ) from error


def video_stream(container, path: Path) -> "av.video.stream.VideoStream":
    """Return the video of a container, set to decode with several threads.

    Raises:
        SourceError: there is none, it cannot be decoded, or its frames are too large.
    """
    stream = container.streams.best("video")
    if stream is None or stream.disposition & av.stream.Disposition.attached_pic:
        raise SourceError(f"{path} holds no video")
    if stream.codec_context is None:
        raise SourceError(f"{path} cannot be decoded here; convert it to H.264 with ffmpeg")
    if stream.width * stream.height > MAX_PIXELS:
        raise SourceError(f"{path} has frames of {stream.width}x{stream.height}: too large")
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = usable_cores()  # FFmpeg knows nothing of a quota
    return stream


def packets(container, stream) -> Iterator["av.Packet | None"]:
    """Yield the packets of a stream; None where the file breaks off."""
    reading = container.demux(stream)
    while True:
        try:
            yield next(reading)
        except StopIteration:
            return
        except (av.FFmpegError, OSError):
            yield None
            return


def deinterlacing(stream, frame) -> "av.filter.Graph":
    """Return a filter that makes whole frames of interlaced ones, one each."""
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=stream.time_base
    )
    yadif = graph.add("bwdif", "mode=send_frame:deint=interlaced")
    source.link_to(yadif)
    yadif.link_to(graph.add("buffersink"))
    graph.configure()
    return graph


def deinterlaced(graph: "av.filter.Graph", frame) -> Iterator["av.VideoFrame"]:
    """Put a frame into the filter, None at the end, and yield what comes out."""
    graph.push(frame)
    while True:
        try:
            yield graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return


def as_shown(frame, stream) -> tuple[np.ndarray, tuple[float, float]]:
    """Return a frame as image_bgr, upright and with square pixels, and how far it was stretched."""
    aspect = stream.sample_aspect_ratio or Fraction(1)
    if not Fraction(1, 8) <= aspect <= 8:
        aspect = Fraction(1)
    wide, high = max(aspect, Fraction(1)), max(1 / aspect, Fraction(1))
    width, height = round(frame.width * wide), round(frame.height * high)
    # One thread: starting more for each frame takes longer than the conversion.
    shown = frame.reformat(format="bgr24", width=width, height=height, threads=1)
    image_bgr = shown.to_ndarray()
    stretch = width / frame.width, height / frame.height
    turn = round(getattr(frame, "rotation", 0) / 90) * 90 % 360
    if turn:
        image_bgr = cv2.rotate(image_bgr, TURNS[turn])
        stretch = stretch[::-1] if turn != 180 else stretch
    return image_bgr, stretch
