"""The programs of the machine that tests use."""

import os

from support.programs import find_missing


def test_ci_leaves_no_test_out() -> None:
    """If CI is set in the environment, each program that tests use is there, so that no test is left out silently."""
    missing = find_missing()

    assert not (os.environ.get("CI") and missing), f"CI needs {', '.join(missing)}; .ci/install installs them"
