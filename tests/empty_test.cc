// The shared test binaries need one source before their folders add theirs.
