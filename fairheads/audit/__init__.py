"""The one call: disparity of a network's decisions, and the verdict on how it comes to them."""

from fairheads.audit.call import audit, network_disparity
from fairheads.audit.counting import forget

__all__ = ["audit", "forget", "network_disparity"]
