"""The scripts from end to end, on small inputs: what they write, and what they say of bad input."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    RobertaConfig,
    RobertaForMaskedLM,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
    pipeline,
)

from distillation import run, run_evaluation, run_teacher, run_vocabulary
from distillation.config.arguments import TERMS
from distillation.models.loading import save_pretrained
from distillation.vocabularies.wordpiece import SPECIAL_TOKENS, build_tokenizer

COMMON = ["--use_cpu", "true", "--disable_tqdm", "true", "--max_length", "32", "--per_device_train_batch_size", "16"]
WRITTEN = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "README.md"}
WRITTEN |= {"all_results.json", "recipe.json", "trainer_state.json"}


@pytest.fixture
def student(teacher_folder, corpus_file, tmp_path):
    """The arguments of a short run with all four terms, and its output folder."""
    output = tmp_path / "student"
    argv = ["--teacher_name_or_path", str(teacher_folder), "--train_file", str(corpus_file), "--student_layers", "2"]
    argv += ["--max_steps", "4", "--logging_steps", "2", "--save_steps", "2"]
    return [*argv, *COMMON, "--output_dir", str(output)], output


def test_distillation_writes_what_is_promised(student, capsys):
    argv, output = student
    run.main(argv)
    assert {path.name for path in output.iterdir()} == WRITTEN | {"checkpoint-2", "checkpoint-4"}
    results = json.loads((output / "all_results.json").read_text(encoding="utf-8"))
    for term in ("kl", "mlm", "cosine", "attention"):
        assert results[f"train_{term}"] > 0 and results[f"eval_{term}"] > 0
    for model in ("teacher", "student_before", "student"):
        for name in ("loss", "loss_per_character", "masked_token_accuracy", "masked_word_accuracy"):
            assert results[f"{model}_heldout_{name}"] >= 0
    assert results["parameters"] == AutoModelForMaskedLM.from_pretrained(output).num_parameters()
    assert results["recipe"]["weight_attention"] == 100 and results["recipe"]["max_steps"] == 4
    printed = capsys.readouterr().out
    assert f"{results['student_heldout_loss']:.3f}" in printed and "student before" in printed
    tokens = (output / "vocab.txt").read_text(encoding="utf-8").splitlines()
    assert tokens == AutoTokenizer.from_pretrained(output).convert_ids_to_tokens(range(len(tokens)))
    assert len(pipeline("fill-mask", model=str(output))("Актриса [MASK] конфету.")) == 5


def test_the_card_holds_the_measured_figures(student):
    """A number typed by hand, or of another run, would stand on the Hub for years."""
    argv, output = student
    run.main(argv)
    card = (output / "README.md").read_text(encoding="utf-8")
    results = json.loads((output / "all_results.json").read_text(encoding="utf-8"))
    for model in ("teacher", "student_before", "student"):
        assert f"{results[f'{model}_heldout_masked_word_accuracy']:.4f}" in card
    assert f"{results['parameters']:,} parameters" in card and "weight_attention: 100.0" in card
    assert card.startswith("---\n") and "pipeline_tag: fill-mask" in card


def test_resume_true_continues_and_starts_afresh_where_there_is_nothing(student, caplog):
    argv, output = student
    run.main([*argv, "--resume_from_checkpoint", "true"])
    whole = (output / "model.safetensors").read_bytes()
    shutil.rmtree(output / "checkpoint-4")
    (output / "checkpoint-9").mkdir()  # torn: a run was killed while it wrote
    run.main([*argv, "--resume_from_checkpoint", "true"])
    assert (output / "model.safetensors").read_bytes() == whole
    assert "checkpoint-9 is not whole" in caplog.text and "checkpoint-2" in caplog.text


def test_tensorboard_gets_every_term_when_asked_for(student):
    argv, output = student
    run.main([*argv, "--report_to", "tensorboard"])
    tags = set()
    for events in output.rglob("events.out.tfevents.*"):  # one of training, one of the evaluation after it
        accumulator = EventAccumulator(str(events))
        accumulator.Reload()
        tags |= set(accumulator.Tags()["scalars"])
    assert {f"{stage}/{term}" for stage in ("train", "eval") for term in ("kl", "mlm", "cosine", "attention")} <= tags


def test_a_student_of_masked_lm_training_alone(student):
    """The baseline of every comparison is the same command with weights of zero."""
    argv, output = student
    run.main([*argv, "--weight_kl", "0", "--weight_cosine", "0", "--weight_attention", "0"])
    results = json.loads((output / "all_results.json").read_text(encoding="utf-8"))
    assert "train_mlm" in results and "train_kl" not in results


SHAPE = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, pad_token_id=0)
TEACHERS = {
    "BERT": ("tokenizer", BertConfig, BertForMaskedLM),
    "RoBERTa": ("byte_tokenizer", RobertaConfig, RobertaForMaskedLM),
    "XLM-R": ("unigram_tokenizer", XLMRobertaConfig, XLMRobertaForMaskedLM),
    "ModernBERT": ("byte_tokenizer", ModernBertConfig, ModernBertForMaskedLM),
}


@pytest.fixture
def across(student, student_vocabulary):
    """The arguments of a run whose student has a vocabulary of its own."""
    argv, output = student
    argv = [*argv, "--student_vocabulary", str(student_vocabulary), "--student_initialisation", "random"]
    return [*argv, "--masking_unit", "word", "--alignment", "match"], output


@pytest.mark.parametrize("alignment", ["match", "reduce"])
@pytest.mark.parametrize("kind", TEACHERS)
def test_distillation_across_vocabularies(across, kind, alignment, tmp_path, request):
    """All four terms for each kind of teacher, from its files to a student that loads."""
    fixture, config, model = TEACHERS[kind]
    tokenizer = request.getfixturevalue(fixture)
    special = dict(bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3)
    torch.manual_seed(0)
    teacher = model(config(vocab_size=len(tokenizer), max_position_embeddings=65, **SHAPE, **special))
    save_pretrained(teacher, tokenizer, tmp_path / "teacher")
    argv, output = across
    argv += ["--teacher_name_or_path", str(tmp_path / "teacher"), "--alignment", alignment, "--save_strategy", "no"]
    run.main(argv)
    assert {path.name for path in output.iterdir()} == WRITTEN
    results = json.loads((output / "all_results.json").read_text(encoding="utf-8"))
    for term in ("kl", "mlm", "cosine", "attention"):
        assert results[f"train_{term}"] > 0 and results[f"eval_{term}"] > 0
    assert 0 < results["eval_candidate_probability"] < 1
    assert len(AutoTokenizer.from_pretrained(output)) == 200
    assert AutoModelForMaskedLM.from_pretrained(output).config.vocab_size == 200
    assert len(pipeline("fill-mask", model=str(output))("Актриса [MASK] конфету.")) == 5


@pytest.mark.parametrize(
    ("extra", "key"),
    [
        (["--masking_unit", "token"], "`alignment: match` needs `masking_unit: word`"),
        (["--alignment", "same"], "`student_vocabulary` has 200 tokens"),
        (["--alignment", "index"], "alignment"),
        (["--vocabulary_map", "bag"], "vocabulary_map"),
        (["--teacher_input", "clean", "--kl_positions", "masked"], "`teacher_input: clean`"),
        (["--student_vocabulary", "nowhere"], "`student_vocabulary`"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_across_vocabularies(across, capsys, extra, key):
    argv, output = across
    with pytest.raises(SystemExit) as ended:
        run.main([*argv, *extra])
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert ended.value.code == 2 and not output.exists()
    assert len(errors) == 1 and key in errors[0]


def test_a_student_vocabulary_of_another_script(across, tmp_path, capsys):
    """Marks alone are shared; what the KL taught of them would pass for a distilled model."""
    argv, output = across
    build_tokenizer([*SPECIAL_TOKENS, *"abc.,?", "##a"], 64).save_pretrained(tmp_path / "latin")
    with pytest.raises(SystemExit):
        run.main([*argv, "--student_vocabulary", str(tmp_path / "latin")])
    assert "error: `student_vocabulary` shares" in capsys.readouterr().err and not output.exists()


def test_a_teacher_from_scratch(corpus_file, tmp_path):
    """Tokenizer included, and fit to be distilled."""
    argv = ["--train_file", str(corpus_file), "--vocab_size", "300", "--layers", "2", "--hidden_size", "16"]
    argv += ["--attention_heads", "2", "--max_steps", "2", "--masking_unit", "word", "--save_strategy", "no", *COMMON]
    run_teacher.main([*argv, "--output_dir", str(tmp_path / "teacher")])
    assert {path.name for path in (tmp_path / "teacher").iterdir()} == WRITTEN
    assert len(AutoTokenizer.from_pretrained(tmp_path / "teacher")) == 300
    student = ["--teacher_name_or_path", str(tmp_path / "teacher"), "--train_file", str(corpus_file)]
    student += [
        "--student_layers",
        "1",
        "--max_steps",
        "1",
        "--masking_unit",
        "word",
        "--save_strategy",
        "no",
        *COMMON,
    ]
    run.main([*student, "--output_dir", str(tmp_path / "student")])
    assert (tmp_path / "student" / "all_results.json").exists()


def test_evaluation_of_several_models(teacher_folder, corpus_file, tmp_path, capsys):
    argv = ["--model_name_or_path", str(teacher_folder), str(teacher_folder), "--validation_file", str(corpus_file)]
    run_evaluation.main([*argv, "--max_length", "32", "--output", str(tmp_path / "figures.json")])
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == figures
    assert figures[str(teacher_folder)]["masked_words"] > 100


def test_evaluation_beyond_a_models_positions(teacher_folder, corpus_file, capsys):
    with pytest.raises(SystemExit):
        run_evaluation.main(["--model_name_or_path", str(teacher_folder), "--validation_file", str(corpus_file)])
    assert "`max_length` 128 exceeds the 64 positions" in capsys.readouterr().err


def test_a_vocabulary(corpus_file, teacher_folder, tmp_path, capsys):
    """Exactly as many entries as asked for, and its figures beside the teacher's."""
    argv = ["--train_file", str(corpus_file), "--vocab_size", "200", "--teacher_name_or_path", str(teacher_folder)]
    run_vocabulary.main([*argv, "--output_dir", str(tmp_path / "small")])
    written = {path.name for path in (tmp_path / "small").iterdir()}
    assert written == {"tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocabulary.json"}
    assert len(AutoTokenizer.from_pretrained(tmp_path / "small")) == 200
    figures = json.loads((tmp_path / "small" / "vocabulary.json").read_text(encoding="utf-8"))
    assert figures["student"]["entries"] == 200 and figures["teacher"]["entries"] == 300
    assert figures["student"]["tokens_per_word"] > figures["teacher"]["tokens_per_word"] > 1
    assert f"{figures['student']['tokens_per_word']:.3f}" in capsys.readouterr().out


