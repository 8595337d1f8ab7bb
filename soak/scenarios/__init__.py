"""One file for each thing that is done to a server; each yields rows of the report."""
