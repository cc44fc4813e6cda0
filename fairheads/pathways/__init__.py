"""Does the network use its internal estimate of the group? Readouts, swap, erasure, retention, and the verdict."""

from fairheads.pathways.analyze import SAMPLE, analyze_pathways, survey

__all__ = ["SAMPLE", "analyze_pathways", "survey"]
