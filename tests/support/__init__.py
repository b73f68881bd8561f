"""What tests stand on, once: ways to wait, far ends, servers, kernels, a browser.

Reached as ``from support.waiting import soon``, because pyproject.toml puts this folder's parent
on the path of a test run.  A test that runs a Python of its own gets nothing from here.
"""
