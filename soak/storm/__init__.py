"""Servers and the faults that happen around them."""
