"""How the OpenAPI 3.1 document is made from the views."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ComponentRegistry, ResolvedComponent
from drf_spectacular.utils import OpenApiParameter

from .idempotency import IdempotencyRule
from .permissions import ANY_PRINCIPAL, required_scopes
from .problems import CONTENT_TYPE

_TEXT: Final = {"type": "string"}

PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "A problem document (RFC 9457). `code` is stable; more members may follow.",
    "required": ["type", "title", "status", "detail", "instance", "code", "request_id"],
    "properties": {
        "type": {"const": "about:blank"},
        "title": {**_TEXT, "description": "The name of the status."},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {**_TEXT, "description": "A sentence for people."},
        "instance": {**_TEXT, "description": "The path that was asked for."},
        "code": {**_TEXT, "description": "What programs should look at.", "examples": ["missing_scope"]},
        "request_id": {**_TEXT, "description": "Also in the header X-Request-ID and in the log."},
        "errors": {
            "type": "array",
            "description": "Each bad field or parameter.",
            "items": {
                "type": "object",
                "required": ["code", "detail"],
                "properties": {
                    "pointer": {**_TEXT, "description": "A JSON pointer into the body; empty for all of it."},
                    "parameter": {**_TEXT, "description": "The name of a query parameter."},
                    "code": _TEXT,
                    "detail": _TEXT,
                },
            },
        },
    },
}

_DESCRIPTIONS: Final = {
    "400": "The request is malformed, or a field or parameter is wrong.",
    "401": "No valid API key and no admin session.",
    "403": "The scope is missing, or the CSRF check failed.",
    "404": "There is no such thing.",
    "409": "The present state does not allow it, or a request with this Idempotency-Key is in flight.",
    "413": "The body is too large, also after decompression.",
    "415": "Another content type, charset or encoding than is understood.",
    "422": "The Idempotency-Key came with another request before.",
    "default": "Any other refusal or failure.",
}


class ProblemSchema(AutoSchema):
    """An operation of ours: its scopes, its Idempotency-Key, and a problem document for every refusal."""

    def get_operation(
        self, path: str, path_regex: str, path_prefix: str, method: str, registry: ComponentRegistry
    ) -> dict[str, Any] | None:
        operation = super().get_operation(path, path_regex, path_prefix, method, registry)
        if operation is not None:
            operation["description"] = f"{operation.get('description', '')}\n\n{self._needs()}".strip()
            problem = ResolvedComponent(
                name="Problem", type=ResolvedComponent.SCHEMA, object="Problem", schema=PROBLEM
            )
            registry.register_on_missing(problem)
            statuses = ["400", "401", "403"]
            if "{" in path:
                statuses.append("404")
            if "requestBody" in operation:
                statuses += ["413", "415"]
            if self._idempotency():
                statuses += ["409", "422"]
            for status in [*sorted(statuses), "default"]:
                content = {CONTENT_TYPE: {"schema": problem.ref}}
                answer = {"description": _DESCRIPTIONS[status], "content": content}
                operation["responses"].setdefault(status, answer)
        return operation

    def _is_list_view(self, serializer: Any = None) -> bool:
        if self.method == "GET" and hasattr(self.view, "rows"):
            return True
        return bool(super()._is_list_view(serializer))

    def get_tags(self) -> list[str]:
        return super().get_tags() or ["start"]

    def _needs(self) -> str:
        scopes = required_scopes(self.view, self.method) or ()
        if ANY_PRINCIPAL in scopes:
            return "Needs any API key or admin session."
        return f"Needs the scope {' or '.join(f'`{scope}`' for scope in scopes)}."

    def get_override_parameters(self) -> list[Any]:
        parameters: list[Any] = [*super().get_override_parameters()]
        query = getattr(self.view, "query_class", None)
        if self.method == "GET" and query is not None and query().fields:
            parameters.append(query)
        if rule := self._idempotency():
            parameters.append(
                OpenApiParameter(
                    "Idempotency-Key",
                    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
                    OpenApiParameter.HEADER,
                    required=rule.required,
                    description="With the same key the same request is carried out once in 24 hours; "
                    "its answer is repeated (with `Idempotent-Replayed: true`).",
                )
            )
        return parameters

    def _idempotency(self) -> IdempotencyRule | None:
        handler = getattr(self.view, self.method.lower(), None)
        return getattr(handler, "idempotency", None)


class ApiKeyScheme(OpenApiAuthenticationExtension):
    """The two headers an API key can come in."""

    target_class = "agent_factory_site.common.api.authentication.ApiKeyAuthentication"
    name = ["ApiKeyBearer", "ApiKeyHeader"]

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[Any]]]:
        return [{name: []} for name in self.name]

    def get_security_definition(self, auto_schema: AutoSchema) -> list[dict[str, Any]]:
        description = "An API key, `af_…`: `manage.py create_api_key` or `POST /api/v1/common/api-keys`."
        return [
            {"type": "http", "scheme": "bearer", "description": description},
            {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": description},
        ]


class AdminSessionScheme(OpenApiAuthenticationExtension):
    """The cookie of a session in the admin."""

    target_class = "agent_factory_site.common.api.authentication.AdminSessionAuthentication"
    name = "AdminSession"
    priority = 1

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": "sessionid",
            "description": "A member of staff signed in to the admin; changes need X-CSRFToken too.",
        }


class MoneyFieldScheme(OpenApiSerializerFieldExtension):
    """Money is a string."""

    target_class = "agent_factory_site.common.api.fields.MoneyField"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: str) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^-?(0|[1-9]\d*)(\.\d{1,9})?$", "examples": ["12.50"]}
