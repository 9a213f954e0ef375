"""Chemistry through RDKit: parsing, scaffolds, computed properties, fingerprints and drawings."""
