"""From tables to lists: what stands on the model, the data, and the evaluation."""
