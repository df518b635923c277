"""Decisions as tensors, by statistics that were fit on the training part and travel with the model."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.features.columns import UNKNOWN, FeatureGroup, Features, Vocabulary, take, text_column
from models.features.content import ContentSpace, Encoders, ProductContent
from models.features.decisions import (
    CONTEXT_PREFIXES,
    PAIR_PREFIXES,
    PRODUCT_PREFIXES,
    USER_PREFIXES,
    Decisions,
    microseconds,
)
from models.features.event_counts import event_counts


class Events(NamedTuple):
    """All events in one place (E,); histories point into it."""

    kind: Tensor
    product: Tensor
    category: Tensor
    dwell: Tensor  # log(1 + seconds), 0 where unknown
    occurred_at: Tensor  # microseconds


class Histories(NamedTuple):
    """What is known of a user at a time (H,); decisions of one visit share one."""

    start: Tensor
    end: Tensor
    decided_at: Tensor  # microseconds
    masked: Tensor  # bool: nothing personal may be read
    features: Features


class Products(NamedTuple):
    """Products as they stood at a time (P,)."""

    product: Tensor
    category: Tensor
    brand: Tensor
    features: Features
    text: Tensor  # (P, K) places of their descriptions, K = 0 where texts are not read
    image: Tensor  # (P, K) places of their pictures, likewise


class Layout(NamedTuple):
    """What a batch takes of encoded decisions: some rows (N,), histories (B,) and products (Q,).

    `history` and `product` (N,) point into `histories` and `products`. The longest history has `longest` events.
    """

    rows: Tensor
    histories: Tensor
    history: Tensor
    products: Tensor
    product: Tensor
    longest: int


class EncodedDecisions(NamedTuple):
    """R decisions over H histories and P products, each encoded once however many decisions share it.

    `history` and `product` (R,) point into `histories` and `products`; `context` and `pair` are per decision. The
    longest history has `longest` events.
    """

    events: Events
    histories: Histories
    products: Products
    context: Features
    pair: Features
    history: Tensor
    product: Tensor
    longest: int

    def batch(self, layout: Layout) -> "EncodedDecisions":
        """Return some of the rows, over some of the histories and products."""
        return EncodedDecisions(
            self.events,
            take(self.histories, layout.histories),
            take(self.products, layout.products),
            take(self.context, layout.rows),
            take(self.pair, layout.rows),
            layout.history,
            layout.product,
            layout.longest,
        )

    def mask(self, masked: Tensor) -> "EncodedDecisions":
        """Return the same decisions with the histories of `masked` (H,) hidden as well."""
        return self._replace(histories=self.histories._replace(masked=self.histories.masked | masked))

    @property
    def has_content(self) -> bool:
        """Whether products have texts or pictures that are read."""
        return self.products.text.shape[1] + self.products.image.shape[1] > 0

    def mask_products(self, masked: Tensor) -> "EncodedDecisions":
        """Return the same decisions with the products of `masked` (P,) as if never seen before.

        What a network then says of a product it can only have from the product's text, image and attributes.
        """
        product = self.products.product.masked_fill(masked, UNKNOWN)
        return self._replace(products=self.products._replace(product=product))


@dataclass(frozen=True)
class Encoding:
    """Vocabularies and feature statistics: fit once, stored with the model, the only way to its tensors."""

    kinds: Vocabulary
    product_ids: Vocabulary
    categories: Vocabulary
    brands: Vocabulary
    user: FeatureGroup
    pair: FeatureGroup
    product: FeatureGroup
    context: FeatureGroup
    text: ContentSpace | None = None
    image: ContentSpace | None = None

    @classmethod
    def fit(cls, training: Decisions, minimum_count: int = 20, content_directions: int = 32) -> Self:
        """Learns from the training decisions, their products and the events they had seen, and from nothing else."""
        seen = training.events[_seen(training)]

        def vocabulary(name: str) -> Vocabulary:
            columns = [part[name] for part in (training.frame, seen) if name in part]
            return Vocabulary.fit(pd.concat(columns) if columns else pd.Series(dtype="str"), minimum_count)

        kinds, products, categories = Vocabulary.fit(seen["kind"], minimum_count), *map(vocabulary, _SEEN_AND_OFFERED)
        events = _encode_events(training.events, kinds, products, categories)
        known = replace(training, frame=_with_made_features(training, events, kinds, categories))
        consenting = known.select(known.consent)

        def group(rows: Decisions, prefixes: tuple[str, ...], *extra: str) -> FeatureGroup:
            return FeatureGroup.fit(rows.frame, [*extra, *known.features(prefixes)], minimum_count)

        return cls(
            kinds,
            products,
            categories,
            Vocabulary.fit(known.frame["brand"], minimum_count) if "brand" in known.frame else Vocabulary(()),
            group(consenting, USER_PREFIXES),
            group(consenting, PAIR_PREFIXES),
            group(known, PRODUCT_PREFIXES, _LOG_PRICE),
            group(known, CONTEXT_PREFIXES),
            *_content_spaces(training, content_directions),
        )

    def encode_events(self, events: pd.DataFrame) -> Events:
        """Tensors of all events; encode them once when many blocks of decisions share them."""
        return _encode_events(events, self.kinds, self.product_ids, self.categories)

    def encode(self, decisions: Decisions, *, personal: bool = True, events: Events | None = None) -> EncodedDecisions:
        """Tensors of the decisions; without `personal`, and without consent, no personal value enters.

        `events` are those of `encode_events`, in main memory.
        """
        masked = ~decisions.consent if personal else np.ones(len(decisions), dtype=bool)
        events = events or self.encode_events(decisions.events)
        frame = _with_made_features(decisions, events, self.kinds, self.categories)
        histories, history = self._histories(decisions, frame, masked, one=not personal)
        products, product = self._products(decisions, frame)
        return EncodedDecisions(
            events,
            histories,
            products,
            self.context.encode(frame),
            self.pair.encode(frame, masked),
            history,
            product,
            int((histories.end - histories.start).max()) if len(histories.end) else 0,
        )

    def flat(self, decisions: Decisions) -> pd.DataFrame:
        """Return the same knowledge as one plain table for linear models and trees (rows, features).

        Numbers are places from 0 to 1, NaN where missing or without consent; texts are vocabulary indices, named
        with the suffix `_code`. The order of a user's events is what a plain table cannot hold.
        """
        events, hidden = self.encode_events(decisions.events), ~decisions.consent
        frame = _with_made_features(decisions, events, self.kinds, self.categories)
        table: dict[str, NDArray[Any]] = {}
        for name, vocabulary in self._identities.items():
            table[f"{name}_code"] = vocabulary.encode(text_column(frame, name))
        for group, is_personal in self._groups:
            numbers, texts = group.numbers(frame), group.texts(frame)
            if is_personal:
                numbers[hidden], texts[hidden] = np.nan, 0
            table |= dict(zip(group.numeric, numbers.T, strict=True))
            table |= dict(zip((f"{name}_code" for name in group.text), texts.T, strict=True))
        return pd.DataFrame(table)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        vocabularies = {name: list(getattr(self, name).values) for name in _VOCABULARIES}
        groups = {name: getattr(self, name).to_dict() for name in _GROUPS}
        return vocabularies | groups | {name: space.encoder for name, space in self.spaces.items()}

    def tensors(self) -> dict[str, Tensor]:
        """Return what `to_dict` leaves out, because it is too much for JSON."""
        return {
            f"{name}.{part}": torch.tensor(getattr(space, part))
            for name, space in self.spaces.items()
            for part in ("mean", "directions")
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any], tensors: Mapping[str, Tensor] = MappingProxyType({})) -> Self:
        """Return the encoding that `to_dict` and `tensors` described."""
        parts: dict[str, Any] = {name: Vocabulary(tuple(state[name])) for name in _VOCABULARIES}
        parts |= {name: FeatureGroup.from_dict(state[name]) for name in _GROUPS}
        for name in _SPACES & state.keys():
            mean, directions = (tensors[f"{name}.{part}"].numpy() for part in ("mean", "directions"))
            parts[name] = ContentSpace(state[name], mean, directions)
        return cls(**parts)

    @property
    def encoders(self) -> Encoders:
        """The encoders whose vectors of products it reads."""
        return Encoders(**{name: space.encoder for name, space in self.spaces.items()})

    @property
    def spaces(self) -> dict[str, ContentSpace]:
        """The spaces of what is read of products: `text`, `image`, both or neither."""
        spaces = {"text": self.text, "image": self.image}
        return {name: space for name, space in spaces.items() if space is not None}

    @property
    def _identities(self) -> dict[str, Vocabulary]:
        return {"product_id": self.product_ids, "category": self.categories, "brand": self.brands}

    @property
    def _groups(self) -> list[tuple[FeatureGroup, bool]]:
        return [(self.user, True), (self.pair, True), (self.product, False), (self.context, False)]

    def _histories(
        self, decisions: Decisions, frame: pd.DataFrame, masked: NDArray[np.bool_], *, one: bool
    ) -> tuple[Histories, Tensor]:
        features = self.user.encode(frame, masked)
        start, end = (np.where(masked, 0, bound) for bound in decisions.events_window)
        decided_at = decisions.decided_at
        # Hidden users look alike, yet stay apart here unless all are hidden, so that training batches mix them.
        user = np.zeros(len(frame), "int64") if one else pd.factorize(frame["user_id"])[0].astype("int64")
        visit = np.zeros(len(frame), "int64") if one else decided_at
        history, first = _distinct([user, visit, start, end], features)
        first_event, last_event, time, hidden = map(torch.from_numpy, (start, end, decided_at, masked))
        return take(Histories(first_event, last_event, time, hidden, features), first), history

    def _products(self, decisions: Decisions, frame: pd.DataFrame) -> tuple[Products, Tensor]:
        features = self.product.encode(frame)
        codes = [text.encode(text_column(frame, name)) for name, text in self._identities.items()]
        content = decisions.content if self.spaces else None
        row = content.rows(frame["product_id"]) if content else np.full(len(frame), -1)
        product, first = _distinct([*codes, row], features)
        item, category, brand = (torch.from_numpy(code)[first] for code in codes)
        text, image = (self._places(name, content, row[first.numpy()]) for name in ("text", "image"))
        return Products(item, category, brand, take(features, first), text, image), product

    def _places(self, name: str, content: ProductContent | None, row: NDArray[np.int64]) -> Tensor:
        """Return places (rows, K) in the space of `name`, zero where a product has nothing there."""
        space = self.spaces.get(name)
        if space is None:
            return torch.zeros(len(row), 0)
        places = torch.zeros(len(row), space.width)
        if content is not None:
            made_by = getattr(content.encoders, name)
            places[row >= 0] = torch.from_numpy(space.encode(getattr(content, name)[row[row >= 0]], made_by))
        return places


_LOG_PRICE = "log_list_price"
_VOCABULARIES = ("kinds", "product_ids", "categories", "brands")
_GROUPS = ("user", "pair", "product", "context")
_SPACES = {"text", "image"}
_SEEN_AND_OFFERED = ("product_id", "category")


def _content_spaces(training: Decisions, directions: int) -> tuple[ContentSpace | None, ContentSpace | None]:
    """Learn from each training product once, however often it was offered."""
    content = training.content
    if content is None:
        return None, None
    row = np.unique(content.rows(training.frame["product_id"]))
    row, made_by = row[row >= 0], content.encoders
    return (
        ContentSpace.fit(content.text[row], directions, made_by.text),
        ContentSpace.fit(content.image[row], directions, made_by.image),
    )


def _encode_events(events: pd.DataFrame, kinds: Vocabulary, product_ids: Vocabulary, categories: Vocabulary) -> Events:
    dwell = events["dwell_seconds"].to_numpy("float64", na_value=np.nan)
    return Events(
        torch.from_numpy(kinds.encode(events["kind"])),
        torch.from_numpy(product_ids.encode(events["product_id"])),
        torch.from_numpy(categories.encode(events["category"])),
        torch.from_numpy(np.nan_to_num(np.log1p(np.maximum(dwell, 0.0))).astype("float32")),
        torch.from_numpy(microseconds(events["occurred_at"])),
    )


def _with_made_features(
    decisions: Decisions, events: Events, kinds: Vocabulary, categories: Vocabulary
) -> pd.DataFrame:
    """The decisions' frame with what is not in the tables but follows from them."""
    kind, category, occurred_at = (tensor.numpy() for tensor in (events.kind, events.category, events.occurred_at))
    counts = event_counts(decisions, kind, category, occurred_at, kinds, categories)
    log_price = np.log(decisions.frame["list_price"].to_numpy("float64"))
    return pd.concat([decisions.frame.assign(**{_LOG_PRICE: log_price}), counts], axis=1)


def _seen(decisions: Decisions) -> NDArray[np.bool_]:
    """Events inside the window of at least one consenting decision (E,)."""
    start, end = (bound[decisions.consent] for bound in decisions.events_window)
    edges = np.zeros(len(decisions.events) + 1, "int64")
    np.add.at(edges, start, 1)
    np.add.at(edges, end, -1)
    return np.cumsum(edges)[:-1] > 0


def _distinct(keys: list[NDArray[np.int64]], features: Features) -> tuple[Tensor, Tensor]:
    """Return which distinct row each row is (R,), in order of appearance, and the first row of each (D,)."""
    table = np.column_stack([*keys, features.numeric.numpy().view("int32"), features.codes.numpy()])
    rows = table.view(np.dtype((np.void, table.strides[0]))).ravel()  # each row's bytes as one value
    _, first, index = np.unique(rows, return_index=True, return_inverse=True)
    appearance = np.argsort(first)
    place = np.empty(len(first), "int64")
    place[appearance] = np.arange(len(first))
    return torch.from_numpy(place[index]), torch.from_numpy(first[appearance])
