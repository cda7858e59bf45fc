"""A package, so that tests in any folder can import `tests.blocks`."""
