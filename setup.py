"""The packages: found under repc/, plus the grammar and the spec library, which stand beside it as data."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["repc", "repc.*"]), "repc.grammar", "repc.specs"],
    package_dir={"repc.grammar": "grammar", "repc.specs": "specs"},
)
