"""Over which embeddings of a batch an entropy is taken."""

from __future__ import annotations

from torch import Tensor

from mvssl.arguments import check_count
from mvssl.distributed import world_size
from mvssl.errors import UserError

__all__ = ["Groups"]


class Groups:
    """Whether an entropy is that of the whole batch, or the mean of those of equal parts of it.

    A kernel density over k samples, and the mean of k rows, say something else at another k. Groups
    of a fixed size keep what is estimated while the batch changes. They are neighbouring images of
    the batch over all processes, so that a run on several is that on one.

    Args:
        owner: name of the head, for errors.
        size: embeddings of a group; None: the batch is one group.
        least: what the estimate needs.

    Raises:
        UserError: ``size`` is no number from ``least`` on.
    """

    def __init__(self, owner: str, size: int | None, least: int) -> None:
        if size is not None:
            check_count(owner, at_least=least, entropy_group=size)
        self.owner = owner
        self.size = size

    def check_batch(self, batch_size: int, gather: bool) -> None:
        """Called before training.

        Args:
            batch_size: images over all processes.
            gather: whether the entropy is taken over all of them, or over each process's own.

        Raises:
            UserError: groups do not fill the images that the entropy is taken over.
        """
        if gather:
            self._check(batch_size, "train_dataloader.batch_size")
        else:
            self._check(batch_size // world_size(), "each process's part of the batch")

    def _check(self, images: int, whose: str) -> None:
        if self.size is not None and images % self.size:
            raise UserError(
                f"{self.owner}: entropy_group={self.size} does not divide {whose}, which is "
                f"{images} images: give a number that does, or a multiple of it as the batch."
            )

    def of(self, rows: Tensor) -> tuple[Tensor, ...]:
        """(k, ...) to k / size times (size, ...)."""
        if self.size is None:
            return (rows,)
        self._check(len(rows), "the batch")
        return rows.split(self.size)
