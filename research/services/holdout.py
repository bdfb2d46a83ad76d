"""The holdout: units that no experiment takes in."""

from __future__ import annotations

from typing import Final

from django.db import transaction

from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import FieldError, Invalid
from research.domain.definition_input import MAX_SALT, parse_share
from research.domain.values import text_error
from research.models import Holdout

SALT: Final = "holdout"


def set_holdout(*, share: float, salt: str | None = None) -> Holdout:
    """Keep ``share`` of all units out of every experiment from now on; units already exposed stay in theirs.

    Another ``salt`` draws other units. A larger share under the same salt keeps those that were held out.
    """
    errors: list[FieldError] = []
    wanted = parse_share(share, "/share", errors)
    if salt is not None and (fault := text_error("/salt", salt, MAX_SALT)):
        errors.append(fault)
    if errors:
        raise Invalid.fields(*errors)

    def store() -> Holdout:
        with transaction.atomic():
            row = Holdout.objects.select_for_update().first() or Holdout(share=0.0, salt=SALT)
            row.share = wanted
            row.salt = salt or row.salt
            row.save()
        return row

    return retry_conflicts(store)
