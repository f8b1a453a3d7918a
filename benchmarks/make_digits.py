"""Write xpnn/data/digits.npz, the handwritten digits that come with xpnn, from scikit-learn's copy of them.

Source: "Optical Recognition of Handwritten Digits", E. Alpaydin and C. Kaynak, UCI Machine Learning
Repository, 1998, doi 10.24432/C50P49, licence CC BY 4.0. The grey levels are the published ones, 0 to 16.
"""

import io
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from xpnn.files import write_atomically

if __name__ == "__main__":
    digits = load_digits()
    inputs, targets = digits.data.astype(np.uint8), digits.target.astype(np.uint8)
    assert (inputs == digits.data).all()
    assert inputs.shape == (1797, 64)
    archive = io.BytesIO()
    np.savez_compressed(archive, inputs=inputs, targets=targets)
    out = Path(__file__).parents[1] / "xpnn" / "data" / "digits.npz"
    write_atomically(out, archive.getvalue())
    print(f"{out}: {len(inputs)} digits, {out.stat().st_size} bytes")
