"""The frameworks, one a file. Each has `trainer(task)`, `predictor(task)` or both; see `suite.worker`."""
