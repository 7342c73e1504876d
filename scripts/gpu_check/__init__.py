"""The parts of check_gpu.py and micro_tests.py, for a bare Python from 3.8: the standard library alone."""
