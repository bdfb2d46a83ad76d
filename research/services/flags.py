"""Creating, changing, switching and archiving feature flags.

Every write of a flag renews the revision of definitions, by a trigger; its row is locked after the flag's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import Conflict, FieldError, Invalid
from research.domain.flag_input import KIND_WORDS, FlagInput, parse_flag
from research.domain.flags import fits
from research.models import Experiment, FeatureFlag, Variant
from research.selectors.flags import get_flag

FIELDS: Final = (
    "key", "type", "name", "description", "variants", "default_variant", "enabled", "unit", "salt", "rules",
    "experiment", "experiment_field",
)  # fmt: skip
FIXED: Final = ("key", "type")
"""What programs rely on, and never changes."""

Check = Callable[[FeatureFlag], None]


def create_flag(*, body: Mapping[str, Any]) -> FeatureFlag:
    """Make a flag of the fields of the API; boolean flags have the variants on and off unless named.

    Raises :class:`Invalid` with every bad field, :class:`Conflict` where a flag or an experiment has the key.
    """

    def store() -> FeatureFlag:
        with transaction.atomic():
            parsed, experiment = _parsed(body)
            _check_key(parsed.key)
            flag = FeatureFlag(key=parsed.key, kind=parsed.kind)
            _fill(flag, parsed, experiment)
            flag.save(force_insert=True)
        return flag

    try:
        return retry_conflicts(store)
    except IntegrityError:
        # Somebody else was faster by less than the time between looking and writing.
        raise _taken(str(body.get("key"))) from None


def change_flag(
    *, flag_id: UUID | str, changes: Mapping[str, Any], check: Check | None = None
) -> FeatureFlag:
    """Change what is named and nothing else; the flag as a whole has to be right afterwards.

    ``check`` is called with the locked row, and may raise to refuse. Raises :class:`Invalid` with every bad
    field, :class:`Conflict` for an archived flag.
    """

    def store() -> FeatureFlag:
        with transaction.atomic():
            flag = _locked(flag_id, check)
            if flag.archived_at is not None:
                raise Conflict("archived", "This flag is archived.")
            before = body_of(flag)
            fixed = [
                FieldError(f"/{name}", "fixed", "Never changes: programs rely on it.")
                for name in FIXED
                if name in changes and changes[name] != before[name]
            ]
            body = {**before, **changes, **{name: before[name] for name in FIXED}}
            if changes.get("experiment", before["experiment"]) is None and "experiment_field" not in changes:
                body["experiment_field"] = ""
            # An experiment that was archived since must not stand in the way of switching its flag off.
            linking = ("unit", "experiment", "experiment_field")
            kept = all(changes.get(name, before[name]) == before[name] for name in linking)
            parsed, experiment = _parsed(body, fixed, flag.experiment if kept else None)
            _fill(flag, parsed, experiment)
            if body_of(flag) != before:
                flag.version += 1
                flag.save()
        return flag

    return retry_conflicts(store)


def enable_flag(*, flag_id: UUID | str) -> FeatureFlag:
    """Serve the flag's variants; a repeat changes nothing."""
    return change_flag(flag_id=flag_id, changes={"enabled": True})


def disable_flag(*, flag_id: UUID | str) -> FeatureFlag:
    """Leave programs to their own defaults; a repeat changes nothing."""
    return change_flag(flag_id=flag_id, changes={"enabled": False})


def archive_flag(*, flag_id: UUID | str) -> FeatureFlag:
    """Take a flag out of use for good: programs are told that there is no such flag, and its key stays taken.

    A repeat changes nothing.
    """

    def store() -> FeatureFlag:
        with transaction.atomic():
            flag = _locked(flag_id, None)
            if flag.archived_at is None:
                flag.enabled = False
                flag.archived_at = timezone.now()
                flag.version += 1
                flag.save()
        return flag

    return retry_conflicts(store)


