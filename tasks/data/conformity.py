"""Frames as a source gives them, made to conform to the contract or refused with the rows at fault."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tasks.arrow import arrow_array
from tasks.data.contract import ATTRIBUTES, Column, ContractError, Table

ID_LENGTH = 256  # characters: a longer key does not fit an index of the database
LARGEST_EXACT_INTEGER = 2.0**53  # above it neighbouring ids given as floating point numbers become one
IMAGE_BEGINNINGS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
BOOLEAN_TEXTS = pa.array(["false", "0", "0.0", "true", "1", "1.0"], pa.large_string())

NUMBER = r"(?i)^[+-]?((\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?|inf(inity)?|nan)$"
DATE = r"^\d{4}-\d\d-\d\d"
CLOCK = r"[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?"
OFFSET = r" ?([Zz]|[+-]\d\d(:?\d\d)?)$"
NAIVE_TIME = "a time without its offset from UTC; write 2024-05-31T18:30:00+00:00, or store a timestamp with time zone"


def conform(frame: pd.DataFrame, table: Table, origin: str, first_row: int = 1) -> pd.DataFrame:
    """Return the rows with exactly the columns and types in which the platform keeps this table.

    Text and ids become str, 0/1 and booleans ``boolean``, numbers float64, times datetime64[us, UTC],
    images bytes. The open columns become one JSON object a row in ``attributes``, without the empty ones,
    null when all are. An id given as a number becomes text if it is whole (7 and 7.0 are "7").

    ``origin`` names the file or table in messages, ``first_row`` numbers the frame's first row in it.

    Raises:
        ContractError: a column is missing, unlisted or twice there; a value is missing or of the wrong type.
    """
    given = [str(name) for name in frame.columns]
    _check_columns(given, table, origin)
    series = {name: frame.iloc[:, place] for place, name in enumerate(given)}
    columns = {}
    for column in table.columns:
        place = _Place(origin, column.name, first_row)
        if column.name in series:
            columns[column.name] = _parsed(_arrow(series[column.name], place), column, place)
        else:
            columns[column.name] = pa.nulls(len(frame), TYPES[column.kind])
    if table.prefixes:
        opened = [_json_members(series[name], _Place(origin, name, first_row)) for name in given if table.is_open(name)]
        columns[ATTRIBUTES] = _json_objects(opened, len(frame))
    conforming: pd.DataFrame = pa.table(columns).to_pandas(types_mapper={pa.bool_(): pd.BooleanDtype()}.get)
    return conforming


@dataclass(frozen=True)
class _Place:
    """Where values stand, to name it when they are refused."""

    origin: str
    column: str
    first_row: int

    def refuse(self, wrong: Any, values: Any, problem: str) -> None:
        """Raise where any value is wrong; ``{value}`` in the problem becomes the first of them."""
        found = np.flatnonzero(np.asarray(pc.fill_null(pa.array(wrong), False)))
        if len(found):
            first = values[int(found[0])]
            first = first.as_py() if isinstance(first, pa.Scalar) else first
            shown = repr(first) if isinstance(first, str) else str(first)
            shown = shown if len(shown) <= 60 else f"{shown[:60]}..."
            raise self.error(problem.replace("{value}", shown), (found + self.first_row).tolist())

    def error(self, problem: str, rows: Sequence[int] = ()) -> ContractError:
        return ContractError(self.origin, problem, self.column, rows)


def _check_columns(given: list[str], table: Table, origin: str) -> None:
    twice = sorted({name for name in given if given.count(name) > 1})
    if twice:
        raise ContractError(origin, "the column is there more than once; keep one", column=repr(twice[0]))
    for column in table.columns:
        if column.required and column.name not in given:
            found = ", ".join(map(repr, given[:20])) or "none"
            raise ContractError(origin, f"the required column is missing; columns found: {found}", column.name)
    listed = {column.name for column in table.columns}
    strange = [name for name in given if name not in listed and (not table.is_open(name) or "\0" in name)]
    if strange:
        welcome = f", or begin its name with {' or '.join(table.prefixes)}" if table.prefixes else ""
        raise ContractError(
            origin,
            f"not a column of {table.name}; known are {', '.join(sorted(listed))}. Leave it out{welcome}",
            ", ".join(map(repr, strange)),
        )


def _arrow(series: pd.Series, place: _Place) -> pa.Array:
    """The values as one Arrow array of a plain type, empty values as null."""
    try:
        array = arrow_array(series)
    except (
        pa.ArrowInvalid,
        pa.ArrowTypeError,
        pa.ArrowNotImplementedError,
        OverflowError,
        UnicodeError,
    ) as error:
        kinds = series.map(lambda value: None if pd.api.types.is_scalar(value) and pd.isna(value) else type(value))
        place.refuse(
            kinds.notna() & (kinds != kinds.dropna().iloc[0]),
            series.array,
            "{value} is of another type than the values above it",
        )
        raise place.error(f"the values cannot be read: {error}") from error
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if series.dtype == object and pa.types.is_timestamp(
        array.type
    ):  # Arrow takes a naive time among aware ones for UTC
        naive = series.map(lambda value: isinstance(value, datetime) and value.tzinfo is None)
        place.refuse(naive.to_numpy(), series.array, "{value} is " + NAIVE_TIME)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_string(array.type) or pa.types.is_string_view(array.type):
        array = array.cast(pa.large_string())
    return array


def _parsed(values: pa.Array, column: Column, place: _Place) -> pa.Array:
    empty = values.null_count == len(values)  # its type then is chance
    parsed = pa.nulls(len(values), TYPES[column.kind]) if empty else PARSERS[column.kind](values, place)
    if column.required:
        place.refuse(pc.is_null(parsed), parsed, "a value is required here and there is none")
    return parsed


def _text(values: pa.Array, place: _Place) -> pa.Array:
    if pa.types.is_large_string(values.type):
        texts = values
    elif _is_number(values.type):
        texts = _whole_number_text(values, place)
    else:
        raise place.error(f"expected text, found {values.type}", _rows(values, place))
    place.refuse(
        pc.match_substring(texts, "\0"),
        texts,
        "{value} holds the NUL character, which a database cannot keep",
    )
    if place.column.endswith("_id"):
        length = pc.utf8_length(texts)
        wrong = pc.or_(pc.equal(length, 0), pc.greater(length, ID_LENGTH))
        place.refuse(wrong, texts, f"an id has 1 to {ID_LENGTH} characters, found {{value}}")
    return texts


def _whole_number_text(values: pa.Array, place: _Place) -> pa.Array:
    if pa.types.is_integer(values.type):
        return values.cast(pa.large_string())
    if pa.types.is_decimal(values.type):
        place.refuse(pc.not_equal(pc.floor(values), values), values, "expected text or a whole number, found {value}")
        return values.cast(pa.decimal128(38, 0)).cast(pa.large_string())
    whole = pc.and_(pc.equal(pc.floor(values), values), pc.less(pc.abs(values), LARGEST_EXACT_INTEGER))
    place.refuse(pc.invert(whole), values, "expected text or a whole number below 2^53, found {value}")
    return values.cast(pa.int64()).cast(pa.large_string())


def _number(values: pa.Array, place: _Place) -> pa.Array:
    if pa.types.is_large_string(values.type):
        wrong = pc.invert(pc.match_substring_regex(values, NUMBER))
        place.refuse(wrong, values, "expected a number, found {value}; write 1234.50, with a point and no other sign")
    elif not _is_number(values.type):
        raise place.error(f"expected a number, found {values.type}", _rows(values, place))
    numbers = values.cast(pa.float64(), safe=False)
    place.refuse(pc.is_inf(numbers), values, "expected a finite number, found {value}")
    return pc.if_else(pc.is_nan(numbers), None, numbers)


def _boolean(values: pa.Array, place: _Place) -> pa.Array:
    if pa.types.is_boolean(values.type):
        return values
    if pa.types.is_large_string(values.type):
        code = pc.index_in(pc.utf8_lower(values), BOOLEAN_TEXTS)
        place.refuse(pc.and_(pc.is_valid(values), pc.is_null(code)), values, "expected 0 or 1, found {value}")
        return pc.greater_equal(code, 3)
    if not _is_number(values.type):
        raise place.error(f"expected 0 or 1, found {values.type}", _rows(values, place))
    numbers = values.cast(pa.float64(), safe=False)
    place.refuse(pc.invert(pc.is_in(numbers, pa.array([0.0, 1.0, None]))), values, "expected 0 or 1, found {value}")
    return pc.equal(numbers, 1.0)


def _time(values: pa.Array, place: _Place) -> pa.Array:
    if pa.types.is_large_string(values.type):
        values = _time_from_text(values, place)
    elif pa.types.is_date(values.type):
        raise place.error(f"found dates alone, which is {NAIVE_TIME}", _rows(values, place))
    elif not pa.types.is_timestamp(values.type):
        raise place.error(f"expected a time, found {values.type}", _rows(values, place))
    elif values.type.tz is None:
        place.refuse(pc.is_valid(values), values, "{value} is " + NAIVE_TIME)
    utc = values.cast(pa.timestamp(values.type.unit, tz="UTC"))
    outside = pc.or_(pc.less(pc.year(utc), 1), pc.greater(pc.year(utc), 9999))
    place.refuse(outside, utc.cast(pa.int64()), "a time outside the years 1 to 9999")
    return utc.cast(TYPES["time"], safe=False)


def _time_from_text(texts: pa.Array, place: _Place) -> pa.Array:
    dated, timed = (pc.match_substring_regex(texts, start) for start in (DATE + "$", DATE + CLOCK + "$"))
    place.refuse(dated, texts, "{value} is a date alone, which is " + NAIVE_TIME)
    place.refuse(timed, texts, "{value} is " + NAIVE_TIME)
    shaped = pc.match_substring_regex(texts, DATE + CLOCK + OFFSET)
    place.refuse(pc.invert(shaped), texts, "expected a time such as 2024-05-31T18:30:00+00:00, found {value}")
    times = pd.to_datetime(texts.to_pandas(), utc=True, format="ISO8601", errors="coerce")
    place.refuse(times.isna().to_numpy() & np.asarray(texts.is_valid()), texts, "{value} is no time of the calendar")
    return arrow_array(times.dt.as_unit("us"))


def _image(values: pa.Array, place: _Place) -> pa.Array:
    if not (pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type)):
        raise place.error(f"expected the bytes of a PNG or JPEG, found {values.type}", _rows(values, place))
    images = values.cast(pa.large_binary())
    known = pc.or_(*(pc.starts_with(images, beginning) for beginning in IMAGE_BEGINNINGS))
    place.refuse(pc.invert(known), pc.binary_slice(images, 0, 8), "not a PNG or JPEG image: it begins with {value}")
    return images


def _rows(values: pa.Array, place: _Place) -> list[int]:
    return (np.flatnonzero(np.asarray(values.is_valid())) + place.first_row).tolist()


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _json_members(series: pd.Series, place: _Place) -> pa.Array:
    """One open column as JSON members `, "name": value`; null where the value is."""
    values = _arrow(series, place)
    if values.null_count == len(values):
        return pa.nulls(len(values), pa.large_string())
    if pa.types.is_boolean(values.type):
        texts = pc.if_else(values, "true", "false").cast(pa.large_string())
    elif pa.types.is_integer(values.type):
        texts = values.cast(pa.large_string())
    elif _is_number(values.type):
        texts = _number(values, place).cast(pa.large_string())
    elif pa.types.is_large_string(values.type):
        encoded = _text(values, place).dictionary_encode()
        words = pa.array(
            [json.dumps(word, ensure_ascii=False) for word in encoded.dictionary.to_pylist()],
            pa.large_string(),
        )
        texts = words.take(encoded.indices)
    else:
        raise place.error(f"expected numbers, booleans or text, found {values.type}", _rows(values, place))
    return _joined(", " + json.dumps(place.column) + ": ", texts)


def _json_objects(members: list[pa.Array], rows: int) -> pa.Array:
    if not members:
        return pa.nulls(rows, pa.large_string())
    joined = _joined(*(member.fill_null("") for member in members))
    return pc.if_else(pc.equal(joined, ""), None, _joined("{", pc.utf8_slice_codeunits(joined, 2), "}"))


def _joined(*parts: pa.Array | str) -> pa.Array:
    texts = [pa.scalar(part, pa.large_string()) if isinstance(part, str) else part for part in (*parts, "")]
    return pc.binary_join_element_wise(*texts)


TYPES = {
    "text": pa.large_string(),
    "boolean": pa.bool_(),
    "number": pa.float64(),
    "time": pa.timestamp("us", tz="UTC"),
    "image": pa.large_binary(),
}
PARSERS = {"text": _text, "boolean": _boolean, "number": _number, "time": _time, "image": _image}
