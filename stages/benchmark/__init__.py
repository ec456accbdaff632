"""The stage `benchmark`: interleaved timing, and the kernels that convolutions run in."""
