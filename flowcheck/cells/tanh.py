"""Plain recurrent net of tanh units: the RNN of today's frameworks."""

from ..equations import Layout
from ..notation import tanh
from .conventional import fully_recurrent

CELL = fully_recurrent(
    tanh, "tanh", "Elman 1990, trained with the full gradient", 1990,
    layouts=[
        Layout("torch", "RNN", ("net",), letters=("h",), nonlinearity="tanh"),
        Layout("keras", "SimpleRNN", ("net",), letters=("h",)),
        Layout("onnx", "RNN", ("net",), letters=("h",)),
    ],
)
