"""The stages of dvc.yaml: the file or the folder of each name, and what they share."""

import os
import sys

# As in detector/__init__.py: OpenVINO and NNCF are not to tell Intel of every run.
sys.modules.setdefault("openvino_telemetry", None)

# PyTorch's threads spin while they wait for each other. With another program on one of two cores
# that costs a factor 3.2 in training, with this count 2.4 to 2.7; alone it costs a few per cent. It
# must be set before OpenMP is loaded. Measured in docs/LOG.md.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# Who started this process; noted before the seconds that PyTorch takes to load.
PARENT = os.getppid()
