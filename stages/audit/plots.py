"""Plots of box sizes and positions as SVG, with points and cells rasterized."""

import numpy as np

from stages.audit.measures import MIN_SIDE_PX, Boxes
from stages.audit.thumbnails import OTHERS
from stages.evaluation.html import pyplot, svg

STRIDES = (16, 32)
CELLS = 32
DPI = 160
QUIET, ALARM = "#9aa5b1", "#cf2222"


def plot_sizes(boxes: Boxes, colors: list[str], input_hw: tuple[int, int]) -> str:
    """Plot width and height of every box at the model's input, with strides and limits."""
    figure, axes = pyplot.subplots(figsize=(5, 4.2), dpi=DPI)
    low = min(4.0, 0.8 * boxes.input_wh.min())
    limits = low, 1.25 * max(input_hw)
    for draw_line, size in ((axes.axvline, input_hw[1]), (axes.axhline, input_hw[0])):
        draw_line(MIN_SIDE_PX, color=ALARM, linewidth=1)
        draw_line(size, color="#5b6673", linewidth=1)
        for stride in STRIDES:
            draw_line(stride, color=QUIET, linewidth=0.8, linestyle=":")
    counts = np.bincount(boxes.classes, minlength=len(colors))
    # The rarest last, on top; those without a color of their own first.
    for index in sorted(range(len(colors)), key=lambda i: (colors[i] != OTHERS, -counts[i])):
        width, height = boxes.input_wh[boxes.classes == index].T
        axes.plot(width, height, "o", color=colors[index], markersize=3, alpha=0.6,
                  markeredgewidth=0, rasterized=True)  # fmt: skip
    ticks = [2**power for power in range(-6, 14) if limits[0] <= 2**power <= limits[1]]
    axes.set(xscale="log", yscale="log", xlim=limits, ylim=limits,
             xlabel="width at the input, px", ylabel="height at the input, px")  # fmt: skip
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_ticks([], minor=True)
    return svg(figure)


def plot_positions(boxes: Boxes) -> str:
    """Plot the number of box centers in each part of the frame."""
    width, height = np.median(boxes.frame_wh, axis=0)
    tall = min(max(5 * height / width, 2.0), 6.0)
    figure, axes = pyplot.subplots(figsize=(5, tall), dpi=DPI)
    center = 100 * (boxes.xywh[:, :2] + boxes.xywh[:, 2:] / 2) / boxes.frame_wh
    counts, *edges = np.histogram2d(*center.T, bins=CELLS, range=[[0, 100], [0, 100]])
    cells = axes.pcolormesh(*edges, counts.T, cmap="Blues", vmin=0, rasterized=True)
    axes.set(xlabel="% of the width", ylabel="% of the height", ylim=(100, 0))
    figure.colorbar(cells, label="boxes")
    return svg(figure)
