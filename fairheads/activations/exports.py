"""How many rows an exported graph of torch takes at a time."""

from __future__ import annotations

from torch import Tensor
from torch.export import ExportedProgram

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
