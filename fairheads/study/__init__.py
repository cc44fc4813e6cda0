"""The paper's study on a data set of one's choice: every network, every claim, with what does not hold."""

from fairheads.study.run import paper_study
from fairheads.study.setting import SETTINGS, PaperSetting

__all__ = ["SETTINGS", "PaperSetting", "paper_study"]
