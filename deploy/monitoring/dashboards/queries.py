"""The PromQL that most panels have."""


def quantile(share: float, metric: str, by: str, where: str = "") -> str:
    """A quantile of a histogram over the interval of the panel, by the labels ``by``."""
    return f"histogram_quantile({share}, sum by ({by}, le) (rate({metric}_bucket{{{where}}}[$__rate_interval])))"


def rate(metric: str, by: str = "", where: str = "") -> str:
    """What a counter grows a second over the interval of the panel, by the labels ``by``, or in all."""
    total = f"rate({metric}{{{where}}}[$__rate_interval])"
    return f"sum by ({by}) ({total})" if by else f"sum({total})"
