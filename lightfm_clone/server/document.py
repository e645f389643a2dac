"""The OpenAPI document, made of the table of calls."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from lightfm_clone._version import __version__
from lightfm_clone.server.calls import CALLS, Call, Failed

_Mode = Literal["validation", "serialization"]
_REFUSALS = {
    "400": "The body is not JSON.",
    "401": "The token is missing, or another.",
    "404": "A user or an item is not known.",
    "408": "The body did not arrive in time.",
    "413": "The body is too large.",
    "421": "The server is not called by that name.",
    "422": "The body asks for what cannot be had.",
    "500": "Something is wrong with the server.",
    "503": "Too many requests wait; come again.",
    "504": "The answer took too long.",
}


def document(limits: Any) -> dict[str, Any]:
    """The document of a server with these `Limits`."""
    models: list[tuple[type[BaseModel], _Mode]] = [(Failed, "serialization")]
    for call in CALLS:
        models.append((call.answer, "serialization"))
        if call.asked:
            models.append((call.asked, "validation"))
    names, described = models_json_schema(models, ref_template="#/components/schemas/{model}")
    schemas = described["$defs"]
    for schema in schemas.values():
        properties = schema.get("properties", {})
        if "k" in properties:
            k = properties["k"]
            k["maximum"], k["default"] = limits.max_k, min(k["default"], limits.max_k)
        if "people" in properties and properties["people"]["type"] == "array":
            properties["people"]["maxItems"] = limits.max_people
    failed = _json(names[Failed, "serialization"])

    def of(call: Call) -> dict[str, Any]:
        responses = {"200": {"description": "Done.", **_json(names[call.answer, "serialization"])}}
        for status, said in _REFUSALS.items():
            responses[status] = {"description": said, **failed}
        told: dict[str, Any] = {
            "operationId": call.path.rpartition("/")[2],
            "summary": call.summary,
            "responses": responses,
        }
        if call.asked is None:
            return {"get": told}
        asked = _json(names[call.asked, "validation"])
        told["description"] = call.asked.__doc__
        return {"post": {**told, "requestBody": {"required": True, **asked}}}

    components: dict[str, Any] = {"schemas": schemas}
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "Lists of a recommender", "version": __version__},
        "servers": [{"url": "."}],
        "paths": {call.path: of(call) for call in CALLS},
        "components": components,
    }
    if limits.token is not None:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"token": []}]
    return found


def _json(schema: Any) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}
