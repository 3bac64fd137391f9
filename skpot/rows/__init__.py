"""Training rows: noise, blocks, factors of kinds and folds, and the memory that they take."""