def body_of(flag: FeatureFlag) -> dict[str, Any]:
    """A flag in the fields of the API that can be written."""
    return {
        "key": flag.key,
        "type": flag.kind,
        "name": flag.name,
        "description": flag.description,
        "variants": flag.variants,
        "default_variant": flag.default_variant,
        "enabled": flag.enabled,
        "unit": flag.unit,
        "salt": flag.salt,
        "rules": flag.rules,
        "experiment": flag.experiment.key if flag.experiment is not None else None,
        "experiment_field": flag.experiment_field,
    }


def _locked(flag_id: UUID | str, check: Check | None) -> FeatureFlag:
    found = get_flag(flag_id)
    flag: FeatureFlag = FeatureFlag.objects.select_for_update(of=("self",)).get(pk=found.pk)
    if check is not None:
        check(flag)
    return flag


def _parsed(
    body: Mapping[str, Any], faults: Sequence[FieldError] = (), known: Experiment | None = None
) -> tuple[FlagInput, Experiment | None]:
    errors = list(faults)
    for name in body:
        if name not in FIELDS:
            token = str(name).replace("~", "~0").replace("/", "~1")
            errors.append(FieldError(f"/{token}", "unknown_field", "There is no such field."))
    named = body.get("experiment")
    experiment = known
    if known is None and isinstance(named, str) and named.strip():
        experiment = _experiment(named, errors)
    if experiment is not None:
        body = {"unit": experiment.unit, **body}
    parsed = parse_flag(body, errors)
    if parsed is not None and experiment is not None and known is None:
        _check_experiment(parsed, experiment, errors)
    if errors or parsed is None:
        raise Invalid.fields(*errors)
    return parsed, experiment


def _experiment(name: str, errors: list[FieldError]) -> Experiment | None:
    rows = Experiment.objects.filter(key=name)
    with suppress(ValueError):
        rows |= Experiment.objects.filter(pk=UUID(name))
    found: Experiment | None = rows.first()
    if found is None:
        errors.append(FieldError("/experiment", "unknown_experiment", "There is no such experiment."))
    elif found.state == Experiment.State.ARCHIVED:
        errors.append(FieldError("/experiment", "archived", "This experiment is archived."))
        return None
    return found


def _check_experiment(flag: FlagInput, experiment: Experiment, errors: list[FieldError]) -> None:
    if flag.unit != experiment.unit:
        detail = f"Its units are of the type {experiment.unit}, those of the flag {flag.unit}."
        errors.append(FieldError("/unit", "other_unit", detail))
    wrong = []
    for variant in Variant.objects.filter(experiment=experiment).order_by("position"):
        value = variant.payload
        if flag.experiment_field:
            value = value.get(flag.experiment_field) if isinstance(value, dict) else None
        if not fits(flag.kind, value):
            wrong.append(variant.key)
    if wrong:
        where = "/experiment_field" if flag.experiment_field else "/experiment"
        detail = f"Is not {KIND_WORDS[flag.kind]} in the payload of {', '.join(wrong)}."
        errors.append(FieldError(where, "payload_type", detail))


def _check_key(key: str) -> None:
    if FeatureFlag.objects.filter(key=key).exists():
        raise _taken(key)
    if Experiment.objects.filter(key=key).exists():
        raise Conflict("key_taken", f"There is an experiment {key}, which is served as a flag by itself.")


def _taken(key: str) -> Conflict:
    return Conflict("key_taken", f"There is a flag {key} already.")


def _fill(flag: FeatureFlag, parsed: FlagInput, experiment: Experiment | None) -> None:
    flag.name = parsed.name
    flag.description = parsed.description
    flag.variants = parsed.variants
    flag.default_variant = parsed.default_variant
    flag.enabled = parsed.enabled
    flag.unit = parsed.unit
    flag.salt = parsed.salt
    flag.rules = parsed.rules
    flag.experiment = experiment
    flag.experiment_field = parsed.experiment_field
