"""Scikit-learn classifiers around the training room, and Fairlearn's methods around the same network."""

from fairheads.estimators.constrained import ConstrainedClassifier
from fairheads.estimators.peers import (
    AdversarialPeer,
    Backbone,
    DecisionRule,
    ExponentiatedGradientPeer,
    Peer,
    ThresholdOptimizerPeer,
)
from fairheads.estimators.two_head import TwoHeadClassifier
from fairheads.estimators.weighted import Weighted

__all__ = [
    "AdversarialPeer",
    "Backbone",
    "ConstrainedClassifier",
    "DecisionRule",
    "ExponentiatedGradientPeer",
    "Peer",
    "ThresholdOptimizerPeer",
    "TwoHeadClassifier",
    "Weighted",
]
