"""The sample project is no part of this suite: test_sample.py runs its tests as a project does."""

collect_ignore = ["sample"]
