"""Write mnist_train.csv and mnist_test.csv, as on Kaggle, from MNIST's files in $XPNN_DATA_DIR/mnist."""

import argparse
from pathlib import Path

import numpy as np

import xpnn.data
from xpnn.errors import XpnnError
from xpnn.files import write_atomically
from xpnn.samples import Samples

# Each grey level as text and comma; every row ends with a line feed in the last comma's place.
LEVELS = np.array([f"{level}," for level in range(256)], dtype=object)


def csv_bytes(samples: Samples, header: bool) -> bytes:
    names = ",".join(["label", *(f"{row}x{column}" for row in range(1, 29) for column in range(1, 29))])
    assert samples.targets is not None
    table = np.column_stack([samples.targets.astype(np.uint8), samples.inputs])
    lines = ["".join(LEVELS[row])[:-1] for row in table]
    return "\n".join([names] * header + lines + [""]).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out_dir", type=Path, metavar="OUT_DIR")
    parser.add_argument("--header", action=argparse.BooleanOptionalAction, default=True, help="label,1x1,1x2,...")
    arguments = parser.parse_args()
    data = xpnn.data.load("mnist")
    assert data.test is not None
    arguments.out_dir.mkdir(parents=True, exist_ok=True)
    for name, samples in {"train": data.train, "test": data.test}.items():
        path = arguments.out_dir / f"mnist_{name}.csv"
        write_atomically(path, csv_bytes(samples, arguments.header))
        print(f"{path}: {len(samples)} rows")


if __name__ == "__main__":
    try:
        main()
    except XpnnError as error:
        raise SystemExit(f"Error: {error}") from None
