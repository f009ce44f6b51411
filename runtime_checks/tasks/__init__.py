"""Multiple-choice questions on the real runtimes: rows, log-likelihoods, accuracy and paired comparisons."""
