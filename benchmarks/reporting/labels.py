"""Names beside the points of a plot, where they hide neither each other nor a point."""

import itertools
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

MARKER = 6  # typographic points kept free around the middle of a marker
REACHES = (8, 18, 30, 44, 60)  # typographic points from a marker to its label; the nearest free place is taken
LINE = {"arrowstyle": "-", "color": "0.6", "linewidth": 0.6, "shrinkB": MARKER}
SIDES = [  # where a label lies, and which of its edges is held there
    (1, 0, "left", "center"),
    (0, 1, "center", "bottom"),
    (0, -1, "center", "top"),
    (-1, 0, "right", "center"),
    (0.7, 0.7, "left", "bottom"),
    (0.7, -0.7, "left", "top"),
    (-0.7, 0.7, "right", "bottom"),
    (-0.7, -0.7, "right", "top"),
]


Place = tuple[float, float]  # in data


def label_points(
    axes: Axes, places: Sequence[Place], texts: Sequence[str], corners: Sequence[Place] = ()
) -> list[Annotation]:
    """Write each text beside its place, with a line to it if it is far.

    corners: of a line in horizontal and vertical steps, on which no text may lie. To be called when the limits are
    final: what is free is found in pixels.
    """
    axes.figure.draw_without_rendering()  # settles the layout,
    axes.figure.set_layout_engine("none")  # which labels must not move again
    around = MARKER * axes.figure.dpi / 72
    middles = [axes.transData.transform(place) for place in places]
    taken = [Bbox.from_extents(*(middle - around), *(middle + around)) for middle in middles]
    turns = [axes.transData.transform(corner) for corner in corners]
    taken += [Bbox([start, end]).padded(2) for start, end in itertools.pairwise(turns)]
    labels = []
    for place, text in zip(places, texts, strict=True):
        label = _nearest_free(axes, place, text, taken)
        taken.append(extent(label))
        labels.append(label)
    return labels


def _nearest_free(axes: Axes, place: Place, text: str, taken: Sequence[Bbox]) -> Annotation:
    """The label at the first place that is free; the last one tried if none is."""
    inside = axes.get_window_extent()
    tried = None
    for reach in REACHES:
        for x, y, horizontal, vertical in SIDES:
            if tried is not None:
                tried.remove()
            tried = axes.annotate(
                text,
                place,
                (x * reach, y * reach),
                textcoords="offset points",
                ha=horizontal,
                va=vertical,
                fontsize=9,
                path_effects=[withStroke(linewidth=2, foreground="white")],
                arrowprops=LINE if reach > REACHES[0] else None,
            )
            box = extent(tried)
            within = inside.contains(box.x0, box.y0) and inside.contains(box.x1, box.y1)
            if within and not any(box.overlaps(other) for other in taken):
                return tried
    return tried


def extent(label: Annotation) -> Bbox:
    """The pixels of the text alone: its line may cross what it likes."""
    label.update_positions(label.axes.figure.canvas.get_renderer())
    return Text.get_window_extent(label)
