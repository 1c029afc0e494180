"""The HTTP gateway: search, galleries, models, evaluations, jobs, the web page."""
