"""What a fitted model knows: references, labels as functionals, variances, likelihoods."""
