"""The scripts from end to end, on small inputs: what they write, and what they say of bad input."""

import json

import pytest
import torch
import transformers
from huggingface_hub import ModelCard
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import AutoModelForMaskedLM, AutoTokenizer, pipeline

from distillation import run, run_evaluation, run_publish, run_teacher, run_trimming, run_vocabulary
from distillation.models.loading import save_pretrained
from distillation.runs.files import read_json
from tests.texts import demo_lines

COMMON = ["--use_cpu", "true", "--disable_tqdm", "true", "--max_length", "32", "--per_device_train_batch_size", "16"]
WRITTEN = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "README.md"}
TERMS = ("kl", "mlm", "cosine", "attention")
WRITTEN |= {"all_results.json", "inputs.json", "recipe.json", "trainer_state.json"}


@pytest.fixture(scope="module")
def keys(teacher_folder, corpus_file):
    """The arguments of a short run with all four terms, without an output folder."""
    argv = ["--teacher_name_or_path", str(teacher_folder), "--train_file", str(corpus_file), "--student_layers", "2"]
    return [*argv, "--max_steps", "4", "--logging_steps", "2", "--save_steps", "2", *COMMON]


@pytest.fixture(scope="module")
def finished(keys, tmp_path_factory):
    """The output folder of that run."""
    folder = tmp_path_factory.mktemp("run") / "student"
    run.main([*keys, "--report_to", "tensorboard", "--resume_from_checkpoint", "true", "--output_dir", str(folder)])
    return folder


def has_all_terms(results):
    return all(results[f"{stage}_{term}"] > 0 for stage in ("train", "eval") for term in TERMS)


def test_distillation_writes_what_is_promised(finished):
    """With `--resume_from_checkpoint true` and nothing to resume from it starts afresh. The model loads as any other;
    the card holds the measured figures; TensorBoard gets every term."""
    assert {path.name for path in finished.iterdir()} == WRITTEN | {"checkpoint-4", "runs"}
    results, card = read_json(finished / "all_results.json"), (finished / "README.md").read_text(encoding="utf-8")
    assert has_all_terms(results) and results["recipe"]["max_steps"] == 4
    for model in ("teacher", "student_before", "student"):
        assert f"{results[f'{model}_heldout_loss']:.3f}" in card
    assert card.startswith("---\n") and f"{results['parameters']:,} parameters" in card
    assert results["parameters"] == AutoModelForMaskedLM.from_pretrained(finished).num_parameters()
    assert len(pipeline("fill-mask", model=str(finished))("Актриса [MASK] конфету.")) == 5
    # One file of events is of training, one of the evaluation after it.
    events = [EventAccumulator(str(path)).Reload() for path in finished.rglob("events.out.tfevents.*")]
    tags = {tag for one in events for tag in one.Tags()["scalars"]}
    assert {f"{stage}/{term}" for stage in ("train", "eval") for term in TERMS} <= tags


@pytest.mark.parametrize(
    ("kind", "fixture", "alignment"),
    [("Roberta", "byte_tokenizer", "match"), ("XLMRoberta", "unigram_tokenizer", "reduce")]
    + [("ModernBert", "byte_tokenizer", "reduce")],
)
def test_distillation_across_vocabularies(keys, student_vocabulary, kind, fixture, alignment, tmp_path, request):
    """All four terms for each kind of teacher, from its files to a student that loads."""
    tokenizer = request.getfixturevalue(fixture)
    shape = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, pad_token_id=0)
    shape |= dict(vocab_size=len(tokenizer), max_position_embeddings=65, bos_token_id=2, eos_token_id=3)
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(cls_token_id=2, sep_token_id=3, **shape)
    teacher = getattr(transformers, f"{kind}ForMaskedLM")(config)
    save_pretrained(teacher, tokenizer, tmp_path / "teacher")
    argv = [*keys, "--student_vocabulary", str(student_vocabulary), "--student_initialisation", "random"]
    argv += ["--teacher_name_or_path", str(tmp_path / "teacher"), "--alignment", alignment, "--masking_unit", "word"]
    run.main([*argv, "--save_strategy", "no", "--max_steps", "2", "--output_dir", str(tmp_path / "student")])
    assert {path.name for path in (tmp_path / "student").iterdir()} == WRITTEN
    results = read_json(tmp_path / "student" / "all_results.json")
    assert has_all_terms(results) and 0 < results["eval_candidate_probability"] < 1
    assert AutoModelForMaskedLM.from_pretrained(tmp_path / "student").config.vocab_size == 200


