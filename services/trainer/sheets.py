"""The pictures beside a run's checkpoint: loss curves, and what the best epoch reconstructs and retrieves.

Shape suffixes: N images, D dimension.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from services.trainer.architectures import Autoencoder
from services.trainer.config import TrainConfig
from services.trainer.data.labelled import class_codes
from services.trainer.progress.curves import loss_curves
from services.trainer.progress.pictures import reconstruction_sheet, retrieval_sheet
from services.trainer.run_folder import RunFolder
from services.trainer.validation import K, Validation

_NUM_SHOWN = 8


def draw_sheets(
    run: RunFolder,
    config: TrainConfig,
    network: torch.nn.Module,
    validation: Validation,
    embeddings_ND: NDArray[np.float32],
) -> None:
    """Writes ``loss.png`` where anything was trained, ``retrieval.png``, and ``reconstructions.png`` of autoencoders.

    The images shown are spread evenly over the validation images.
    """
    if config.schedule.epochs:
        loss_curves(run.events, run.path / "loss.png")
    num_images = len(validation.labels)
    shown = np.unique(np.linspace(0, num_images - 1, min(_NUM_SHOWN, num_images)).astype(int)).tolist()
    names, codes_N = class_codes(validation.labels)
    k = min(K, num_images - 1)
    retrieval_sheet(validation.images_NSSC, codes_N, embeddings_ND, shown, k, run.path / "retrieval.png", names)
    if isinstance(network, Autoencoder):
        originals_NHWC = np.ascontiguousarray(validation.images_NSSC[shown])
        mean, std = torch.tensor(config.mean).view(1, 3, 1, 1), torch.tensor(config.std).view(1, 3, 1, 1)
        with torch.inference_mode():
            images_NCHW = (torch.from_numpy(originals_NHWC).permute(0, 3, 1, 2).float() / 255 - mean) / std
            drawn_NHWC = network.cpu().eval().reconstruct(images_NCHW).permute(0, 2, 3, 1).numpy()
        reconstruction_sheet(originals_NHWC, drawn_NHWC, run.path / "reconstructions.png")
