"""The compiled engines against eager torch, and what Grad-CAM adds to an answer; medians, all sides in turn in one run.

`python -m tests.benchmarks.engine [--backbones resnet18 resnet50] [--threads 2]`. The weights are random: only time is
measured. The second table has the default network by eager torch against what an artifact with a student has for CPUs;
with `--backbones` alone the others stay empty.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from samx.architecture import ArchitectureConfig, Backbone
from samx.classifier import Classifier
from samx.cores import available_cores
from samx.engine import Engine, OnnxEngine
from samx.manifest import GOLDEN, WEIGHTS, Manifest
from samx.phantom import phantom_radiograph
from samx.preprocessing import PreprocessingConfig
from samx.torch_engine import TorchEngine
from service.model import Model
from service.upload import Parameters
from tests.settled_network import settled_network
from tests.small_artifact import small_provenance, small_spec
from training.compiled_engine import export, quantize

SIZE = 224
STUDENT_BACKBONE: Backbone = "mobilenet_v3_large"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbones", nargs="*", default=["resnet18_slim", "resnet18", "resnet50"])
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{options.threads} threads, {SIZE} pixels, medians of {options.rounds} rounds")
    print(
        "| backbone | batch | torch ms | onnxruntime fp32 ms | ratio | onnxruntime int8 ms | ratio |\n"
        + "| --- " * 7
        + "|"
    )
    classifiers = {name: compare(name, options.threads, options.rounds) for name in options.backbones}
    compare_student(options.threads, options.rounds)
    print("\n| backbone | engine | answer ms | with Grad-CAM ms | added |\n" + "| --- " * 5 + "|")
    for name, by_engine in classifiers.items():
        for classifier in by_engine:
            time_grad_cam(name, classifier, options.rounds)


def compare(backbone: Backbone, threads: int, rounds: int) -> list[Classifier]:
    """Time the three engines; returns classifiers with the compiled ones."""
    network = settled_network(backbone, num_classes=4)
    images = noise(16)
    exported = export(network, SIZE)
    engines: list[Engine] = [
        TorchEngine(network), OnnxEngine(exported, threads), OnnxEngine(quantize(exported, images), threads),
    ]  # fmt: skip
    for batch in (images[:1], images[:8]):
        first, *others = in_turn([partial(engine.feature_maps, batch) for engine in engines], rounds)
        cells = " | ".join(f"{other:.1f} | {first / other:.2f}" for other in others)
        print(f"| {backbone} | {len(batch)} | {first:.1f} | {cells} |", flush=True)
    features = network.num_scope_features
    tensors = {
        "head.weight": network.head.weight.detach().numpy(),
        "head.bias": network.head.bias.detach().numpy(),
        "scope.means_KD": np.zeros((4, features), np.float32),
        "scope.scale_D": np.ones(features, np.float32),
        "scope.components_DR": np.zeros((features, 256), np.float32),
    }
    spec = small_spec(
        architecture=ArchitectureConfig(backbone=backbone),
        preprocessing=PreprocessingConfig(size=SIZE, working_size=512),
    )
    return [Classifier(spec, engine, tensors) for engine in engines[1:]]


def compare_student(threads: int, rounds: int) -> None:
    """Time the default network by eager torch, and the student as published; a line per size of batch."""
    backbone = ArchitectureConfig().backbone
    network, student, images = settled_network(backbone, 4), settled_network(STUDENT_BACKBONE, 4), noise(16)
    exported = export(student, SIZE)
    engines: list[Engine] = [
        TorchEngine(network), TorchEngine(student), OnnxEngine(exported, threads),
        OnnxEngine(quantize(exported, images), threads),
    ]  # fmt: skip
    names = ("torch", "onnxruntime fp32", "onnxruntime int8")
    heads = "".join(f" student, {name} ms | ratio |" for name in names)
    print(f"\n{backbone} and its student {STUDENT_BACKBONE}\n")
    print(f"| batch | {backbone}, torch ms |{heads}\n" + "| --- " * (2 + 2 * len(names)) + "|")
    for batch in (images[:1], images[:8]):
        first, *others = in_turn([partial(engine.feature_maps, batch) for engine in engines], rounds)
        cells = " | ".join(f"{other:.1f} | {first / other:.2f}" for other in others)
        print(f"| {len(batch)} | {first:.1f} | {cells} |", flush=True)


def time_grad_cam(backbone: str, classifier: Classifier, rounds: int) -> None:
    """Time whole answers, from the bytes of a file to JSON, with and without Grad-CAM."""
    manifest = Manifest(
        name="benchmark",
        version="1",
        model=classifier.spec,
        provenance=small_provenance(),
        library_versions={},
        files={WEIGHTS: "", GOLDEN: ""},
    )
    model = Model(classifier, manifest, url="", metrics=None, max_body_bytes=2**26)
    data = phantom_radiograph(label="knee", seed=1)

    def answer(parameters: Parameters) -> str:
        reading = model.read(data)
        (prediction,) = model.classify([model.question(reading, grad_cam=parameters.grad_cam)])
        picture = model.picture(reading) if parameters.grad_cam else None
        return model.answer(reading.radiograph, prediction, parameters, picture).model_dump_json()

    asked = [partial(answer, Parameters(grad_cam=wanted)) for wanted in (False, True)]
    without, with_it = in_turn(asked, 3 * rounds)
    added = f"{100 * (with_it / without - 1):.0f} %"
    print(f"| {backbone} | {classifier.engine.name} | {without:.1f} | {with_it:.1f} | {added} |", flush=True)


def noise(count: int) -> npt.NDArray[np.uint8]:
    """Images `(count, SIZE, SIZE)` of blocks of noise."""
    blocks = np.random.default_rng(0).integers(0, 256, (count, SIZE // 8, SIZE // 8), np.uint8)
    return np.kron(blocks, np.ones((1, 8, 8), np.uint8))


def in_turn(sides: list[Callable[[], object]], rounds: int) -> list[float]:
    """Median milliseconds of each side, one call of each in every round, the first two rounds left out."""
    times = np.empty((rounds + 2, len(sides)))
    for round_ in range(rounds + 2):
        for number, side in enumerate(sides):
            start = time.perf_counter()
            side()
            times[round_, number] = time.perf_counter() - start
    return [float(value) for value in 1000 * np.median(times[2:], axis=0)]


if __name__ == "__main__":
    main()
