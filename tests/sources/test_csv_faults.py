"""What pyarrow's CSV reader does not tell, or gets wrong, comes out right."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rowkeeper.errors import ConfigurationError, SourceError
from rowkeeper.protocols import Columns
from rowkeeper.sources import files
from rowkeeper.sources.file import delimited, pacing
from tests.extent import examples
from tests.sources.reading import ANY, batches, places_of, rows

FRAGMENTS = ["a", "b", ",", '"', "\n", "\r\n", "\r\n", "x", '""', " ", "é", '","', '"\n', ',"']


def written(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@settings(max_examples=examples(40, 300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join),
    st.integers(1, 3),
    st.sampled_from([16, 32, 999]),
)
def test_any_text_gives_the_rows_of_the_csv_module(tmp_path: Path, body: str, width: int, block_bytes: int):
    """Cells, row numbers and rows set apart equal Python's, or a quote is open: never a row or a character less."""
    names = list("pqr")[:width]
    text = ",".join(names) + "\n" + body
    sentinel = "\nend,end,end,end\n"
    whole = [row for row in csv.reader(io.StringIO(text + sentinel, newline="")) if row]
    is_open = whole[-1] != ["end"] * 4
    path = written(tmp_path / "a.csv", text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "BLOCK_BYTES", block_bytes)
        if is_open:
            with pytest.raises(SourceError, match="ends inside quotes"):
                batches(path, null_values=())
            return
        found = batches(path, null_values=())
    expected = list(enumerate(whole[1:-1]))
    good = [
        (number, list(row.values()))
        for batch in found
        for number, row in zip(batch.row_numbers.to_pylist(), batch.table.to_pylist(), strict=True)
    ]
    bad = [(each.row, each.type) for b in found for each in b.malformed]
    assert good == [(n, row) for n, row in expected if len(row) == width]
    too = {True: "csv_too_many_fields", False: "csv_too_few_fields"}
    assert bad == [(n, too[len(row) > width]) for n, row in expected if len(row) != width]


def test_a_line_end_inside_quotes_survives_a_block_border(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """pyarrow 26 drops the newline of a quoted CRLF where a block ends between the two: here each border is tried."""
    value = "one\r\ntwo\r\n\r\nthree"
    for block_bytes in range(24, 64):
        monkeypatch.setattr(delimited, "BLOCK_BYTES", block_bytes)
        path = written(tmp_path / "a.csv", f'p,q\n1,"{value}"\n2,"{value}"\n')
        assert rows(path) == [{"p": "1", "q": value}, {"p": "2", "q": value}]


@pytest.mark.parametrize(
    "content",
    ['p,q\n1,"open', 'p,q\n1,"open\n2,3\n', 'p,q\n"1,2\n3,4\n', 'p,q\n1,2,"x\n3,4\n', 'p,q\n1,5" disk\n2,"x', 'p\n"x'],
)
def test_an_open_quote_is_found_wherever_it_stands(tmp_path: Path, content: str):
    """At the last byte, in a row of another width, in the first column, after an even number of quotes."""
    with pytest.raises(SourceError, match="ends inside quotes"):
        batches(written(tmp_path / "a.csv", content))


def test_an_open_quote_in_a_column_that_is_dropped_is_found(tmp_path: Path):
    """Else the rows that it swallows would be lost without a trace."""
    path = written(tmp_path / "a.csv", 'p,q\n1,2\n3,"x\n5,6\n7,8\n')
    with pytest.raises(SourceError, match="ends inside quotes"):
        batches(path, columns=Columns(frozenset({"p"}), (), "ignore"))


def test_an_odd_number_of_quotes_is_no_fault_by_itself(tmp_path: Path):
    """A lone quote inside a cell is a character, also where the last row has a newline in quotes."""
    path = written(tmp_path / "a.csv", 'p,q\n1,5" pipe\n3,"x\ny"\n')
    assert rows(path) == [{"p": "1", "q": '5" pipe'}, {"p": "3", "q": "x\ny"}]


@pytest.mark.parametrize("content", ["p,q", "p,q\n", "p,q\r\n", "\n\np,q\n\n\n", "\ufeffp,q"])
def test_a_header_alone_is_a_file_of_no_rows(tmp_path: Path, content: str):
    """With a line end or without: nothing is yielded, nothing raised."""
    assert batches(written(tmp_path / "a.csv", content)) == []


@pytest.mark.parametrize(("content", "words"), [("", "is empty"), ("\n\n", "is empty"), ("p,q,p\n", "columns 1 and 3")])
def test_a_file_without_a_usable_header_is_an_error(tmp_path: Path, content: str, words: str):
    """Empty, blank, or with a name twice."""
    with pytest.raises(SourceError, match=words):
        batches(written(tmp_path / "a.csv", content))


@pytest.mark.parametrize("place", ["1,{}\n", "{}\n", "1,{},3\n"])
@pytest.mark.parametrize("keep", [{"p", "q"}, {"p"}])
def test_bytes_of_another_encoding_are_found_at_their_place(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], place: str, keep: set[str]
):
    """In a kept column, a dropped one, or a row of another width: the error has the byte, and nothing is printed."""
    begin = b"p,q\n" + b"1,2\n" * 700_000
    path = written(tmp_path / "a.csv", begin + place.format("\u00e9").encode("latin-1"))
    with pytest.raises(SourceError, match=f"is not utf-8: byte {path.read_bytes().index(0xE9):,} ") as caught:
        batches(path, columns=Columns(frozenset(keep), (), "ignore"), batch_rows=200_000)
    assert "encoding=" in caught.value.hint
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-le", "utf-8-sig", "cp1252"])
def test_other_encodings_give_the_same_text(tmp_path: Path, encoding: str):
    """Byte order marks are no part of the first column's name; rows set apart have their text as UTF-8."""
    mark = b"\xff\xfe" if encoding == "utf-16-le" else b""
    path = written(tmp_path / "a.csv", mark + "p,q\r\n1,é\r\né\r\n".encode(encoding))
    (found,) = batches(path, encoding=encoding)
    assert found.table.to_pylist() == [{"p": "1", "q": "é"}]
    assert found.malformed[0].text == "é".encode()


