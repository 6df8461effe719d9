"""Phase 1's loop against the bare network, in one run: does anything but the network cost time?

    python -m tests.benchmarks.loop [--backbone resnet18_slim --size 96 --batch-size 64 --rounds 5]
    python -m tests.benchmarks.loop --device cuda --backbone resnet50 --size 224 --batch-size 256 --num-radiographs 9984

Prints radiographs per second of: the data pipeline alone (batches gathered from the cache, two views of each), the bare
network (forward, backward and optimizer on one batch that stays where it is) and the whole loop; rounds take turns and
the best counts. Two threads or one: OMP_NUM_THREADS.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from samx.architecture import ArchitectureConfig
from samx.network import Network
from samx.preprocessing import PreprocessingConfig
from training import pretraining
from training.augmentation import AugmentationConfig
from training.config import PretrainConfig, PublishConfig, TrainingConfig
from training.loop import Checkpoints, Progress, adamw, autocast, prefetched, train_step
from training.run import Run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="resnet18_slim")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--num-radiographs", type=int, default=1280)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    best = measure(options)
    for name, rate in best.items():
        print(f"{name}: {rate:.0f} radiographs/s (two views each)")
    print(f"pipeline / network: {best['data pipeline alone'] / best['bare network']:.1f}")
    print(f"loop / bare network: {best['loop'] / best['bare network']:.3f}")
    if options.device == "cuda":
        print(f"peak memory on the GPU: {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
    return 0


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Radiographs per second of each."""
    device = torch.device(options.device)
    config = PretrainConfig(num_prototypes=200, batch_size=options.batch_size)
    augmentation = AugmentationConfig()
    generator = torch.Generator().manual_seed(0)
    shape = (options.num_radiographs, options.size, options.size)
    images_NHW = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    network = Network(ArchitectureConfig(backbone=options.backbone), 0)
    objective = pretraining.objective_of(network, config, len(images_NHW)).to(device)
    objective = objective.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = adamw(objective, learning_rate=1e-4, weight_decay=0.01)
    labels_N = torch.randint(200, (len(images_NHW),), generator=generator)
    order = list(torch.split(torch.randperm(len(images_NHW), generator=generator), options.batch_size))
    order = [batch for batch in order if len(batch) == options.batch_size]
    objective.train()

    def pipeline() -> None:
        for _, images in prefetched(images_NHW, order, device):
            for _ in range(2):
                pretraining.views_of(images, augmentation, generator)

    images = images_NHW[order[0]].to(device)
    fixed_B1HW = torch.cat([pretraining.views_of(images, augmentation, generator) for _ in range(2)])
    fixed_labels = labels_N[order[0]].repeat(2).to(device)

    def bare() -> None:
        for _ in order:
            with autocast(device):
                loss = objective(fixed_B1HW, fixed_labels)["loss"]
            train_step(loss, objective, optimizer, where="bare")

    with tempfile.TemporaryDirectory() as folder:
        run = Run(
            TrainingConfig(
                source=folder, run=str(Path(folder) / "run"), device=device.type, pretrain=config,
                preprocessing=PreprocessingConfig(size=options.size), publish=PublishConfig(models=folder),
            )
        )  # fmt: skip
        checkpoints = Checkpoints(run, "checkpoint.safetensors", objective, optimizer)

        def loop() -> None:
            pretraining.learn_epoch(
                run, objective, optimizer, images_NHW, labels_N, config, augmentation, Progress(), checkpoints
            )

        best = {"data pipeline alone": 0.0, "bare network": 0.0, "loop": 0.0}
        for _ in range(options.rounds):
            for name, work in zip(best, (pipeline, bare, loop), strict=True):
                best[name] = max(best[name], len(order) * options.batch_size / _seconds(work, device))
    return best


def _seconds(work: Callable[[], None], device: torch.device) -> float:
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
