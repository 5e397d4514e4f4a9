"""The bench of detection: scorers, data-blind baselines, injected faults, cost."""
