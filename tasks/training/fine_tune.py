"""Fine-tune: a text encoder that has learnt from a snapshot's offers, as a folder that is made once."""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import mkdtemp
from time import perf_counter

from models.demand.fine_tuning import FineTuning, fine_tune
from models.features.decisions import Split
from tasks.training.encoders import load_text_encoder
from tasks.training.gpu import best_device

log = logging.getLogger("pricing.fine_tune")


def tuned_encoder(name: str, texts: Mapping[str, str], split: Split, config: FineTuning, folder: Path) -> str:
    """Fine-tune the text encoder `name`, which made the text vectors of `split`, unless `folder` holds the result.

    Args:
        name: the frozen encoder.
        texts: by product id.
        split: its test part is not read.
        config: method and settings.
        folder: where the encoder is, or will be; a killed run leaves nothing there.

    Returns:
        The folder: the name of the encoder from now on.

    Raises:
        ContentError: the encoder cannot be had, or cannot be tuned on these texts.
        TrainingError: the offers hold one outcome only, or the loss is not finite.
    """
    if folder.is_dir():
        log.info("the text encoder was fine-tuned before, %s", folder)
        return str(folder)
    started = perf_counter()
    device = best_device()
    log.info("fine-tuning %s (%s) on %s texts, on %s", name, config.method, f"{len(texts):,}", device.type)
    encoder = load_text_encoder(name)
    tuned, report = fine_tune(encoder, texts, split.train, split.validation, config, device, _log_epoch)
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(mkdtemp(prefix="unfinished-", dir=folder.parent))
    try:
        tuned.save(str(unfinished))
        unfinished.chmod(0o755)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    log.info("fine-tuned in %.0f s; kept epoch %d", perf_counter() - started, report.best_epoch)
    return str(folder)


def _log_epoch(epoch: int, validation_loss: float) -> None:
    log.info("epoch %d: log loss %.5f in validation, all products unknown", epoch, validation_loss)
