"""Shards: what FSDP must be set to. That shards give what whole weights give is seen on two ranks: test_trainer.py."""

import pytest
import torch
from accelerate import FullyShardedDataParallelPlugin

from distillation.config.errors import UserError
from distillation.runs.fsdp import configure


def test_half_precision_is_left_to_autocast():
    """accelerate's own policy would add up the gradients of all ranks in bfloat16."""
    plugin = FullyShardedDataParallelPlugin(fsdp_version=2, state_dict_type="FULL_STATE_DICT")
    plugin.set_mixed_precision("bf16")
    assert plugin.mixed_precision_policy.reduce_dtype == torch.bfloat16
    configure(plugin)
    assert plugin.mixed_precision_policy.reduce_dtype is plugin.mixed_precision_policy.param_dtype is None


@pytest.mark.parametrize(
    "other", [dict(fsdp_version=1), dict(state_dict_type="SHARDED_STATE_DICT"), dict(cpu_ram_efficient_loading=True)]
)
def test_what_could_not_be_trained_or_saved_is_refused(other, monkeypatch):
    """At the start: a run that keeps its shards ends with no model that others load."""
    monkeypatch.setenv("FSDP_CPU_RAM_EFFICIENT_LOADING", "false")  # the plugin sets it
    plugin = FullyShardedDataParallelPlugin(**{"fsdp_version": 2, "state_dict_type": "FULL_STATE_DICT", **other})
    with pytest.raises(UserError, match="fsdp.yaml"):
        configure(plugin)