def test_a_vocabulary_too_small_for_the_alphabet(corpus_file, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run_vocabulary.main(
            ["--train_file", str(corpus_file), "--vocab_size", "30", "--output_dir", str(tmp_path / "v")]
        )
    assert "`vocab_size` 30 cannot hold" in capsys.readouterr().err and not (tmp_path / "v").exists()


BAD = {
    "unknown key": (["--weight_cosinus", "1"], "weight_cosinus"),
    "missing corpus": (["--train_file", "nowhere.txt"], "nowhere.txt"),
    "no corpus": (["--dataset_name", "a/b"], "train_file"),
    "missing teacher": (["--teacher_name_or_path", "nowhere"], "teacher_name_or_path"),
    "layers that do not divide": (["--student_layers", "3"], "student_layers"),
    "heads that do not match": (["--student_attention_heads", "2"], "weight_attention"),
    "every weight zero": ([f"--weight_{term}=0" for term in TERMS], "weight_kl"),
    "a teacher that knows the answer": (["--teacher_input", "clean"], "teacher_input"),
    "a word for a number": (["--student_layers", "two"], "student_layers"),
    "a choice that is none": (["--kl_positions", "some"], "kl_positions"),
    "too long": (["--max_length", "65"], "max_length"),
    "no room": (["--max_length", "3"], "max_length"),
    "a missing recipe": (["--config", "nowhere.yaml"], "nowhere.yaml"),
    "a checkpoint that is none": (["--resume_from_checkpoint", "nowhere"], "resume_from_checkpoint"),
    "a seed that is none": (["--seed", "-1"], "seed"),
    "an option that would be ignored": (["--label_smoothing_factor", "0.1"], "label_smoothing_factor"),
    "nothing to set aside": (["--validation_lines", "0"], "validation_lines"),
    "a push to nowhere": (["--push_to_hub", "true"], "hub_model_id"),
    "a schedule that is none": (["--lr_scheduler_type", "sometimes"], "lr_scheduler_type"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_with_one_sentence_and_nothing_written(case, student, capsys):
    extra, key = BAD[case]
    argv, output = student
    with pytest.raises(SystemExit) as ended:
        run.main([*argv, *extra])
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert ended.value.code == 2
    assert len(errors) == 1 and key in errors[0]
    assert not output.exists()


def test_an_empty_corpus(student, tmp_path, capsys):
    argv, output = student
    (tmp_path / "blank.txt").write_text("\n \n\t\n")
    with pytest.raises(SystemExit):
        run.main([*argv, "--train_file", str(tmp_path / "blank.txt")])
    assert "no usable line" in capsys.readouterr().err and not output.exists()


@pytest.mark.parametrize("script", [run, run_teacher])
def test_held_out_text_too_short_to_hide_a_word(script, student, tmp_path, capsys):
    """Found out after training, it would cost the training."""
    (tmp_path / "short.txt").write_text("он\n", encoding="utf-8")
    argv, output = student
    if script is run_teacher:
        argv = [*COMMON, *argv[2:4], "--vocab_size", "300", "--output_dir", str(output)]
    with pytest.raises(SystemExit):
        script.main([*argv, "--validation_file", str(tmp_path / "short.txt")])
    assert "too short to hide a word" in capsys.readouterr().err and not output.exists()


def test_a_corpus_that_the_tokenizer_cannot_read(student, tmp_path, capsys):
    """A Latin corpus and a Cyrillic vocabulary: the students would learn to predict the unknown token."""
    argv, output = student
    (tmp_path / "latin.txt").write_text("the quick brown fox jumps\n" * 50)
    with pytest.raises(SystemExit):
        run.main([*argv, "--train_file", str(tmp_path / "latin.txt")])
    assert "max_unknown" in capsys.readouterr().err and not output.exists()


@pytest.mark.parametrize("script", ["run.py", "run_teacher.py", "run_evaluation.py", "run_vocabulary.py"])
def test_a_script_in_a_process_of_its_own(script, tmp_path):
    """From another folder, as a file: imports, --help, and the exit code."""
    path = Path(run.__file__).with_name(script)
    helped = subprocess.run([sys.executable, path, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert helped.returncode == 0 and "--config" in helped.stdout and "train_file" in helped.stdout
    failed = subprocess.run([sys.executable, path, "--nonsense", "1"], cwd=tmp_path, capture_output=True, text=True)
    assert failed.returncode == 2 and "Traceback" not in failed.stderr
    assert failed.stderr.strip().splitlines()[-1].startswith("error: unknown key `nonsense`")
    assert not list(tmp_path.iterdir())
