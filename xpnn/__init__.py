"""xpnn: a multilayer perceptron whose train and query code is the same on NumPy (CPU) and CuPy (CUDA)."""

from xpnn import callbacks, initializers, losses, optimizers, recipes, schedules
from xpnn.augmentation import Augmentation
from xpnn.augmenter import augmented
from xpnn.backend import Device, get_xp, to_device, to_host
from xpnn.checkpoint import load_model, save
from xpnn.data import load
from xpnn.early_stopping import early_stopping
from xpnn.epochs import Epoch
from xpnn.errors import DataError, DeviceError, DivergenceError, ModelFileError, XpnnError
from xpnn.evaluation import Evaluation, evaluate
from xpnn.history import read_history, record_of, recorded
from xpnn.interchange import from_keras, from_sklearn, from_torch, to_torch
from xpnn.lbfgs import train_lbfgs
from xpnn.network import MLP
from xpnn.onnx import export_onnx, to_onnx
from xpnn.plateau import ReduceOnPlateau
from xpnn.plots import draw_digit, plot_history, plot_range_test
from xpnn.range_test import RangeTest, find_learning_rate
from xpnn.regularization import Regularization
from xpnn.samples import Dataset, Samples, standardization_of
from xpnn.scaling import fold_target_scaling
from xpnn.state import TrainingState
from xpnn.state_file import Checkpoint, load_state, save_state
from xpnn.training import train

__version__ = "0.1.0"

__all__ = [
    "MLP",
    "Augmentation",
    "Checkpoint",
    "DataError",
    "Dataset",
    "Device",
    "DeviceError",
    "DivergenceError",
    "Epoch",
    "Evaluation",
    "ModelFileError",
    "RangeTest",
    "ReduceOnPlateau",
    "Regularization",
    "Samples",
    "TrainingState",
    "XpnnError",
    "augmented",
    "callbacks",
    "draw_digit",
    "early_stopping",
    "evaluate",
    "export_onnx",
    "find_learning_rate",
    "fold_target_scaling",
    "from_keras",
    "from_sklearn",
    "from_torch",
    "get_xp",
    "initializers",
    "load",
    "load_model",
    "load_state",
    "losses",
    "optimizers",
    "plot_history",
    "plot_range_test",
    "read_history",
    "recipes",
    "record_of",
    "recorded",
    "save",
    "save_state",
    "schedules",
    "standardization_of",
    "to_device",
    "to_host",
    "to_onnx",
    "to_torch",
    "train",
    "train_lbfgs",
]
