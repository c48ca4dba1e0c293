"""Trains a tiny 2M-NER in processes that are killed.

Each is forked from this one, which has imported everything and started no thread: the seconds that this takes are spent
once. It reads orders from its input, a line of JSON each, and answers each by another.

    {"corpus": FILE, "out": FOLDER, "delay": SECONDS}   kills the process after so many seconds
    {"corpus": FILE, "out": FOLDER, "moment": NUMBER}   it kills itself right before its n-th change of names on disk

The answer says whether the run has ended by itself, after how many seconds, and after how many such moments.
"""

import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

import torch

from babelens.data import read_corpus
from babelens.models.spec import Model
from babelens.modules.alignment import Contrastive
from babelens.modules.fusion.cross_attention import CrossAttention
from babelens.modules.late import Late, View
from babelens.modules.text.transformer import Transformer
from babelens.modules.vision.clip import Clip
from babelens.modules.vision.resnet import Resnet
from babelens.training.loop import train
from babelens.training.recipe import Recipe, Training

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
TEXT = Transformer(scratch={"model_type": "bert", **SMALL, "max_position_embeddings": 40}, vocabulary=200)
CLIP = Clip(scratch={**SMALL, "image_size": 16, "patch_size": 8}, augmented=True)
RESNET = Resnet(scratch={"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "size": 32})
VIEWS = tuple(View(regions, CrossAttention(heads=2), Contrastive()) for regions in (CLIP, RESNET))
RECIPE = Recipe(
    Model(Late(TEXT, VIEWS), alpha=0.8),
    Training(
        epochs=4,
        batch=2,
        optimizer="adamw",
        rate=5e-3,
        warmup=0.2,
        clip=1.0,
        average=0.5,
        patience=2,
        precision="fp32",
        save_minutes=0,
    ),
)
MOMENTS = ("replace", "fsync", "mkdir", "unlink", "rmdir")


def watch(moment, told):
    """Count the changes to names on the disk, and the waits for it, and die right before one of them."""
    count = 0

    def watched(change):
        def changed(*arguments, **more):
            nonlocal count
            count += 1
            if count == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            return change(*arguments, **more)

        return changed

    for name in MOMENTS:
        setattr(os, name, watched(getattr(os, name)))
    return lambda: told.write_text(str(count))


def run(corpus, out, moment=None, delay=None):
    """Train in this process, from the start or from where a killed one has left off."""
    torch.set_num_threads(1)
    out = Path(out)
    rows = read_corpus(corpus)
    tell = watch(moment, out.with_suffix(".moments"))
    train(RECIPE, rows, rows, out, resume=(out / "run.json").exists())
    tell()


def forked(order):
    """Run an order in a process of its own, and kill it where that is asked for."""
    started = time.monotonic()
    process = os.fork()
    if process == 0:
        try:
            run(**order)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    ended, status = 0, 0
    while not ended:
        time.sleep(0.002)
        ended, status = os.waitpid(process, os.WNOHANG)
        if not ended and order.get("delay") is not None and time.monotonic() - started > order["delay"]:
            os.kill(process, signal.SIGKILL)
            ended, status = os.waitpid(process, 0)
    if os.waitstatus_to_exitcode(status) not in (0, -signal.SIGKILL):
        raise RuntimeError("the run has failed")
    moments = int(Path(order["out"]).with_suffix(".moments").read_text()) if status == 0 else None
    return {"ended": status == 0, "seconds": time.monotonic() - started, "moments": moments}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(forked(json.loads(line))), flush=True)
