"""What a study found, in sentences made from its figures alone."""

from collections.abc import Iterator, Sequence

from lookalike.evaluation.labels import Level
from services.trainer.study.analysis_result import Effect, Ladder, ModelAnalysis, ThreeQueries
from services.trainer.study.table import signed_number, with_interval

_LEVEL = Level.SUBCATEGORY.value


def findings(analyses: Sequence[ModelAnalysis], between: ThreeQueries | None) -> tuple[str, ...]:
    """Model by model: metric, normalisation, approximation, what is served, three queries; then between models.

    All of them speak of precision@4 at subcategory level, protocol ``standard``; the tables have the other level.
    """
    said = [sentence for analysis in analyses for sentence in _of_model(analysis)]
    if between is not None:
        said += _between(between)
    return tuple(said)


def _of_model(analysis: ModelAnalysis) -> Iterator[str]:
    name = analysis.model
    effects = [effect for effect in analysis.effects if effect.level == _LEVEL]
    normalised = [one for one in effects if one.kind == "metric" and one.against.endswith("normalised")]
    if normalised:
        least = min(one.same_hits for one in normalised)
        yield (
            f"{name}, metric on normalised embeddings: Euclidean distance and inner product find at least "
            f"{least:.2%} of cosine's first four; {_differences(normalised)}."
        )
    raw = [one for one in effects if one.kind == "metric" and one.against.endswith("raw")]
    if raw:
        yield f"{name}, metric on raw embeddings: {_differences(raw)}."
        undone = [one for one in effects if one.kind == "normalisation"]
        yield f"{name}, normalisation: {_differences(undone)}."
    else:
        yield f"{name}: its embeddings before normalisation were not given, so that side was not measured."
    for ladder in analysis.ladders:
        if ladder.level == _LEVEL:
            yield _way(name, ladder)
    for one in effects:
        if one.kind == "approximation":
            yield (
                f"{name}, approximation of {one.of}: {one.knn_recall:.2%} of the ten exact neighbours; "
                f"precision@4 {with_interval(one.difference, signed=True)} against exact search."
            )
    served = [one for one in effects if one.kind == "served"]
    if served:
        yield f"{name}, backends as they are served: {_differences(served)}."
    yield from _three(analysis.three_queries)


def _way(model: str, ladder: Ladder) -> str:
    steps = ", ".join(f"{step.name} {with_interval(step.difference, signed=True)}" for step in ladder.steps)
    return (
        f"{model}, from {ladder.start} to {ladder.steps[-1].to if ladder.steps else ladder.start}, {ladder.order}: "
        f"{with_interval(ladder.total, signed=True)} in all; {steps}. Three queries show between "
        f"{signed_number(ladder.three_low)} and {signed_number(ladder.three_high)} in 95 % of draws."
    )


def _three(drawn: ThreeQueries) -> Iterator[str]:
    means = [one for one in drawn.means if one.level == _LEVEL]
    if means:
        widest = max(means, key=lambda one: one.high - one.low)
        yield (
            f"{drawn.of}, three queries: 95 % of the means of three lie between {widest.low:.3f} and {widest.high:.3f} "
            f"for {widest.system} (standard deviation {widest.deviation:.3f}); "
            f"the mean that they estimate is {widest.expected:.3f}."
        )
    pairs = [one for one in drawn.pairs if one.level == _LEVEL and one.tied < 1]
    if pairs:
        furthest = max(pairs, key=lambda one: one.difference)
        yield (
            f"{drawn.of}, three queries: the furthest apart are {furthest.better} and {furthest.worse}, by "
            f"{furthest.difference:.3f}; by three queries the better one wins in {furthest.right:.1%} of "
            f"{drawn.num_draws} draws, loses in {furthest.wrong:.1%} and ties in {furthest.tied:.1%}."
        )


def _between(drawn: ThreeQueries) -> Iterator[str]:
    means = [one for one in drawn.means if one.level == _LEVEL]
    if len(means) < 2:
        return
    best = max(means, key=lambda one: one.expected)
    yield (
        f"Between models: {best.system} is best over all queries ({best.expected:.3f}); by three queries it has the "
        f"highest mean in {best.win_share:.1%} of {drawn.num_draws} draws, ties shared."
    )
    wrong = [one for one in drawn.pairs if one.level == _LEVEL and one.tied < 1]
    if wrong:
        worst = max(wrong, key=lambda one: one.wrong)
        yield (
            f"Between models: the pair most often misjudged is {worst.better} and {worst.worse}, "
            f"{worst.difference:.3f} apart: by three queries the worse one wins in {worst.wrong:.1%} of draws "
            f"and ties in {worst.tied:.1%}."
        )


def _differences(effects: Sequence[Effect]) -> str:
    return "; ".join(f"{one.of} minus {one.against}: {with_interval(one.difference, signed=True)}" for one in effects)
