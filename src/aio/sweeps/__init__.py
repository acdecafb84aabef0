"""Ablations on this machine: W&B's sweep files, run without an account and gathered into one table."""
