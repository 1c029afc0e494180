"""Builds every overlay and documented combination, and checks each: ``make k8s-validate``."""

import sys

from deploy.checks import arrows, pods, references, schemas, server, settings_rules, updates
from deploy.checks.build import COMBINATIONS, BuildFailed, KustomizeMissing, combined, copied, kustomize
from deploy.checks.manifests import Finding, Manifests

RULES = (*server.RULES, *pods.RULES, *updates.RULES, *references.RULES, *arrows.RULES, *settings_rules.RULES)


def findings(found: Manifests) -> list[Finding]:
    """Everything that a rule of ours or a schema says against a build."""
    ours = [finding for rule in RULES for finding in rule(found)]
    return [*ours, *(finding for version in schemas.versions() for finding in schemas.checked(found, version))]


def main() -> int:
    say = sys.stdout.write
    try:
        say(f"{' '.join(kustomize())}; schemas of Kubernetes {', '.join(schemas.versions())}; {len(RULES)} rules\n")
    except KustomizeMissing as missing:
        sys.stderr.write(f"{missing}\n")
        return 2
    wrong, partly = 0, set()
    with copied() as root:
        for wanted in COMBINATIONS:
            try:
                built = combined(root, wanted)
            except BuildFailed as failed:
                say(f"FAIL {wanted}: {failed}\n")
                wrong += 1
                continue
            against = findings(built)
            partly |= set(schemas.unchecked(built))
            say(f"{'FAIL' if against else 'ok  '} {wanted}: {len(built.items)} objects\n")
            for finding in against:
                say(f"     {finding}\n")
            wrong += bool(against)
    say(f"checked only for the fields that we use, by schemas of ours: {', '.join(sorted(partly)) or 'nothing'}\n")
    say(f"{len(COMBINATIONS) - wrong} passed, {wrong} failed\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
