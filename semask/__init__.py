"""SeMask-FPN: model, data, training, evaluation and the comparison table."""

import os

# torch would import torch_npu on its own wherever that is installed, and itself fail to import
# where CANN is not set up; semask.devices.backends imports it when an NPU is asked for, and nobody
# else
os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")

__version__ = "0.1.0"
