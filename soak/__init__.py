"""Long runs of a real lossd with its real counterparts; RELIABILITY.md has their report."""
