"""CSV files come out cell by cell, whichever program wrote them."""

import io

import pytest

from distillation.config.errors import UserError
from distillation.text.tables import read_csv


def read(content, delimiters=",;\t"):
    return read_csv("a.csv", io.StringIO(content, newline=""), delimiters)


@pytest.mark.parametrize(
    ("content", "delimiters", "delimiter", "columns", "cells"),
    [
        ("id,text\n1,а; б; в\n", ",;\t", ",", ["id", "text"], ["1", "а; б; в"]),
        ("id;text\n1;а, б, в\n", ",;\t", ";", ["id", "text"], ["1", "а, б, в"]),
        ('"id, of it, here";text\n1;а\n', ",;\t", ";", ["id, of it, here", "text"], ["1", "а"]),
        ("id\ttext\n1\tа, б\n", "\t,;", "\t", ["id", "text"], ["1", "а, б"]),
        ("text\nа, б\n", "\t,;", "\t", ["text"], ["а, б"]),  # of a lone column
        ("sep=|\nid|text\n1|а;б\n", ",;\t", "|", ["id", "text"], ["1", "а;б"]),
        ('"id";"text";;\r\n\r\n1;"а\r\nб";;\r\n', ",;\t", ";", ["id", "text", ""], ["1", "а\r\nб", ""]),
    ],
)
def test_the_header_tells_the_delimiter(content, delimiters, delimiter, columns, cells):
    table = read(content, delimiters)
    assert (table.delimiter, table.columns) == (delimiter, columns)
    assert next(table.rows) == (cells, "") and not list(table.rows)


def test_bad_rows_are_told_and_do_not_touch_the_others():
    table = read('id,text\n1,а\n2\n3,б,в\n"4"x,г\n5,д,,\n6,"е\n7,ж\n')
    assert [next(table.rows) for _ in range(5)] == [
        (["1", "а"], ""),
        (["2"], "1 cells of 2"),
        (["3", "б", "в"], "3 cells of 2"),
        ([], "no CSV (',' expected after '\"')"),
        (["5", "д"], ""),
    ]
    with pytest.raises(UserError, match="a.csv:7: a quote opens here and never closes"):
        next(table.rows)


def test_rows_are_read_when_they_are_asked_for():
    """A corpus may be larger than memory."""
    lines = io.StringIO("text\n" + "а\n" * 10)
    next(read_csv("a.csv", lines, ",").rows)
    assert lines.readline() == "а\n"
