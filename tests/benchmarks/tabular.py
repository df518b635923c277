"""A practitioner's plain table of the same decisions, for methods that read neither sequences, texts nor pictures.

Behaviour becomes counts, dwell and shares, over all that is known and over the last day; texts and pictures become
their leading principal components; texts of few values one column a value. Without consent, personal columns are
missing, as they are for the demand model.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from models.features.columns import is_number, number_column, text_column
from models.features.decisions import PERSONAL_PREFIXES, SHARED_PREFIXES, Decisions, microseconds

Array = NDArray[np.float64]

COMPONENTS = 8  # of a text or picture
FEWEST_ROWS = 20  # of a text's value that gets a column, and of the prior of a product's purchase rate
_DAY = 86_400_000_000
_BEHAVIOUR = "behaviour_"
PRODUCT_RATE = "product_rate"


@dataclass(frozen=True)
class TabularView:
    """What the table's columns are, learnt from the logged offers."""

    numbers: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]
    kinds: tuple[str, ...]
    products: tuple[str, ...]
    product_rates: dict[str, float]
    average_rate: float
    content: pd.DataFrame  # components by product id

    @classmethod
    def fit(cls, learning: Decisions) -> Self:
        """Choose the columns and learn the products' purchase rates, shrunk to the average."""
        frame = learning.frame
        names = learning.features(PERSONAL_PREFIXES + SHARED_PREFIXES)
        numbers = [name for name in names if is_number(frame[name])]
        texts = [*(name for name in names if name not in numbers), "category", "brand"]
        rate = float(learning.purchased.mean())
        by_product = frame.groupby("product_id")["purchased"].agg(["sum", "count"])
        rates = (by_product["sum"] + FEWEST_ROWS * rate) / (by_product["count"] + FEWEST_ROWS)
        return cls(
            tuple(numbers),
            {name: _common_values(text_column(frame, name)) for name in texts},
            tuple(sorted(learning.events["kind"].dropna().unique())),
            tuple(sorted(frame["product_id"].unique())),
            rates.to_dict(),
            rate,
            _components(learning),
        )

    def table(self, decisions: Decisions) -> pd.DataFrame:
        """Return the columns (rows, columns) as float64, NaN where unknown; the price is not among them."""
        frame = decisions.frame
        columns = {name: number_column(frame, name) for name in self.numbers}
        columns["log_list_price"] = np.log(decisions.list_price)
        columns["quantity"] = number_column(frame, "quantity") if "quantity" in frame else np.ones(len(frame))
        columns[PRODUCT_RATE] = frame["product_id"].map(self.product_rates).fillna(self.average_rate).to_numpy()
        for name, levels in self.levels.items():
            values = text_column(frame, name)
            columns |= {f"{name}={level}": (values == level).to_numpy("float64") for level in levels}
        columns |= behaviour_summary(decisions, self.kinds)
        table = pd.DataFrame(columns)
        personal = [name for name in table if name.startswith((*PERSONAL_PREFIXES, _BEHAVIOUR))]
        table.loc[~decisions.consent, personal] = np.nan
        components = self.content.reindex(frame["product_id"]).reset_index(drop=True)
        return pd.concat([table, components], axis=1)

    def product_columns(self, decisions: Decisions) -> Array:
        """Return one column a product (rows, products), for methods that cannot split on its rate."""
        product = pd.Index(self.products).get_indexer(pd.Index(decisions.frame["product_id"]))
        return np.asarray(product[:, None] == np.arange(len(self.products)), dtype=np.float64)


@dataclass(frozen=True)
class Tabular:
    """Logged offers and requests as tables (rows, columns), as they are and filled in and scaled.

    `responsive` names the columns by which a practitioner lets the response to price differ.
    """

    view: TabularView
    learning: pd.DataFrame
    requests: pd.DataFrame
    scaled_learning: pd.DataFrame
    scaled_requests: pd.DataFrame

    @classmethod
    def of(cls, learning: Decisions, requests: Decisions) -> Self:
        """Return both tables, by what the logged offers teach."""
        view = TabularView.fit(learning)
        known, asked = view.table(learning), view.table(requests)
        scale = _scale().fit(known)
        return cls(view, known, asked, _scaled(scale, known), _scaled(scale, asked))

    @property
    def responsive(self) -> list[str]:
        """User attributes, activity, behaviour and the list price."""
        prefixes = ("user_attr_", "activity_", _BEHAVIOUR, "log_list_price", "quantity")
        return [name for name in self.learning if name.startswith(prefixes) and self.learning[name].nunique() > 1]


