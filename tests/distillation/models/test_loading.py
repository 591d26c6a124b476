"""What a saved model and its tokenizer know."""

from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

from distillation.models.loading import save_pretrained


def test_a_saved_tokenizer_knows_how_much_the_model_reads(student_vocabulary, tmp_path):
    """A vocabulary is trained for longer texts: truncated to that, they would ask for positions that are none."""
    tokenizer = AutoTokenizer.from_pretrained(student_vocabulary)
    shape = dict(vocab_size=len(tokenizer), hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
    save_pretrained(BertForMaskedLM(BertConfig(**shape, max_position_embeddings=24)), tokenizer, tmp_path)
    saved = AutoTokenizer.from_pretrained(tmp_path)
    assert len(saved("кошка " * 50, truncation=True)["input_ids"]) == 24
