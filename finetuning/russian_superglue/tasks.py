"""The nine tasks: what they are called, and their labels."""

# By the name in code, which is that of the configuration on the Hub: the official name, which folders and files have.
NAMES = {
    "lidirus": "LiDiRus",
    "rcb": "RCB",
    "parus": "PARus",
    "muserc": "MuSeRC",
    "terra": "TERRa",
    "russe": "RUSSE",
    "rwsd": "RWSD",
    "danetqa": "DaNetQA",
    "rucos": "RuCoS",
}
ENTAILMENT = ("entailment", "not_entailment")
NO_YES = ("false", "true")
# In the order of their numbers on the Hub. Of PARus, rows and submissions have the number; RuCoS chooses an entity.
LABELS = {
    "lidirus": ENTAILMENT,
    "rcb": ("entailment", "contradiction", "neutral"),
    "parus": ("0", "1"),
    "muserc": ("0", "1"),
    "terra": ENTAILMENT,
    "russe": NO_YES,
    "rwsd": NO_YES,
    "danetqa": NO_YES,
    "rucos": (),
}
