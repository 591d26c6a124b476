"""How a model is asked, in a few lines, for each kind of task; for the model cards."""

FILL_MASK = """from transformers import pipeline
fill_mask = pipeline("fill-mask", model="{name}")
for guess in fill_mask(f"Привет, как {{fill_mask.tokenizer.mask_token}}?"):
    print(guess["token_str"], guess["score"])"""
PIPELINE = """from transformers import pipeline
ask = pipeline("{tag}", model="{name}")
print(ask("Кошка живёт в доме у реки."))"""
PAIRS = PIPELINE.replace(
    'ask("Кошка живёт в доме у реки.")', 'ask({{"text": "Кошка спит.", "text_pair": "Кот уснул."}})'
)
# Words are tagged at their first token.
TAGS = PIPELINE.replace('model="{name}")', 'model="{name}", aggregation_strategy="first")')
CHOICES = """from transformers import AutoModelForMultipleChoice, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained("{name}")
model = AutoModelForMultipleChoice.from_pretrained("{name}")
text, choices = "Пошёл дождь. Что случилось в результате?", ["Дорога намокла.", "Дорога высохла."]
inputs = tokenizer([text] * len(choices), choices, padding=True, return_tensors="pt")
print(choices[model(**{{name: values[None] for name, values in inputs.items()}}).logits.argmax()])"""
# transformers 5 has no pipeline for questions.
QUESTIONS = """import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained("{name}")
model = AutoModelForQuestionAnswering.from_pretrained("{name}")
question, context = "Где живёт кошка?", "Кошка живёт в доме у реки."
inputs = tokenizer(question, context, truncation="only_second", return_offsets_mapping=True, return_tensors="pt")
places = inputs.pop("offset_mapping")[0]
ends = model(**inputs)
scores = ends.start_logits[0, :, None] + ends.end_logits[0]  # of every first token with every last one
outside = torch.tensor([part != 1 for part in inputs.sequence_ids()])
impossible = outside | outside[:, None] | torch.ones_like(scores).tril(-1).bool()
first, last = divmod(scores.masked_fill(impossible, -1e4).argmax().item(), len(scores))
print(context[places[first, 0] : places[last, 1]])"""
ONNX = """import onnxruntime
from huggingface_hub import hf_hub_download
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained("{name}")
inputs = tokenizer({text}, return_tensors="np")
outputs = onnxruntime.InferenceSession(hf_hub_download("{name}", "onnx/{file}")).run(None, dict(inputs))
{show}"""
SNIPPETS = {
    "fill-mask": FILL_MASK,
    "question-answering": QUESTIONS,
    "token-classification": TAGS,
    "multiple-choice": CHOICES,
}


def usage(pipeline_tag: str, name: str, texts: int) -> str:
    """Code that asks a model of this kind.

    name: of its repository on the Hub; texts: how many it classifies at once.
    """
    snippet = SNIPPETS.get(pipeline_tag, PAIRS if texts == 2 else PIPELINE)
    return snippet.format(tag=pipeline_tag, name=name)


def onnx_usage(pipeline_tag: str, name: str, file: str) -> str:
    """The same of a model for ONNX Runtime; file: its name in `onnx/`."""
    text, show = '"Кошка живёт в доме у реки."', "print(outputs)"
    if pipeline_tag == "fill-mask":
        text = 'f"Привет, как {tokenizer.mask_token}?"'
        show = 'print(tokenizer.decode(outputs[0][inputs["input_ids"] == tokenizer.mask_token_id].argmax(-1)))'
    return ONNX.format(name=name, text=text, file=file, show=show)
