"""Run the command line as ``python -m metaexo``."""

from metaexo.cli import main

main(prog_name="metaexo")