def test_a_teacher_from_scratch(corpus_file, tmp_path):
    """Tokenizer included, and fit to be distilled."""
    common = ["--train_file", str(corpus_file), "--masking_unit", "word", "--save_strategy", "no", *COMMON]
    argv = ["--vocab_size", "300", "--layers", "2", "--hidden_size", "16", "--attention_heads", "2", *common]
    run_teacher.main([*argv, "--max_steps", "2", "--output_dir", str(tmp_path / "teacher")])
    assert {path.name for path in (tmp_path / "teacher").iterdir()} == WRITTEN
    assert len(AutoTokenizer.from_pretrained(tmp_path / "teacher")) == 300
    student = ["--teacher_name_or_path", str(tmp_path / "teacher"), "--student_layers", "1", "--max_steps", "1"]
    run.main([*student, *common, "--output_dir", str(tmp_path / "student")])
    assert (tmp_path / "student" / "all_results.json").exists()


def test_a_teacher_goes_on(teacher_folder, corpus_file, tmp_path):
    """With a learning rate of its own; figures of before and after, and a card that names what it was."""
    argv = ["--model_name_or_path", str(teacher_folder), "--train_file", str(corpus_file), "--save_strategy", "no"]
    run_teacher.main([*argv, *COMMON, "--max_steps", "2", "--output_dir", str(tmp_path / "adapted")])
    assert {path.name for path in (tmp_path / "adapted").iterdir()} == WRITTEN
    results = read_json(tmp_path / "adapted" / "all_results.json")
    assert results["recipe"]["learning_rate"] == 1e-4 and "layers" in results["recipe"]
    assert results["teacher_before_heldout_loss"] != results["teacher_heldout_loss"]
    assert f"`{teacher_folder.name}`" in (tmp_path / "adapted" / "README.md").read_text(encoding="utf-8")
    tokens = [AutoTokenizer.from_pretrained(folder).get_vocab() for folder in (teacher_folder, tmp_path / "adapted")]
    assert tokens[0] == tokens[1]


def test_evaluation_of_several_models(teacher_folder, corpus_file, tmp_path, capsys):
    argv = ["--model_name_or_path", str(teacher_folder), str(teacher_folder), "--validation_file", str(corpus_file)]
    run_evaluation.main([*argv, "--max_length", "32", "--output", str(tmp_path / "figures.json")])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert read_json(tmp_path / "figures.json") == figures and figures[str(teacher_folder)]["masked_words"] > 100


def test_a_vocabulary(corpus_file, teacher_folder, tmp_path, capsys):
    """Exactly as many entries as asked for, and its figures beside the teacher's."""
    argv = ["--train_file", str(corpus_file), "--vocab_size", "200", "--teacher_name_or_path", str(teacher_folder)]
    run_vocabulary.main([*argv, "--output_dir", str(tmp_path / "small")])
    written = {path.name for path in (tmp_path / "small").iterdir()}
    assert written == {"tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocabulary.json"}
    small = AutoTokenizer.from_pretrained(tmp_path / "small")
    assert len(small) == 200 and small.model_max_length > 8192, "how much is read at once, the model says"
    student, teacher = (read_json(tmp_path / "small" / "vocabulary.json")[name] for name in ("student", "teacher"))
    assert (student["entries"], teacher["entries"]) == (200, 300)
    assert student["tokens_per_word"] > teacher["tokens_per_word"] > 1
    assert f"{student['tokens_per_word']:.3f}" in capsys.readouterr().out


