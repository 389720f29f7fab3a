"""Training one level: `train(recipe, weights, mask, data, report, ...)`, whatever the loop."""
