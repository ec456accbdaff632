"""The number by which frames of one series differ: the last run of digits of a name's stem."""

import re

LAST_NUMBER = re.compile(r"\d+(?=\D*$)")
