"""Between tags and entities."""

from hypothesis import given
from hypothesis import strategies as st

from finetuning.deployed.model import tag_spans
from finetuning.tasks.bio_spans import bio_tags, encode


@given(st.lists(st.sampled_from(bio_tags(("PER", "ORG"))), max_size=12))
def test_decoding_is_undone_by_encoding(tags):
    for place, tag in enumerate(tags):
        if tag[0] == "I" and (place == 0 or tags[place - 1][1:] != tag[1:]):
            tags[place] = "B" + tag[1:]  # an `I-` is valid only after its own type
    assert encode(tag_spans(tags), len(tags)) == tags


def test_by_hand():
    """Neighbours of one type stay two. An `I-` without its `B-` starts an entity, as for the official scorer."""
    assert tag_spans(["B-PER", "B-PER", "I-PER"]) == [("PER", 0, 1), ("PER", 1, 3)]
    assert tag_spans(["B-PER", "I-PER", "E-PER", "S-PER"]) == [("PER", 0, 3), ("PER", 3, 4)]
    assert tag_spans(["PER", "PER", "LOC", "O", "LOC"]) == [("PER", 0, 2), ("LOC", 2, 3), ("LOC", 4, 5)]
    assert tag_spans(["I-PER", "I-PER", "I-ORG", "O", "I-ORG"]) == [("PER", 0, 2), ("ORG", 2, 3), ("ORG", 4, 5)]
