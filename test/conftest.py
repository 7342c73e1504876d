"""Shared by test/python and test/execution: the helpers of test/support, and Hypothesis' two depths."""

import os
import sys
from pathlib import Path

import hypothesis

sys.path.insert(0, str(Path(__file__).parent / "support"))

# FLASHC_DEEP=1 is the deep profile, FLASHC_DEEP=N one of N examples.
DEEP = int(os.environ.get("FLASHC_DEEP", "0"))

# The quick profile runs the same examples each time; FLASHC_DEEP=1 draws new ones, and many more.
hypothesis.settings.register_profile(
    "quick", derandomize=True, deadline=None, max_examples=25, database=None, print_blob=True
)
hypothesis.settings.register_profile("deep", deadline=None, max_examples=DEEP if DEEP > 1 else 1500, print_blob=True)
hypothesis.settings.load_profile("deep" if DEEP else "quick")
