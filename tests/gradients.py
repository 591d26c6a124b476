"""The gradients of a trainer, and whether two sets of tensors are the same."""

import torch


def of_each_step(trainer):
    """Train with a learning rate of 0 and return the gradients that the optimiser saw in each step."""
    seen = []

    def keep(*_):
        seen.append({name: p.grad.clone() for name, p in trainer.model.named_parameters() if p.grad is not None})

    trainer.create_optimizer()
    trainer.optimizer.register_step_pre_hook(keep)
    trainer.train()
    return seen


def assert_same(actual, expected, tolerance):
    """Relative error of each tensor. One that is zero but for rounding (the bias of the keys has no gradient, for a
    softmax does not feel it) is held against the size of all."""
    assert actual.keys() == expected.keys()
    floor = 1e-3 * torch.stack([tensor.norm() for tensor in expected.values()]).norm()
    for name in expected:
        error = (actual[name] - expected[name]).norm() / expected[name].norm().clamp(min=floor)
        assert error < tolerance, f"{name}: relative error {error:.1e}"
