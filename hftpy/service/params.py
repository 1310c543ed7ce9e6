"""The parameters of a service: checked against its `params_type`, changed while it runs, told without secrets."""

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import inspect as types

from hftpy.common.secrets import redacted
from hftpy.errors import ConfigError
from hftpy.service.config import suggestion
from hftpy.service.status import in_json


def read_params(key: str, value: Mapping[str, Any], kind: type[msgspec.Struct] | None) -> Any:
    """The parameters as the service gets them: a `kind`, or a dict where it declares none.

    Raises
    ------
    ConfigError
        If a key is not known (with a suggestion), or a value is not as it must be, NaN and infinities among them; the
        message names the path.
    """
    check_finite(key, value)
    if kind is None:
        return dict(value)
    _check_keys(key, value, types.type_info(kind))
    return _converted(key, value, kind)


def _converted(key: str, value: Mapping[str, Any], kind: type[msgspec.Struct]) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(_with_path(key, str(error))) from error


def merge_params(key: str, current: Any, changes: Mapping[str, Any], kind: type[msgspec.Struct] | None) -> Any:
    """New parameters: the current ones with some of them changed. Structs in them are changed key by key too, anything
    else is replaced.

    Raises
    ------
    ConfigError
        As `read_params`. Without a `kind`: if a key is not among the current ones, or a value is of another JSON type.
    """
    if kind is not None:
        _check_keys(key, changes, types.type_info(kind))
        check_finite(key, changes)
        merged = _merged(msgspec.to_builtins(current), changes, types.type_info(kind))
        return _converted(key, merged, kind)
    _check_names(key, changes, current)
    check_finite(key, changes)
    for name, value in changes.items():
        old = current[name]
        if old is not None and _json_type(old) != _json_type(value):
            raise ConfigError(f"{key}.{name} must be of the type {_json_type(old)}, was {redacted(value, name)!r}")
    return {**current, **changes}


def told_params(params: Any) -> Any:
    """The parameters for a status file: JSON types, without what its name calls a secret. A default that is NaN or an
    infinity, which JSON has not, is told as text."""
    return redacted(in_json(msgspec.to_builtins(params, enc_hook=str)))


def check_finite(key: str, value: Any) -> None:
    """Refuse numbers that JSON does not have, so that what is told of the parameters stays JSON.

    Raises
    ------
    ConfigError
        If there is one; the message names the path.
    """
    if isinstance(value, Mapping):
        for name, entry in value.items():
            check_finite(f"{key}.{name}", entry)
    elif isinstance(value, list | tuple | set | frozenset):
        for index, entry in enumerate(value):
            check_finite(f"{key}[{index}]", entry)
    elif isinstance(value, Decimal | float) and not (
        value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)
    ):
        raise ConfigError(f"{key} must be a finite number, was {value}")


def _merged(old: Any, changes: Mapping[str, Any], kind: Any) -> dict[str, Any]:
    merged = dict(old)
    for name, value in changes.items():
        nested = _struct_of(_field(kind, name))
        is_struct = nested is not None and isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = _merged(merged[name], value, nested) if is_struct else value
    return merged


def _field(kind: Any, name: str) -> Any:
    return next((field.type for field in kind.fields if field.encode_name == name), None)


def _struct_of(kind: Any) -> Any:
    """The struct that a type is, or may be besides None."""
    if isinstance(kind, types.Metadata):
        return _struct_of(kind.type)
    if isinstance(kind, types.UnionType):
        found = [struct for struct in map(_struct_of, kind.types) if struct is not None]
        return found[0] if len(found) == 1 else None
    return kind if isinstance(kind, types.StructType) else None


def _check_keys(key: str, value: Any, kind: Any) -> None:
    """Look for unknown keys in everything that is a struct; msgspec itself would pass over them."""
    if isinstance(kind, types.Metadata):
        _check_keys(key, value, kind.type)
    elif isinstance(kind, types.ListType | types.VarTupleType) and isinstance(value, list | tuple):
        for index, entry in enumerate(value):
            _check_keys(f"{key}[{index}]", entry, kind.item_type)
    elif isinstance(kind, types.DictType) and isinstance(value, Mapping):
        for name, entry in value.items():
            _check_keys(f"{key}.{name}", entry, kind.value_type)
    elif (struct := _struct_of(kind)) is not None and isinstance(value, Mapping):
        tag = [struct.tag_field] if struct.tag_field else []
        _check_names(key, value, [*(field.encode_name for field in struct.fields), *tag])
        for name, entry in value.items():
            _check_keys(f"{key}.{name}", entry, _field(struct, name))


def _check_names(key: str, names: Iterable[str], known: Iterable[str]) -> None:
    known = list(known)
    for name in names:
        if name not in known:
            raise ConfigError(f"{key} has an unknown key {name!r}: {suggestion(str(name), known)}")


def _with_path(key: str, message: str) -> str:
    # msgspec's form: "Expected `float`, got `str` - at `$.spread`"
    text, found, path = message.rpartition(" - at `$")
    return f"{key}{path.rstrip('`')}: {text}" if found else f"{key}: {message}"


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    kinds = ((int | float, "number"), (str, "text"), (Mapping, "object"), (list | tuple, "array"))
    return next((name for kind, name in kinds if isinstance(value, kind)), type(value).__name__)
