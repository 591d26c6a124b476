"""The benchmark of streaming: that it measures a whole corpus of the size it says, and what it reports."""

import json

from benchmarks import streaming


def test_table_and_json(tmp_path, capsys):
    """Each corpus has its row, on paper and in the file, and a mark for each part of it."""
    output = tmp_path / "streaming.json"
    streaming.main(["--quick", "--output", str(output)])
    shown, figures = capsys.readouterr().out, json.loads(output.read_text(encoding="utf-8"))
    assert json.loads(shown.splitlines()[-1]) == figures
    assert [row["megabytes"] for row in figures["rows"]] == streaming.QUICK["megabytes"]
    for row in figures["rows"]:
        assert len(row["resident_mib"]) in (0, 3)
        assert min(value for value in row.values() if not isinstance(value, list)) > 0
    assert shown.count("\n| 0.3 | ") == shown.count("\n| 1 | ") == 1


def test_a_corpus_is_as_large_as_it_says(tmp_path):
    """And its lines differ: one that comes again and again would be read from the caches of a processor."""
    path = tmp_path / "c.txt"
    streaming.write_corpus(path, ["Где стол?", "Где столы?", "Вот он."], 0.05)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert 50_000 <= path.stat().st_size < 90_000
    assert len(set(lines)) > 0.9 * len(lines)
