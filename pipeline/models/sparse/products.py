"""Gathered rows and their matrix products, in blocks whose sizes repeat."""

import torch
from jaxtyping import Float
from torch import Tensor

#: Rows of a block on a CPU: what is gathered and multiplied stays in the caches until it is added.
CPU_BLOCK_ROWS = 4096
#: Multiplications from which oneDNN's greater speed pays for its slower start.
_ONEDNN_FROM = 8_000_000
_HAS_ONEDNN = torch.backends.mkldnn.is_available()
#: Rows that are multiplied at once -> step to which they are filled up, see `gather`.
_STEPS = {32: 32, 128: 64, 512: 128, CPU_BLOCK_ROWS: 512}

#: Rows of a matrix: their numbers, or a range of them.
Rows = Tensor | slice


def n_rows(rows: Rows) -> int:
    """How many rows these are."""
    return rows.stop - rows.start if isinstance(rows, slice) else rows.shape[0]


def _takes_onednn(matrix: Tensor, multiplications: int) -> bool:
    return (
        multiplications >= _ONEDNN_FROM
        and matrix.dtype == torch.float32
        and matrix.is_cpu
        and _HAS_ONEDNN
    )


def gather(
    source: Float[Tensor, "n channels"], rows: Rows, multiplications: int
) -> Float[Tensor, "p channels"]:
    """Copy rows of a matrix; below them zeros, up to one of few sizes, where `multiply` needs it.

    oneDNN compiles a kernel for every shape, in about 0.4 ms, and keeps the last 1,024 of them; so
    blocks of any size would be slower than without it.

    Args:
        source: float (N, C), contiguous.
        rows: int64 (P,) or a range, P at least 1 and on a CPU at most `CPU_BLOCK_ROWS`.
        multiplications: that the product of a row takes.

    Returns:
        Float (at least P, C); a view where nothing has to be copied.
    """
    count = size = n_rows(rows)
    if _takes_onednn(source, count * multiplications):
        step = next(step for most, step in _STEPS.items() if count <= most)
        size = -(-count // step) * step
    if size == count:
        return source[rows] if isinstance(rows, slice) else source.index_select(0, rows)
    gathered = source.new_empty(size, source.shape[1])
    if isinstance(rows, slice):
        gathered[:count] = source[rows]
    else:
        torch.index_select(source, 0, rows, out=gathered[:count])
    gathered[count:].zero_()
    return gathered


def multiply(a: Float[Tensor, "p q"], b: Float[Tensor, "q r"]) -> Float[Tensor, "p r"]:
    """The product of two matrices: in float32 on a CPU by oneDNN, otherwise by PyTorch.

    PyTorch takes MKL there, which on AMD's processors leaves half of the vector width unused: on
    one core of a Zen 5 it did 110 GFLOP/s, and oneDNN 250. There is no public name for it; the call
    is the one that torch.compile makes for a linear layer.
    """
    if _takes_onednn(a, a.numel() * b.shape[1]):
        return torch.ops.mkldnn._linear_pointwise(a, b.T, None, "none", [], "")
    return a @ b


def add_transposed_product(
    target: Float[Tensor, "q r"], a: Float[Tensor, "p q"], b: Float[Tensor, "p r"]
) -> None:
    """Add a^T b to a matrix, as `multiply` would multiply."""
    if not _takes_onednn(a, a.numel() * b.shape[1]):
        if target.dtype == a.dtype:
            target.addmm_(a.T, b)
        else:
            target.add_(a.T @ b)
    elif a.shape[1] <= b.shape[1]:
        target.add_(multiply(a.T, b))
    else:  # The first operand is copied, since it is transposed: better the narrower one.
        target.add_(multiply(b.T, a).T)


def add_rows(
    target: Float[Tensor, "n channels"], rows: Rows, values: Float[Tensor, "p channels"]
) -> None:
    """Add to rows of a matrix, each of which occurs once; values beyond their number are left."""
    if values.shape[0] != (count := n_rows(rows)):
        values = values[:count]
    if isinstance(rows, slice):
        target[rows].add_(values)
    else:
        target.index_add_(0, rows, values.to(target.dtype))
