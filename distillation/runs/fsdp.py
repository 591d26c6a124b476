"""FSDP: the settings that it needs, and the frozen teacher in shards: no device holds all of it in training."""

from accelerate import FullyShardedDataParallelPlugin
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from distillation.config.errors import UserError


def configure(plugin: FullyShardedDataParallelPlugin, model: nn.Module) -> None:
    """Shard the trained model layer by layer, whatever class its layers have. Leave half precision to autocast, as
    without FSDP: accelerate's policy would also sum gradients in it.

    Raises UserError for settings that cannot be trained or saved.
    """
    complete = plugin.state_dict_type.name == "FULL_STATE_DICT"
    if plugin.fsdp_version != 2 or not complete or plugin.cpu_ram_efficient_loading:
        raise UserError(
            "FSDP needs `fsdp_version: 2`, `fsdp_state_dict_type: FULL_STATE_DICT` and "
            "`fsdp_cpu_ram_efficient_loading: false`, as in distillation/launch/fsdp.yaml"
        )
    plugin.mixed_precision_policy = MixedPrecisionPolicy()
    plugin.transformer_cls_names_to_wrap = sorted({type(layer).__name__ for layer in layers(model)})


def layers(model: nn.Module) -> list[nn.Module]:
    """The layers in a model's lists, the outer before the inner. A list, as Funnel has for layers, is none itself."""
    stacks = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    return [layer for stack in stacks for layer in stack if not isinstance(layer, nn.ModuleList)]


def shard(model: nn.Module, device_type: str, devices: int) -> None:
    """Leave each device its share of every weight; a layer is gathered for its call alone. From then on all ranks
    have to call the model together."""
    mesh = init_device_mesh(device_type, (devices,))
    for layer in reversed(layers(model)):  # the inner before the outer, which takes what is left
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh, reshard_after_forward=True)  # by default embeddings and head would stay gathered


def load_state(module: nn.Module, state: dict[str, Tensor]) -> None:
    """Load complete tensors, which every rank has, into a module that may be sharded. Raises RuntimeError for
    tensors of another module."""
    state = dict(state)
    for name, current in module.state_dict().items():
        if isinstance(current, DTensor) and name in state:
            state[name] = distribute_tensor(state[name], current.device_mesh, current.placements, src_data_rank=None)
    missing, unexpected = module.load_state_dict(state, strict=False)
    if unexpected or set(missing) - set(getattr(module, "all_tied_weights_keys", ())):
        raise RuntimeError("weights of another module")


def local_part(weight: Tensor) -> Tensor:
    """This rank's part of a weight."""
    return weight.to_local() if isinstance(weight, DTensor) else weight
