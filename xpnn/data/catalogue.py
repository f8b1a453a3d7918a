"""The data sets that are known by name: what they hold, whose they are, and where they are published.

Checksums and sizes, each found in two places that agree:
  MNIST, Fashion-MNIST, KMNIST: TensorFlow Datasets (url_checksums/*.txt) and torchvision's prototype datasets, SHA-256.
  EMNIST's archive: TensorFlow Datasets, SHA-256; torchvision gives the MD5 58c8d27c78d21e728a6bc7b3cc06412e.
  EMNIST's files:   Deeplearning4j (EmnistFetcher) and the package mnists, MD5.
  USPS:             torchvision alone, MD5, which others repeat; the size is rounded.
Mirrors are those of the same sources, and of the publishers' own pages; the first is tried first.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

DIGITS = tuple(string.digits)


@dataclass(frozen=True)
class File:
    """A published file: its name, and its checksum as ``sha256:...`` or ``md5:...``."""

    name: str
    checksum: str


@dataclass(frozen=True)
class Entry:
    """A data set of the catalogue.

    files:     as published: images for training and for the test, then the labels of each; USPS: training, test.
    mirrors:   addresses that the name of a file, or of the archive, is put behind.
    archive:   what holds the files, where they are not published one by one.
    labels:    the classes' names.
    rows:      (training, test).
    megabytes: size of the download.
    """

    title: str
    files: tuple[File, ...]
    mirrors: tuple[str, ...]
    labels: tuple[str, ...]
    rows: tuple[int, int]
    image_shape: tuple[int, int]
    megabytes: float
    licence: str
    citation: str
    homepage: str
    archive: File | None = None


def _idx_files(algorithm: str, *digests: str, stem: str = "{}", test: str = "t10k") -> tuple[File, ...]:
    parts = ("train-images-idx3", f"{test}-images-idx3", "train-labels-idx1", f"{test}-labels-idx1")
    return tuple(
        File(f"{stem.format(part)}-ubyte.gz", f"{algorithm}:{digest}")
        for part, digest in zip(parts, digests, strict=True)
    )


def _emnist(split: str, about: str, labels: tuple[str, ...], rows: tuple[int, int], *digests: str) -> Entry:
    return Entry(
        f"EMNIST {split}: {about}",
        _idx_files("md5", *digests, stem=f"emnist-{split}-{{}}", test="test"),
        ("https://biometrics.nist.gov/cs_links/EMNIST/",),
        labels,
        rows,
        (28, 28),
        561.8,
        "none stated; made from NIST Special Database 19",
        "G. Cohen, S. Afshar, J. Tapson and A. van Schaik, EMNIST: an extension of MNIST to handwritten letters, 2017,"
        " arXiv:1702.05373",
        "https://www.nist.gov/itl/products-and-services/emnist-dataset",
        File("gzip.zip", "sha256:fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e"),
    )


CATALOGUE = {
    "digits": Entry(  # benchmarks/make_digits.py makes the file
        "Digits of 8 x 8 pixels, which come with xpnn",
        (File("digits.npz", "sha256:cbd6fa869a6d1637652cd0f08dd181b1b12a409733a426460073cbff7e1ef93e"),),
        (),
        DIGITS,
        (1442, 355),
        (8, 8),
        0,
        "CC BY 4.0",
        "E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998,"
        " doi:10.24432/C50P49",
        "https://doi.org/10.24432/C50P49",
    ),
    "mnist": Entry(
        "MNIST: handwritten digits",
        _idx_files(
            "sha256",
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://raw.githubusercontent.com/fgnt/mnist/master/",
        ),
        DIGITS,
        (60_000, 10_000),
        (28, 28),
        11.6,
        "CC BY-SA 3.0, as Keras' documentation says",
        "Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, Gradient-based learning applied to document recognition,"
        " Proceedings of the IEEE 86(11), 1998",
        "http://yann.lecun.com/exdb/mnist/",
    ),
    "fashion-mnist": Entry(
        "Fashion-MNIST: clothes, shoes and bags",
        _idx_files(
            "sha256",
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
        (
            "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        (60_000, 10_000),
        (28, 28),
        30.9,
        "MIT",
        "H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking machine learning"
        " algorithms, 2017, arXiv:1708.07747",
        "https://github.com/zalandoresearch/fashion-mnist",
    ),
    "kmnist": Entry(
        "Kuzushiji-MNIST: cursive hiragana, one character of each of ten rows",
        _idx_files(
            "sha256",
            "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        ),
        ("https://codh.rois.ac.jp/kmnist/dataset/kmnist/", "http://codh.rois.ac.jp/kmnist/dataset/kmnist/"),
        ("お", "き", "す", "つ", "な", "は", "ま", "や", "れ", "を"),  # the publisher's kmnist_classmap.csv
        (60_000, 10_000),
        (28, 28),
        21.2,
        "CC BY-SA 4.0",
        "KMNIST Dataset (created by CODH), adapted from Kuzushiji Dataset (created by NIJL and others),"
        " doi:10.20676/00000341; T. Clanuwat et al., Deep learning for classical Japanese literature, 2018,"
        " arXiv:1812.01718",
        "https://codh.rois.ac.jp/kmnist/",
    ),
    "emnist-digits": _emnist(
        "digits",
        "handwritten digits, all as often",
        DIGITS,
        (240_000, 40_000),
        "d2662ecdc47895a6bbfce25de9e9a677",
        "a159b8b3bd6ab4ed4793c1cb71a2f5cc",
        "2223fcfee618ac9c89ef20b6e48bcf9e",
        "8afde66ea51d865689083ba6bb779fac",
    ),
    "emnist-letters": _emnist(  # a class holds both cases of its letter
        "letters",
        "both cases of a letter are one class",
        tuple(string.ascii_uppercase),
        (124_800, 20_800),
        "8795078f199c478165fe18db82625747",
        "382093a19703f68edac6d01b8dfdfcad",
        "c16de4f1848ddcdddd39ab65d2a7be52",
        "d4108920cd86601ec7689a97f2de7f59",
    ),
    "emnist-balanced": _emnist(  # lower-case letters only where they look different from upper-case ones
        "balanced",
        "digits and letters, all as often",
        tuple(string.digits + string.ascii_uppercase + "abdefghnqrt"),
        (112_800, 18_800),
        "4041b0d6f15785d3fa35263901b5496b",
        "6818d20fe2ce1880476f747bbc80b22b",
        "7a35cc7b2b7ee7671eddf028570fbd20",
        "acd3694070dcbf620e36670519d4b32f",
    ),
    "usps": Entry(
        "USPS: digits of postal codes, 16 x 16 pixels",
        (
            File("usps.bz2", "md5:ec16c51db3855ca6c91edd34d0e9b197"),
            File("usps.t.bz2", "md5:8ea070ee2aca1ac39742fdd1ef5ed118"),
        ),
        ("https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/",),
        DIGITS,
        (7291, 2007),
        (16, 16),
        8,
        "none stated",
        "J. J. Hull, A database for handwritten text recognition research, IEEE Transactions on Pattern Analysis and"
        " Machine Intelligence 16(5), 1994",
        "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass.html#usps",
    ),
}
NAMES = tuple(CATALOGUE)
