"""flashc beside its peers and beside the machine's limit: ``python -m flashc.bench``.

Every peer runs in a process of its own, in an environment of its own, on inputs made from the same seed; the processes take
turns in alternating rounds, so that a change of clock or load meets all of them. docs/performance.md says what is measured.

This file imports nothing: the workers load the package without flashc around it.
"""
