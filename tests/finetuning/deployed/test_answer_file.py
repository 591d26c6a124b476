"""The file of answers has the same bytes, whatever interrupts or divides the run."""

import errno
from pathlib import Path

import pytest

from distillation.config.errors import UserError
from finetuning.deployed import bulk
from finetuning.run_predict import main
from tests.finetuning.deployed.known_model import TEXTS, lines


def test_an_interrupted_run_goes_on_to_the_same_bytes(predict, monkeypatch):
    """Whatever it had written of a block that is not complete."""
    content = lines({"text": text} for text in TEXTS)
    for output in ("whole.jsonl", "whole.csv"):
        predict(content, output=output)
        written, kept = bulk.AnswerFile.write_block, []

        def interrupted(out, rows, written=written, kept=kept):
            kept.append(rows)
            if len(kept) == 3:
                out._write(b"x" * 10_000)
                raise RuntimeError("killed")
            written(out, rows)

        monkeypatch.setattr(bulk.AnswerFile, "write_block", interrupted)
        cut = output.replace("whole", "cut")
        with pytest.raises(RuntimeError, match="killed"):
            predict(content, output=cut)
        assert not Path(cut).exists()
        with pytest.raises(UserError, match="made with other `all_scores`"):
            predict(content, output=cut, resume=True, all_scores=True)
        kept[:] = [None] * 3  # it fails no more, and counts
        predict(content, output=cut, resume=True)
        assert len(kept) == 6 and Path(cut).read_bytes() == Path(output).read_bytes()
        predict(content, output=cut, resume=True)  # it is finished
        assert len(kept) == 6 and not list(Path().glob("*.part*"))
        monkeypatch.setattr(bulk.AnswerFile, "write_block", written)


def test_a_finished_file_is_not_taken_for_one_of_other_settings(predict):
    """Jobs that are all started again with `resume` skip what is finished, and nothing else."""
    content = lines({"text": text} for text in TEXTS)
    predict(content)
    made = Path("out.jsonl").read_bytes()
    for keys in ({"all_scores": True}, {"model_name_or_path": "me/other"}):
        with pytest.raises(UserError, match=f"out.jsonl was made with other `{next(iter(keys))}`"):
            predict(content, resume=True, **keys)
    Path("out.jsonl.run.json").unlink()
    with pytest.raises(UserError, match="out.jsonl.run.json is gone"):
        predict(content, resume=True)
    assert Path("out.jsonl").read_bytes() == made


@pytest.mark.parametrize("output", ["whole.jsonl", "whole.csv"])
@pytest.mark.parametrize("parts", [3, 8])
def test_shards_are_the_whole(parts, output, predict, caplog):
    """Also where there are more of them than blocks, of which an empty one tells."""
    caplog.set_level("INFO")
    content = lines({"text": text} for text in TEXTS)
    predict(content, output=output)
    of_parts = [f"{number}{output}" for number in range(1, parts + 1)]
    for number, part in enumerate(of_parts, start=1):
        predict(content, output=part, shard=f"{number}/{parts}")
    assert b"".join(Path(part).read_bytes() for part in of_parts) == Path(output).read_bytes()
    empty = parts - -(-len(TEXTS) // bulk.BLOCK)
    assert caplog.text.count("has no rows: a part has whole blocks of 4 rows") == max(0, empty)


def test_a_full_disk_is_told_and_the_run_goes_on_later(predict, monkeypatch, capsys):
    content, words = lines({"text": text} for text in TEXTS), ["--model_name_or_path=me/model", "--input=in.jsonl"]
    predict(content, output="whole.jsonl")

    def full(out, lines):
        raise OSError(errno.ENOSPC, "No space left on device", str(out.part))

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(bulk.AnswerFile, "_write", full)
        main([*words, "--output=out.jsonl"])
    assert ended.value.code == 2 and "'out.jsonl.part' cannot be written" in capsys.readouterr().err
    predict(content, resume=True)
    assert Path("out.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()