def test_a_row_of_another_width_keeps_its_text_and_counts(tmp_path: Path):
    """Blank lines are no rows and take no number."""
    (found,) = batches(written(tmp_path / "a.csv", "p,q\n\n1,2\n\n3,4,5\n\n6,7\n8\n"))
    assert [(bad.row, bad.place, bad.message, bad.text) for bad in found.malformed] == [
        (1, "row 2", "3 fields where the header has 2", b"3,4,5"),
        (3, "row 4", "1 fields where the header has 2", b"8"),
    ]
    assert (found.row_numbers.to_pylist(), places_of(found)) == ([0, 2], ["row 1", "row 3"])


def test_a_row_beyond_the_limit_is_an_error_and_one_below_it_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The rows before and after a long one are there once each."""
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1 << 10)
    monkeypatch.setattr(delimited, "ROW_BYTES_MAX", 1 << 16)
    text = "p,q\n1,2\n" + "3," + "x" * 60_000 + "\n" + "5,6\n" * 900
    found = rows(written(tmp_path / "a.csv", text))
    assert [row["p"] for row in found] == ["1", "3"] + ["5"] * 900
    with pytest.raises(SourceError, match=r"has a row of more than .* after row 1"):
        batches(written(tmp_path / "b.csv", text.replace("x" * 60_000, "x" * 70_000)))


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", "é"])
def test_an_impossible_delimiter_is_refused_when_declared(delimiter: str):
    """One ASCII character that is neither quote nor line end."""
    with pytest.raises(ConfigurationError, match="delimiter"):
        files("a.csv", delimiter=delimiter)


def test_columns_follow_the_policy(tmp_path: Path):
    """reject names the unknown column and the way out, ignore drops it, evolve leaves it; a missing one is named."""
    path = written(tmp_path / "a.csv", "id,nmae\n1,2\n")
    with pytest.raises(SourceError, match="a column nmae") as caught:
        batches(path, columns=Columns(frozenset({"id"}), (), "reject"))
    assert 'drift="ignore"' in caught.value.hint
    assert rows(path, columns=Columns(frozenset({"id"}), (), "ignore")) == [{"id": "1"}]
    assert rows(path, columns=Columns(frozenset({"id"}), (), "evolve")) == [{"id": "1", "nmae": "2"}]
    with pytest.raises(SourceError, match="no column name") as caught:
        batches(path, columns=Columns(frozenset({"name"}), (frozenset({"name"}),), "ignore"))
    assert "did you mean nmae" in caught.value.hint
    with pytest.raises(SourceError, match="none of the columns"):
        batches(path, columns=Columns(frozenset({"other"}), (), "ignore"))


@pytest.mark.parametrize("leave_early", [False, True])
def test_reading_runs_a_few_blocks_ahead_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leave_early: bool
):
    """However large the file and slow the consumer: memory is bounded. A reading that is left in the middle ends."""
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1 << 10)
    path = written(tmp_path / "a.csv", "p,q\n" + "1,2\n1\n" * 50_000)
    handed = 0
    hand_out = pacing.Pace.hand_out

    def counting(self: pacing.Pace) -> bool:
        nonlocal handed
        given = hand_out(self)
        handed += 1
        return given

    monkeypatch.setattr(pacing.Pace, "hand_out", counting)
    source = files(str(path))
    reading = source.read(source.plan({}, whole=False).load[0], start_row=0, batch_rows=50, columns=ANY)
    most = 0
    for batch in reading:
        most = max(most, handed * (1 << 10) - batch.next_row * 3)
        if leave_early and batch.next_row > 20_000:
            break
    else:
        assert batch.next_row == 100_000
    reading.close()  # type: ignore[attr-defined]
    assert most < 16 << 10


def test_a_file_whose_rows_all_have_another_width_is_an_error_at_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A few such rows are set apart; beyond a limit the file is at fault, and memory is bounded."""
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1 << 10)
    monkeypatch.setattr(delimited, "HOPELESS_ROWS", 2_000)
    monkeypatch.setattr(pacing, "STARVED_SECONDS", 0.001)
    few = batches(written(tmp_path / "a.csv", "p,q\n" + "1,2,\n" * 1_999))
    assert sum(len(batch.malformed) for batch in few) == 1_999
    with pytest.raises(SourceError, match=r"none of the first 2,000 rows .* \(2\); row 2000 has 3"):
        batches(written(tmp_path / "b.csv", "p,q\n" + "1,2,\n" * 2_000))
    late = batches(written(tmp_path / "c.csv", "p,q\n1,2\n" + "1,2,\n" * 9_000))
    assert sum(len(batch.malformed) for batch in late) == 9_000
