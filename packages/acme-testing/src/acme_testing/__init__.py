"""Fake environments, golden vectors, and the conformance battery that every agent passes.

Nothing is imported here: pytest loads this package, for its option, in every run of whoever has it installed.
"""

__version__ = "0.2.0"

__all__ = ["__version__"]
