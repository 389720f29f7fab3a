"""Training one level: `train(training, data, report, ...)`, whatever the loop."""
