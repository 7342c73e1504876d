"""The examples in the package's documentation, run."""

import doctest
import importlib

import pytest

MODULES = ("flashc", "flashc.attention", "flashc.interop", "flashc.masks", "flashc.reference", "flashc.trace")


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    # `flashc.attention` is also a function of the package, so modules are taken by their full names.
    module = importlib.import_module(name)
    failed, tried = doctest.testmod(module)
    assert tried > 0
    assert failed == 0
