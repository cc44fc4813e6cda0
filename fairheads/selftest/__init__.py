"""The power of the verdict on one's own network and rows: heads of known strength, planted and audited."""

from fairheads.selftest.given import refuse_few
from fairheads.selftest.run import selftest

__all__ = ["refuse_few", "selftest"]
