"""Shards: what FSDP must be set to. test_ranks.py compares shards with complete weights on two ranks."""

import pytest
import torch
from accelerate import FullyShardedDataParallelPlugin

from distillation.config.errors import UserError
from distillation.runs.fsdp import configure

MODEL = torch.nn.ModuleDict({"layers": torch.nn.ModuleList([torch.nn.Linear(2, 2)])})


@pytest.mark.parametrize("other", [{}, {"state_dict_type": "SHARDED_STATE_DICT"}, {"cpu_ram_efficient_loading": True}])
def test_half_precision_is_left_to_autocast_and_what_could_not_be_trained_or_saved_is_refused(other, monkeypatch):
    """accelerate's own policy would add up the gradients of all ranks in bfloat16."""
    monkeypatch.setenv("FSDP_CPU_RAM_EFFICIENT_LOADING", "false")  # the plugin sets it
    plugin = FullyShardedDataParallelPlugin(**{"fsdp_version": 2, "state_dict_type": "FULL_STATE_DICT", **other})
    plugin.set_mixed_precision("bf16")
    if other:
        with pytest.raises(UserError, match="fsdp.yaml"):
            configure(plugin, MODEL)
    else:
        assert plugin.mixed_precision_policy.reduce_dtype == torch.bfloat16
        configure(plugin, MODEL)
        assert plugin.transformer_cls_names_to_wrap == ["Linear"]
        assert plugin.mixed_precision_policy.reduce_dtype is plugin.mixed_precision_policy.param_dtype is None
