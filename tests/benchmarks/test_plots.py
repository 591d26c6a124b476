"""The pictures: they are there, show everything, and no name hides another."""

import io
import itertools

import pytest
from matplotlib.figure import Figure

from benchmarks.reporting import plots
from benchmarks.reporting.labels import extent, label_points
from benchmarks.reporting.tradeoff import Comparison, Point

LOG = [{"step": 1, "kl": 3.0, "loss": 4.0}, {"step": 2, "kl": 1.0, "loss": 2.0}, {"step": 2, "eval_kl": 1.5}]


def timing(model, backend, seconds, **more):
    return {"model": model, "backend": backend, "seconds": [seconds], **more}


def png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file)
    return file.getvalue()


def is_picture(data):
    return data.startswith(b"\x89PNG") and len(data) > 5000


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_a_panel_for_each_term_that_was_logged():
    figure = plots.training_curves({"one": LOG, "two": LOG[:1]})
    assert [axes.get_title() for axes in figure.axes] == ["loss (weighted sum)", "kl"]
    line, dots = figure.axes[1].lines[:2]
    assert list(line.get_ydata()) == [3, 1] and list(dots.get_xydata()[0]) == [2, 1.5]
    assert {text.get_text() for text in figure.legends[0].texts} == {"one", "two", "on held-out text"}
    assert is_picture(png(figure))


@pytest.mark.parametrize(("slow", "scale"), [(0.019, "linear"), (0.021, "log")])
def test_bars_are_logarithmic_where_the_short_would_vanish(slow, scale):
    panel = [timing("teacher", "torch", slow), timing("tiny", "torch", 0.001, bound_seconds=0.0005)]
    figure = plots.speed_bars([panel], ["encoder"])
    (axes,) = figure.axes
    assert axes.get_xscale() == scale
    assert texts(axes) == [str(round(1000 * slow)), "1"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["teacher", "tiny"]
    assert list(axes.lines[0].get_xdata()) == [0.5, 0.5]  # the bound, in ms
    assert is_picture(png(figure))


def test_many_backends_still_look_different():
    """After the last colour a hatch begins."""
    panel = [timing("tiny", f"backend {number}", 0.001) for number in range(12)]
    axes = plots.speed_bars([panel], [""]).axes[0]
    assert len({(bar.get_facecolor(), bar.get_hatch()) for bar in axes.patches}) == 12


def test_the_front_is_drawn_in_steps():
    points = [Point("a", "student", 10, 50), Point("b", "model", 100, 40), Point("c", "teacher", 1000, 60)]
    figure = plots.quality_against_cost(Comparison(points, "parameters", "score", []))
    assert figure.axes[0].lines[0].get_xydata().tolist() == [[10, 50], [1000, 50], [1000, 60], [2000, 60]]
    assert texts(figure.axes[0]) == ["a", "b", "c"]
    assert {text.get_text() for text in figure.legends[0].texts} >= {"student", "model", "teacher"}
    assert is_picture(png(figure))


def test_labels_of_points_close_together_do_not_overlap():
    figure = plots.quality_against_cost(
        Comparison([Point(f"model {n}", "student", 10 + n % 3, 50 + n / 10) for n in range(9)], "ms", "score", [])
    )
    boxes = [extent(label) for label in figure.axes[0].texts]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_a_label_stays_inside_and_off_the_line():
    """At the right edge it goes to the left, and not where a line runs."""
    figure = plots.new_figure(6, 4)
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    (label,) = label_points(axes, [(0.99, 0.5)], ["a long name"], [(0, 0.5), (1, 0.5)])
    box, (_, middle) = extent(label), axes.transData.transform((0.99, 0.5))
    assert box.x1 <= axes.get_window_extent().x1
    assert box.y0 > middle or box.y1 < middle
