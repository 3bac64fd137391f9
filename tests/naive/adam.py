"""Adam with decoupled decay and an average of the weights, in plain Python."""

import math


def adam(weights, gradients, rates, decay, keep_mean, keep_square, least, follow):
    """Return weights after some steps, and their average."""
    weights, averages = list(weights), list(weights)
    for i in range(len(weights)):
        mean = square = 0.0
        for n, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), 1):
            mean = keep_mean * mean + (1 - keep_mean) * gradient[i]
            square = keep_square * square + (1 - keep_square) * gradient[i] ** 2
            first, second = mean / (1 - keep_mean**n), square / (1 - keep_square**n)
            direction = first / (math.sqrt(second) + least) + decay[i] * weights[i]
            weights[i] -= rate * direction
            averages[i] = (1 - follow) * averages[i] + follow * weights[i]
    return weights, averages
