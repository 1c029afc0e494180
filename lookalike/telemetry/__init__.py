"""What those who run the system see of it: metrics, logs, traces. Nothing here is needed to run it."""