def test_what_a_share_of_the_corpus_needs_is_what_is_saved(teacher_folder, tmp_path):
    """Also where another size that is measured has as many tokens. Kept tokens come from lines of plain text."""
    lines = "".join(json.dumps({"comment": line}) + "\n" for line in demo_lines(300))
    (tmp_path / "corpus.jsonl").write_text(lines, encoding="utf-8")
    (tmp_path / "keep.txt").write_text("щука\n", encoding="utf-8")
    argv = ["--model_name_or_path", str(teacher_folder), "--train_file", str(tmp_path / "corpus.jsonl")]
    argv += ["--text_column", "comment", "--keep_file", str(tmp_path / "keep.txt"), "--coverage", "0.9"]
    _, tokens = run_trimming.main([*argv, "--output_dir", str(tmp_path / "alone")])
    size = tokens.split()[0]
    run_trimming.main([*argv, "--vocab_sizes", size, "--output_dir", str(tmp_path / "beside")])
    alone, beside = ((tmp_path / name / "vocab.txt").read_bytes() for name in ("alone", "beside"))
    assert alone == beside


def test_a_trimmed_classifier_is_published(corpus_file, tokenizer, tmp_path):
    """The card shows how to ask for labels, and takes the licence over from the model's own card."""
    torch.manual_seed(0)
    sizes = dict(hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24)
    config = transformers.BertConfig(vocab_size=300, max_position_embeddings=64, texts_at_once=2, **sizes)
    save_pretrained(transformers.BertForSequenceClassification(config), tokenizer, tmp_path / "labels")
    (tmp_path / "labels" / "README.md").write_text("---\nlicense: cc-by-4.0\nlanguage: uk\n---\n", encoding="utf-8")
    argv = ["--model_name_or_path", str(tmp_path / "labels"), "--train_file", str(corpus_file)]
    run_trimming.main([*argv, "--vocab_size", "200", "--output_dir", str(tmp_path / "small")])
    run_publish.main(["--checkpoint", str(tmp_path / "small"), "--base_model", "me/labels"])
    card = ModelCard.load(tmp_path / "small" / "README.md")
    assert (card.data.license, card.data.language, card.data.base_model) == ("cc-by-4.0", "uk", "me/labels")
    assert card.data.pipeline_tag == "text-classification" and "text_pair" in card.text
    assert "`me/labels` with 200 of its 300 tokens" in card.text


def test_a_trimmed_teacher(corpus_file, teacher_folder, tmp_path, capsys):
    """Loads like any checkpoint; its figures stand beside those of the teacher, which reads 64 tokens at once. It goes
    on as a student, from those figures."""
    (tmp_path / "held_out.txt").write_text(
        "\n".join([" ".join(demo_lines(400)[k::20]) for k in range(20)]), encoding="utf-8"
    )
    argv = ["--model_name_or_path", str(teacher_folder), "--train_file", str(corpus_file), "--max_length", "128"]
    argv += ["--validation_file", str(tmp_path / "held_out.txt")]
    argv += ["--vocab_size", "200", "--vocab_sizes", "250", "--output_dir", str(tmp_path / "small")]
    figures = run_trimming.main(argv)
    results = read_json(tmp_path / "small" / "all_results.json")
    assert results["other_sizes"] == {"250 tokens": figures["250 tokens"]}
    assert (results["before"], results["after"]) == (figures["before"], figures["200 tokens"])
    assert (tmp_path / "small" / "trimming.png").exists()
    assert [one["tokens"] for one in figures.values()] == [300, 250, 200]
    assert figures["before"]["tokens_per_word"] < figures["200 tokens"]["tokens_per_word"]
    assert figures["200 tokens"]["words_cut_otherwise"] > figures["before"]["words_cut_otherwise"] == 0
    assert f"{figures['250 tokens']['parameters']:,}" in capsys.readouterr().out
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "small")
    assert len(AutoTokenizer.from_pretrained(tmp_path / "small")) == model.config.vocab_size == 200
    argv = [*argv[2:4], *argv[6:8], *COMMON, "--teacher_name_or_path", str(teacher_folder), "--masking_unit", "word"]
    argv += ["--student_vocabulary", str(tmp_path / "small"), "--student_initialisation", "same_shape"]
    argv += ["--max_length", "64"]
    run.main([*argv, "--alignment", "match", "--max_steps", "1", "--output_dir", str(tmp_path / "healed")])
    results = read_json(tmp_path / "healed" / "all_results.json")
    assert results["student_before_heldout_loss"] == pytest.approx(figures["200 tokens"]["loss"], rel=1e-5)
    assert type(AutoModelForMaskedLM.from_pretrained(tmp_path / "healed")) is type(model)
