"""Looking inside a network: the `Network` protocol, and taps and edits that leave nothing behind."""

from fairheads.activations.calling import called
from fairheads.activations.devices import device_of
from fairheads.activations.hooks import edit_outputs, evaluation_state, tap_outputs
from fairheads.activations.layers import Layer
from fairheads.activations.network import Network, TorchNetwork, as_network
from fairheads.activations.onnx import OnnxNetwork
from fairheads.activations.outcome import Outcome
from fairheads.activations.places import Place
from fairheads.activations.threads import one_thread

__all__ = [
    "Layer",
    "Network",
    "OnnxNetwork",
    "Outcome",
    "Place",
    "TorchNetwork",
    "as_network",
    "called",
    "device_of",
    "edit_outputs",
    "evaluation_state",
    "one_thread",
    "tap_outputs",
]
