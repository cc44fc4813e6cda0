"""What a training run leaves behind: the loss of each epoch and the record an auditor needs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fairheads.data import RowRecord
from fairheads.results import _markup as markup
from fairheads.results._style import INK, PALETTE, SOFT, bare, house_style, html_figure, new_figure, spread
from fairheads.results._text import wrapped
from fairheads.results._words import amount, capital, clip, count, recipe
from fairheads.results.shown import Displayed

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

LAST = "This does not say what the network does with the group: an audit does, on rows that it was not trained on."


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class History(Displayed):
    """Mean training loss of every epoch, the recipe, and the rows that were trained on.

    Attributes
    ----------
    losses : tuple of float
        Mean loss of the batches of every epoch; the last may be an unfinished one.
    validation : tuple of float
        What `Objective.judge` said after every epoch, smaller is better; empty without validation rows.
    best_epoch : int or None
        The epoch whose weights the network has, where validation rows chose it.
    stopped : str or None
        Why training ended before its last epoch, if it did.
    resumed_at : int or None
        The step after which a checkpoint was taken up.
    """

    losses: tuple[float, ...]
    recipe: dict[str, Any]
    rows: RowRecord
    shares: dict[str, dict[str, float]]
    validation: tuple[float, ...] = ()
    best_epoch: int | None = None
    stopped: str | None = None
    resumed_at: int | None = None

    def record(self) -> dict[str, Any]:
        """The training record as plain JSON: recipe, losses, digest of the rows, group by label shares."""
        plain = {
            **self.recipe,
            "losses": list(self.losses),
            "rows": {"n": self.rows.n, "digest": self.rows.digest},
            "shares": self.shares,
        }
        if self.validation:
            plain["validation_losses"] = list(self.validation)
            plain["best_epoch"] = self.best_epoch
        if self.stopped is not None:
            plain["stopped"] = self.stopped
        return plain

    def summary(self) -> str:
        """Epochs, losses and recipe as text of at most 100 columns; the last line says what they do not say."""
        told = [line for what, how in self._recipe() for line in wrapped(f"{what}: {how}")]
        return "\n".join([*wrapped(self._brief(), ""), *told, *wrapped(LAST, "")])

    def html(self) -> str:
        """The losses in a figure, and the recipe, as an HTML fragment."""
        parts = [markup.heading(3, "Training"), f"<p>{markup.prose(self._brief())}</p>"]
        if self.losses:
            says = f"Loss by epoch: {', '.join(amount(loss) for loss in self.losses)}."
            if self.validation:
                says += f" On validation rows: {', '.join(amount(loss) for loss in self.validation)}."
            caption = "Mean loss of the batches of every epoch, the constraint's part included."
            parts.append(html_figure(self.plot(), says, caption))
        parts.append(markup.definitions([(markup.name(capital(a)), markup.prose(b)) for a, b in self._recipe()]))
        return "\n".join([*parts, f"<p>{markup.escape(LAST)}</p>"])

    def plot(self, ax: Axes | None = None) -> Axes:
        """Loss on training and validation rows, epoch by epoch; a ring marks the epoch whose weights were kept.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw into; by default a figure of its own, which is ``.figure`` of the returned axes.

        Returns
        -------
        matplotlib.axes.Axes
        """
        with house_style():
            if ax is None:
                ax = new_figure(2.9).add_subplot()
            above = bool(self.validation) and self.losses[-1:] > self.validation[-1:]
            _line(ax, self.losses, PALETTE[0], "o", "-", "training", 6 if above else -6 if self.validation else 0)
            if self.validation:
                _line(ax, self.validation, PALETTE[1], "s", "--", "validation", -6 if above else 6)
                if self.best_epoch is not None:
                    kept = self.validation[self.best_epoch - 1]
                    ax.plot([self.best_epoch], [kept], "o", markersize=11, markerfacecolor="none", color=INK)
            last = max(len(self.losses), len(self.validation), 2)
            ax.set_xlim(1 - 0.04 * last, last + 0.3 * (last - 1))
            ax.set_ylim(*spread([*self.losses, *self.validation], 0.12))
            ax.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]
            ax.set_xticks([tick for tick in ax.get_xticks() if 1 <= tick <= last])
            ax.set_xlabel("epoch", parse_math=False)
            ax.set_ylabel("mean loss of a row", parse_math=False)
            bare(ax, "left", "bottom")
        return ax

    def to_frame(self) -> pd.DataFrame:
        """A row an epoch: its number, the loss, and the loss on validation rows where there were any."""
        import pandas as pd

        table = pd.DataFrame({"epoch": range(1, len(self.losses) + 1), "loss": self.losses})
        return table.assign(validation=pd.Series(self.validation, dtype=float)) if self.validation else table

    def _brief(self) -> str:
        said = f"{count(len(self.losses))} epoch{'' if len(self.losses) == 1 else 's'} on {count(self.rows.n)} rows"
        if self.losses:
            said += f", loss from {amount(self.losses[0])} to {amount(self.losses[-1])}"
        if self.best_epoch is not None:
            said += f"; kept: epoch {self.best_epoch}, validation loss {amount(self.validation[self.best_epoch - 1])}"
        if self.resumed_at is not None:
            said += f"; gone on from step {count(self.resumed_at)}"
        return said + ("" if self.stopped is None else f"; ended {self.stopped}")

    def _recipe(self) -> list[tuple[str, str]]:
        """What `record` says beside the losses, in words."""
        told = ("validation losses", "best epoch", "stopped", "last training loss")
        return [(clip(what, 60), how) for what, how in recipe(self.record()) if what not in told]


def _line(ax: Axes, losses: tuple[float, ...], colour: str, marker: str, dashes: str, label: str, up: int) -> None:
    """A line with its name where it ends, ``up`` points above."""
    epochs = range(1, len(losses) + 1)
    style = {"color": colour, "marker": marker, "linestyle": dashes}
    ax.plot(epochs, losses, **style, markersize=4.0, linewidth=1.6)  # type: ignore[arg-type]
    known = [(epoch, loss) for epoch, loss in zip(epochs, losses, strict=True) if math.isfinite(loss)]
    if known:
        beside = {"xytext": (9, up), "textcoords": "offset points"}
        ax.annotate(label, known[-1], **beside, va="center", color=SOFT, parse_math=False)  # type: ignore[arg-type]
