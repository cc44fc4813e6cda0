"""What an exported graph of torch takes: how many rows at a time, and inputs of which names."""

from __future__ import annotations

from torch import Tensor
from torch.export import ExportedProgram, UnflattenedModule

from fairheads.errors import ConfigError


def rows_of(program: ExportedProgram) -> int | None:
    """Rows that an exported graph takes at a time; None where it takes any number.

    Raises
    ------
    ConfigError
        If its inputs have batches of different sizes.
    """
    user = set(program.graph_signature.user_inputs)
    values = [node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder" and node.name in user]
    sizes = [value.shape[0] for value in values if isinstance(value, Tensor) and value.ndim]
    if not all(isinstance(size, int) for size in sizes):
        return None
    fixed = sorted(set(sizes))
    if len(fixed) > 1:
        raise ConfigError(
            f"the graph was exported for batches of different sizes, {fixed}; export it with `dynamic_shapes`."
        )
    return fixed[0] if fixed else None


def names_of(graph: UnflattenedModule) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The inputs that a graph was exported with, by place and by keyword; None where it does not tell or they nest."""
    signature = graph.module_call_graph[0].signature
    names = None if signature is None else signature.forward_arg_names
    if signature is None or names is None:
        return None
    places, keywords = signature.in_spec.children()
    told = tuple(keywords.context or ())
    nested = any(not each.is_leaf() for each in (*places.children(), *keywords.children()))
    if nested or len(names) != places.num_children + len(told):
        return None
    return tuple(names[: places.num_children]), told
