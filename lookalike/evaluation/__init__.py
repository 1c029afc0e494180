"""How good the answers are: metrics, protocols, reports."""