def behaviour_summary(decisions: Decisions, kinds: tuple[str, ...]) -> dict[str, Array]:
    """Return counts by kind, dwell, and the share of the offered category, ever and in the last day (rows,) each."""
    start, end = decisions.events_window
    recent = _recent_start(decisions)
    events = decisions.events
    columns: dict[str, Array] = {}
    for since, first in (("ever", start), ("day", recent)):
        seen = np.maximum(end - first, 1)
        for kind in kinds:
            count = _window_sum((events["kind"] == kind).to_numpy("float64"), first, end)
            columns[f"{_BEHAVIOUR}{since}_{kind}"] = np.log1p(count) if since == "day" else count / seen
        dwell = np.log1p(events["dwell_seconds"].fillna(0).to_numpy("float64"))
        columns[f"{_BEHAVIOUR}{since}_dwell"] = _window_sum(dwell, first, end) / seen
        columns[f"{_BEHAVIOUR}{since}_category"] = _same_category(decisions, first, end) / seen
        columns[f"{_BEHAVIOUR}{since}_events"] = np.log1p(end - first).astype("float64")
    return columns


def _same_category(decisions: Decisions, first: NDArray[np.int64], end: NDArray[np.int64]) -> Array:
    offered, seen = text_column(decisions.frame, "category"), decisions.events["category"]
    count = np.zeros(len(offered))
    for category in offered.dropna().unique():
        rows = (offered == category).to_numpy()
        count[rows] = _window_sum((seen == category).to_numpy("float64", na_value=0.0), first[rows], end[rows])
    return count


def _recent_start(decisions: Decisions) -> NDArray[np.int64]:
    """Return the first event of each decision's user in the day before it (rows,)."""
    start, end = decisions.events_window
    time = microseconds(decisions.events["occurred_at"])
    if not len(time):
        return end
    owners = np.unique(start)  # events lie by user, then time, and a user's begin where his windows do
    span = int(max(time.max(), decisions.decided_at.max()) - time.min()) + 2 * _DAY
    line = np.searchsorted(owners, np.arange(len(time)), side="right") * span + time - time.min()
    since = np.maximum(decisions.decided_at - _DAY - time.min(), 0)
    found = np.searchsorted(line, np.searchsorted(owners, start, side="right") * span + since)
    return np.clip(found, start, end)


def _window_sum(values: Array, first: NDArray[np.int64], end: NDArray[np.int64]) -> Array:
    total = np.append(0.0, np.cumsum(values))
    return total[end] - total[first]


def _common_values(column: pd.Series) -> tuple[str, ...]:
    counts = column.dropna().value_counts()
    return tuple(sorted(str(value) for value in counts.index[counts >= FEWEST_ROWS]))


def _components(learning: Decisions) -> pd.DataFrame:
    content = learning.content
    if content is None:
        return pd.DataFrame()
    parts: dict[str, Array] = {}
    for name, vectors in (("text", content.text), ("image", content.image)):
        if vectors.shape[1]:
            kept = min(COMPONENTS, len(vectors) - 1)
            places = PCA(kept, random_state=0).fit_transform(np.nan_to_num(vectors).astype("float64"))
            parts |= {f"{name}_{number}": column for number, column in enumerate(places.T)}
    return pd.DataFrame(parts, index=pd.Index(content.product_ids))


def _scale() -> Pipeline:
    fill = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    return make_pipeline(fill, StandardScaler()).set_output(transform="pandas")


def _scaled(scale: Pipeline, table: pd.DataFrame) -> pd.DataFrame:
    scaled: pd.DataFrame = scale.transform(table)
    return scaled.clip(-8, 8)
