"""The power of the verdict on one's own network and rows: heads of known strength, planted and audited."""

from fairheads.selftest.run import selftest

__all__ = ["selftest"]
