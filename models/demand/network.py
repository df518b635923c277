"""The demand model: user, product and context towers that meet in the two numbers of a demand curve."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.demand.layers import FeatureEncoder, TransformerBlock, content_map, embedding, mlp
from models.features.columns import Features
from models.features.encoding import EncodedDecisions, Encoding, Events, Histories, Products
from models.form import FORM, Within


@dataclass(frozen=True)
class DemandConfig:
    """What a demand model is.

    Args:
        dimension: width of every vector.
        heads: attention heads; divides `dimension`.
        layers: Transformer blocks over a user's events.
        history_length: last events that are read.
        dropout: share of activations dropped in training.
        sensitivity_floor: smallest sensitivity b; above 0, so that demand falls in price for every row.
        content_directions: most principal directions of the products' texts, and of their images, that are read.
        members: networks of different seeds whose mean response is the model's, and whose spread its uncertainty.

    """

    __pydantic_config__: ClassVar = FORM

    dimension: Annotated[int, Within(ge=1, le=1024)] = 32
    heads: Annotated[int, Within(ge=1, le=64)] = 2
    layers: Annotated[int, Within(ge=0, le=24)] = 2
    history_length: Annotated[int, Within(ge=1, le=4096)] = 32
    dropout: Annotated[float, Within(ge=0, lt=1)] = 0.1
    sensitivity_floor: Annotated[float, Within(gt=0, le=10)] = 0.05
    content_directions: Annotated[int, Within(ge=1, le=1024)] = 32
    members: Annotated[int, Within(ge=1, le=32)] = 1


class Response(NamedTuple):
    """How R decisions respond to price: log-odds of purchase = level + sensitivity * (1 - price ratio).

    `level` is b(v-1), the log-odds at list price. The network predicts it rather than the valuation v = 1 + level/b,
    because the data fix the level far more tightly than b: with v, every user who buys more would pull on b.
    `confounding` is the slope on the first stage's residual.
    """

    level: Tensor
    sensitivity: Tensor
    confounding: Tensor

    def log_odds(self, price_ratio: Tensor) -> Tensor:
        """Return the log-odds of purchase (R,) at price / list price (R,)."""
        return self.level + self.sensitivity * (1 - price_ratio)


class DemandModel(nn.Module):
    """P(buy) = sigmoid(level + b (1 - price ratio) + confounding * residual + shift * randomised), b > 0.

    Level and b are the pooled estimates plus biases and a user x product dot product, so that a pair costs one dot
    product once the towers have run. To read another modality, add its encoder and sum its vector into that of the
    user, the product or the context, as `ProductTower` does with texts and images.

    Shape:
        decisions: R rows over H histories and P products; any of them may be 0.
        returns: three (R,).
    """

    def __init__(self, config: DemandConfig, encoding: Encoding) -> None:
        super().__init__()
        width = config.dimension
        self.sensitivity_floor = config.sensitivity_floor
        self.items = ItemEmbedding(width, encoding)
        self.user = UserTower(config, encoding)
        self.product = ProductTower(config, encoding)
        self.context = ContextTower(config, encoding)
        self.user_bias, self.user_query = nn.Linear(width, 2), nn.Linear(width, 2 * width)
        self.product_bias, self.product_key = nn.Linear(width, 3), nn.Linear(width, 2 * width)
        self.context_bias = nn.Linear(width, 3)
        self.pooled = nn.Buffer(torch.tensor([0.0, 1.0, 0.0]))  # level, sensitivity, confounding
        self.randomised_shift = nn.Parameter(torch.zeros(()))
        self._start_at_pooled()

    def forward(self, decisions: EncodedDecisions) -> Response:
        """Return the response of every decision."""
        user = self.user(decisions.histories, decisions.events, self.items, decisions.longest)
        product = self.product(decisions.products, self.items)
        masked = decisions.histories.masked[decisions.history]
        context = self.context(decisions.context, decisions.pair, masked)
        return self.meet(user, product, context, decisions.history, decisions.product)

    def meet(self, user: Tensor, product: Tensor, context: Tensor, history: Tensor, item: Tensor) -> Response:
        """Return the response of pairs of tower outputs.

        Shape:
            user (H, D), product (P, D), context (R, D); history, item (R,) point into the first two.
        """
        query = torch.unflatten(self.user_query(user), -1, (2, -1))[history]
        key = torch.unflatten(self.product_key(product), -1, (2, -1))[item]
        affinity = (query * key).sum(-1) / math.sqrt(key.shape[-1])
        bias = self.product_bias(product)[item] + self.context_bias(context)
        score = (bias[:, :2] + self.user_bias(user)[history] + affinity).float()
        level, sensitivity, confounding = self.pooled.unbind()
        # softplus(s + ln(e-1)) is 1 at s = 0: scores are shrunk towards the pooled sensitivity, not towards 0.
        ratio = functional.softplus(score[:, 1] + math.log(math.e - 1))
        return Response(
            level + score[:, 0],
            self.sensitivity_floor + sensitivity * ratio,
            confounding + bias[:, 2].float(),
        )

    @torch.no_grad()
    def start_from(self, level: float, sensitivity: float, confounding: float, shift: float) -> None:
        """Set the estimates of the whole population, from which rows then learn to differ."""
        self.pooled.copy_(torch.tensor([level, sensitivity, confounding]))
        self.randomised_shift.fill_(shift)

    @torch.no_grad()
    def adjust(self, sensitivity_scale: float, level: float, confounding: float, shift: float) -> None:
        """Move the estimates of the whole population; how rows differ from them stays."""
        self.pooled[1] *= sensitivity_scale
        self.pooled[0] += level
        self.pooled[2] += confounding
        self.randomised_shift.add_(shift)

    def _start_at_pooled(self) -> None:
        for head in (self.user_bias, self.product_bias, self.context_bias):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
        nn.init.zeros_(self.product_key.weight)
        nn.init.zeros_(self.product_key.bias)


class ItemEmbedding(nn.Module):
    """Product and category vectors, shared by a user's events and the products on offer.

    Shape:
        product, category: int64 of any shape S; returns S + (D,).
    """

    def __init__(self, width: int, encoding: Encoding) -> None:
        super().__init__()
        self.product = embedding(len(encoding.product_ids), width)
        self.category = embedding(len(encoding.categories), width)

    def forward(self, product: Tensor, category: Tensor) -> Tensor:
        """Return the item vectors."""
        vectors: Tensor = self.product(product) + self.category(category)
        return vectors


class UserTower(nn.Module):
    """A Transformer over [user token, last N events]; its output at the user token is the user.

    The user token holds the user's features and the mean of the events, so that how often a user does what is there
    before any attention is learnt; a user without events is a sequence of one. A masked history gives a learned null
    vector whatever it holds.

    Shape:
        histories: H; events: E; returns (H, D).
    """

    def __init__(self, config: DemandConfig, encoding: Encoding) -> None:
        super().__init__()
        width = config.dimension
        self.history_length = config.history_length
        self.features = FeatureEncoder(encoding.user, width)
        self.kind = embedding(len(encoding.kinds), width)
        self.timing, self.mean_event = nn.Linear(2, width), nn.Linear(width, width)
        nn.init.zeros_(self.mean_event.weight)
        nn.init.zeros_(self.mean_event.bias)
        self.norm_events, self.norm_user = nn.LayerNorm(width), nn.LayerNorm(width)
        self.blocks = nn.ModuleList(TransformerBlock(width, config.heads, config.dropout) for _ in range(config.layers))
        self.null = nn.Parameter(torch.zeros(width))

    def forward(self, histories: Histories, events: Events, items: ItemEmbedding, longest: int) -> Tensor:
        """Return the user vectors; the longest history has `longest` events."""
        sequence, seen = self.read(histories, events, items, longest)
        for depth, block in enumerate(self.blocks, start=1):
            # Only the user token leaves the last block, so only it asks there.
            sequence = block(sequence, seen, queries=1 if depth == len(self.blocks) else None)
        user = self.norm_user(sequence[:, 0])
        return torch.where(histories.masked[:, None], self.null.to(user.dtype), user)

    def read(self, histories: Histories, events: Events, items: ItemEmbedding, longest: int) -> tuple[Tensor, Tensor]:
        """Return user token and event vectors (H, 1 + L, D), and which of them are there (H, 1 + L); L <= N."""
        start = torch.maximum(histories.start, histories.end - self.history_length)
        position = start[:, None] + torch.arange(min(longest, self.history_length), device=start.device)
        seen = position < histories.end[:, None]
        position = position.where(seen, 0)
        gap = (histories.decided_at[:, None] - events.occurred_at[position]).clamp(min=0) / 1e6
        timing = torch.stack([(gap.log1p() - 12) / 3, events.dwell[position]], dim=-1)
        event = items(events.product[position], events.category[position])
        event = self.norm_events(event + self.kind(events.kind[position]) + self.timing(timing))
        mean = (event * seen[..., None]).sum(1) / seen.sum(1).clamp(min=1)[:, None]
        token = self.features(histories.features) + self.mean_event(mean)
        sequence = torch.cat([token[:, None], event], dim=1)
        return sequence, functional.pad(seen, (1, 0), value=True)


class ProductTower(nn.Module):
    """Identity, category, brand, list price, attributes, text and image of a product as one vector.

    Text and image are read where the training products had any; a product without them is a typical one.

    Shape:
        products: P; returns (P, D).
    """

    def __init__(self, config: DemandConfig, encoding: Encoding) -> None:
        super().__init__()
        self.brand = embedding(len(encoding.brands), config.dimension)
        self.features = FeatureEncoder(encoding.product, config.dimension)
        self.mix = mlp(config.dimension, config.dropout)
        maps = {name: content_map(space.width, config.dimension) for name, space in encoding.spaces.items()}
        self.content = nn.ModuleDict(maps)

    def forward(self, products: Products, items: ItemEmbedding) -> Tensor:
        """Return the product vectors."""
        vector = items(products.product, products.category) + self.brand(products.brand)
        vector = vector + self.features(products.features)
        for name, read in self.content.items():
            vector = vector + read(getattr(products, name))
        result: Tensor = vector + self.mix(vector)
        return result


class ContextTower(nn.Module):
    """Market, calendar and context, and the history of this user with this product unless it is masked.

    Shape:
        context, pair: R; masked (R,); returns (R, D).
    """

    def __init__(self, config: DemandConfig, encoding: Encoding) -> None:
        super().__init__()
        self.context = FeatureEncoder(encoding.context, config.dimension)
        self.pair = FeatureEncoder(encoding.pair, config.dimension)
        self.null_pair = nn.Parameter(torch.zeros(config.dimension))
        self.mix = mlp(config.dimension, config.dropout)

    def forward(self, context: Features, pair: Features, masked: Tensor) -> Tensor:
        """Return the context vectors."""
        known = self.pair(pair)
        vector = self.context(context) + torch.where(masked[:, None], self.null_pair.to(known.dtype), known)
        result: Tensor = vector + self.mix(vector)
        return result
