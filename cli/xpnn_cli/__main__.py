"""`python -m xpnn_cli`, for where the `xpnn` script is not on the path."""

from xpnn_cli import main

main(prog_name="xpnn")
