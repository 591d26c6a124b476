"""Between tags and entities: a span that shifts by a word falsifies every score."""

from hypothesis import given
from hypothesis import strategies as st

from finetuning.tasks.bio_spans import bio_tags, decode, encode, entities

TYPES = ("PER", "ORG")


@st.composite
def taggings(draw):
    """Valid BIO tags: an `I-` only after its own type."""
    tags = []
    for tag in draw(st.lists(st.sampled_from(bio_tags(TYPES)), max_size=12)):
        follows = tags and tags[-1] != "O" and tags[-1][2:] == tag[2:]
        tags.append("B" + tag[1:] if tag.startswith("I-") and not follows else tag)
    return tags


def row_of(words):
    """A row with two spaces between its words."""
    text = "  ".join(words)
    starts = [sum(map(len, words[:i])) + 2 * i for i in range(len(words))]
    return {"text": text, "words": [[start, start + len(word)] for start, word in zip(starts, words, strict=True)]}


@given(taggings())
def test_decoding_is_undone_by_encoding(tags):
    assert encode(decode(tags), len(tags)) == tags


@given(taggings())
def test_entities_lie_where_their_words_lie(tags):
    row = row_of([f"w{i}" for i in range(len(tags))])
    found = entities(row, tags)
    assert [(kind, row["text"][start:end]) for kind, start, end, _ in found] == [(k, s) for k, _, _, s in found]
    starts = {start: i for i, (start, _) in enumerate(row["words"])}
    ends = {end: i + 1 for i, (_, end) in enumerate(row["words"])}
    assert encode([(kind, starts[start], ends[end]) for kind, start, end, _ in found], len(tags)) == tags


def test_by_hand():
    """Neighbours of one type stay two. An inside tag without a beginning begins an entity: models predict such, and
    dropped entities would cost recall that the official scorer gives."""
    found = entities(row_of(["Анна", "Вега", "в", "Туле"]), ["B-PER", "I-PER", "O", "B-LOC"])
    assert found == [("PER", 0, 10, "Анна  Вега"), ("LOC", 15, 19, "Туле")]
    assert decode(["B-PER", "B-PER", "I-PER"]) == [("PER", 0, 1), ("PER", 1, 3)]
    assert decode(["I-PER", "I-PER", "I-ORG", "O", "I-ORG"]) == [("PER", 0, 2), ("ORG", 2, 3), ("ORG", 4, 5)]
