# What sets the three releases apart. SPDX-License-Identifier: Apache-2.0
import itertools
import os
import time

RELEASE = os.environ.get("RELEASE", "good")
paid = itertools.count(1)


def work():
    """Twelve milliseconds, and 25 more in a slow release."""
    time.sleep(0.037 if RELEASE == "slow" else 0.012)


def pay_status():
    """Every tenth payment fails in a bad release."""
    return 500 if RELEASE == "bad" and next(paid) % 10 == 0 else 200
