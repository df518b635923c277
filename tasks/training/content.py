"""What products' titles, descriptions and images say, as vectors; each text and image is embedded once."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from time import perf_counter
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from psycopg2.extensions import connection as Connection

import sql
from models.features.content import Encoders, ProductContent
from tasks.database import read_frame, read_rows
from tasks.settings import Settings
from tasks.training.embeddings import Embeddings
from tasks.training.encoders import embed_pictures, embed_texts, encoder_key

log = logging.getLogger("pricing.content")

Vectors = NDArray[np.float32]
Readable = TypeVar("Readable", str, bytes)

TEXTS_PER_BLOCK, IMAGES_PER_BLOCK = 4_096, 128


def read_texts(connection: Connection, dataset: str, product_ids: Iterable[str]) -> dict[str, str]:
    """Title and description of these products as one text, by product id; those without any are left out."""
    found = _found(connection, dataset, product_ids).dropna(subset="text")
    return dict(zip(found["product_id"], found["text"], strict=True))


def read_content(
    connection: Connection, dataset: str, product_ids: Iterable[str], encoders: Encoders
) -> ProductContent | None:
    """What these products' texts and images say to these encoders; nothing where there is nothing to read.

    Raises:
        ContentError: an encoder cannot be had.
    """
    if not encoders:
        return None
    found = _found(connection, dataset, product_ids)
    text_hash = found["text"].map(_sha256, na_action="ignore")
    texts = dict(zip(text_hash, found["text"], strict=True))
    product_of = dict(zip(found["image"], found["product_id"], strict=True))

    def read_texts(hashes: Sequence[str]) -> list[str]:
        return [texts[content] for content in hashes]

    def read_images(hashes: Sequence[str]) -> list[bytes]:
        asked = [product_of[content] for content in hashes]
        rows = read_rows(connection, sql.query("product_images"), {"dataset": dataset, "product_ids": asked})
        files = {row["product_id"]: bytes(row["image"]) for row in rows}
        return [files[product] for product in asked]

    file = Settings().home / "embeddings.sqlite"
    text = _vectors(text_hash, encoders.text, file, "texts", TEXTS_PER_BLOCK, embed_texts, read_texts)
    image = _vectors(found["image"], encoders.image, file, "images", IMAGES_PER_BLOCK, embed_pictures, read_images)
    made_by = Encoders(encoders.text if text.shape[1] else "", encoders.image if image.shape[1] else "")
    return ProductContent(tuple(found["product_id"]), text, image, made_by) if made_by else None


def _found(connection: Connection, dataset: str, product_ids: Iterable[str]) -> pd.DataFrame:
    """Text and image hash of each of these products that has any."""
    parameters: dict[str, object] = {"dataset": dataset, "product_ids": sorted(set(product_ids))}
    return read_frame(connection, sql.query("product_texts"), parameters)


def _vectors(
    hashes: pd.Series,
    encoder: str,
    file: Path,
    what: str,
    block: int,
    load: Callable[[str], Callable[[Sequence[Readable]], Vectors]],
    read: Callable[[Sequence[str]], Sequence[Readable]],
) -> Vectors:
    """One vector a product (products, T), zero where its hash is null; those not in the cache are made."""
    wanted = hashes.dropna().unique().tolist()
    if not encoder or not wanted:
        return np.empty((len(hashes), 0), "float32")
    store = Embeddings(file, encoder_key(encoder))
    known = store.read(wanted)
    missing = [content for content in wanted if content not in known]
    if missing:
        started, embed = perf_counter(), load(encoder)
        log.info("embedding %s %s by %s", f"{len(missing):,}", what, encoder)
        for start in range(0, len(missing), block):
            part = missing[start : start + block]
            made = dict(zip(part, embed(read(part)), strict=True))
            store.add(made)
            known |= made
            log.info("%s of %s %s", f"{start + len(part):,}", f"{len(missing):,}", what)
        log.info("embedded %s %s in %.1f s", f"{len(missing):,}", what, perf_counter() - started)
    nothing = np.zeros_like(known[wanted[0]])
    return np.stack([known.get(content, nothing) for content in hashes])


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
