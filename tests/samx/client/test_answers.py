"""What the client reads is what the service documents."""

import dataclasses
import inspect
from typing import Any

import pydantic
import pytest

from samx.client import AsyncClient, Client, answers
from service import schemas
from service.sorting import answers as sort_answers
from service.sorting import job

KINDS = [kind for _, kind in inspect.getmembers(answers, dataclasses.is_dataclass)]
ABOUT_TYPES = ("type", "anyOf", "items", "enum", "const", "$ref", "format", "additionalProperties")


def kept(schema: dict[str, Any]) -> dict[str, Any]:
    """Of a field's schema, what says its type."""
    found = {name: schema[name] for name in ABOUT_TYPES if name in schema}
    if "anyOf" in found:
        found["anyOf"] = [kept(one) for one in found["anyOf"]]
    if "items" in found:
        found["items"] = kept(found["items"])
    return found


def fields(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Types by field, for the type itself and all that it refers to."""
    nested = {name: one for name, one in schema.get("$defs", {}).items() if "properties" in one}
    by_type = {schema["title"]: schema, **nested}
    return {
        name: {field: kept(one) for field, one in found["properties"].items()}
        for name, found in by_type.items()
        if "properties" in found
    }


def of_service(name: str) -> type[pydantic.BaseModel]:
    (found,) = {getattr(module, name) for module in (schemas, sort_answers, job) if hasattr(module, name)}
    return found


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_fields_and_types_are_those_of_the_service(kind: type) -> None:
    ours = fields(pydantic.TypeAdapter(kind).json_schema(mode="serialization"))
    theirs = fields(of_service(kind.__name__).model_json_schema(mode="serialization"))
    assert ours
    assert ours == theirs


def test_every_answer_of_the_service_is_known() -> None:
    documented = {
        name
        for module in (schemas, sort_answers)
        for name, kind in vars(module).items()
        if isinstance(kind, type) and issubclass(kind, schemas.Answer)
    }
    assert documented - {kind.__name__ for kind in KINDS} == {"Answer", "SortOrder"}


def test_an_order_has_the_service_s_fields_and_defaults() -> None:
    given = {name: one.default for name, one in inspect.signature(Client.sort).parameters.items() if name != "self"}
    allowed = {name: one.default for name, one in sort_answers.SortOrder.model_fields.items()}
    assert given.keys() == allowed.keys()
    assert {name: given[name] for name in given if name not in ("source", "destination")} == {
        name: allowed[name] for name in allowed if name not in ("source", "destination")
    }


def test_both_clients_have_the_same_methods() -> None:
    def methods(client: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(method).parameters)
            for name, method in vars(client).items()
            if inspect.isfunction(method) and not name.startswith("_")
        }

    assert methods(Client) == methods(AsyncClient)
    assert {"classify", "wait_for_job"} <= methods(Client).keys()


def test_a_difference_would_be_found() -> None:
    ours = fields(pydantic.TypeAdapter(answers.Classification).json_schema(mode="serialization"))
    theirs = fields(schemas.Classification.model_json_schema(mode="serialization"))
    assert ours["Box"]["x"] == {"type": "integer"}
    theirs["Box"]["x"] = {"type": "number"}
    assert ours != theirs
