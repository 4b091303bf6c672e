"""A matplotlib Figure that a notebook shows by itself."""

from io import BytesIO

from matplotlib import figure


class Figure(figure.Figure):
    """A Figure that a notebook shows where it ends a cell, though pyplot does not know of it.

    Once pyplot draws inline, IPython has a function for all Figures, and does not ask this method:
    there is one picture either way.
    """

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """Return PNG of twice the pixels that it is shown with, for screens that have them."""
        picture = BytesIO()
        self.savefig(picture, format="png", dpi=2 * self.dpi)
        return picture.getvalue(), {"width": int(self.get_size_inches()[0] * self.dpi)}
