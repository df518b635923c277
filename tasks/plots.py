"""How all plots look, and how a flow run shows one."""

import base64
from io import BytesIO

from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, MUTED, ACCENT = "#1f2933", "#9aa5b1", "#0b7285"


def titled_axes(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    """An empty plot with its title and the names of its axes."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", color=INK)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def data_url(figure: Figure) -> str:
    """A figure as an address that holds its picture, which artifacts of a flow run show."""
    image = BytesIO()
    figure.savefig(image, format="png", dpi=110)
    return png_url(image.getvalue())


def png_url(png: bytes) -> str:
    """The same of a picture that is drawn already."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
