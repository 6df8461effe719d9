"""Stage explain: where the classifier looks, and whether its heat maps say something about it.

Reads the hold-out's images and predictions, and the model. Writes `explain/gallery-*.png` (per class right, wrong and
uncertain answers, each radiograph beside its heat map), `explain/gallery.json` (which class each shows),
`explain/errors.png` (wrong answers, with label and answer) and `explain/sanity.json` (see training.saliency). The
pictures show patients' radiographs: they stay in the run and are not part of the artifact.
"""

import numpy as np
import numpy.typing as npt

from samx.classifier import Classifier
from samx.grad_cam import heat_map, overlay
from samx.torch_engine import TorchEngine, build_network, torch_classifier
from training import plots
from training.dataset import Dataset, load_dataset
from training.labels import class_order
from training.model import answers_of, model_classifier, model_spec, model_tensors
from training.run import Run
from training.saliency import central_map, deletion_curves, mean_over_patients, randomised, rank_correlation

PER_KIND = 3
"""Radiographs per class that are right, wrong and uncertain."""
_NUM_ERRORS = 40
_NUM_CHECKED = 128
_NUM_RANDOM_MAPS = 5
STILL_THE_SAME = 0.5
"""A mean rank correlation below it, limits and all, counts as another map."""


def explain(run: Run) -> None:
    """Draw the Grad-CAM galleries and check the maps."""
    classifier = model_classifier(run)
    dataset = load_dataset(run, "holdout_internal", "holdout_external")
    rows = {row["key"]: row for row in run.read_csv("evaluate/predictions.csv")}
    predictions = [rows[key] for key in dataset.keys]
    images = dataset.images_NHW.numpy()
    gallery = []
    for number, label in enumerate(class_order([p["answer"] for p in predictions])):
        chosen = _chosen(predictions, label)
        lines = [(f"{kind}\n{len(found)} shown", _pairs(classifier, images[found])) for kind, found in chosen if found]
        file = f"explain/gallery-{number:02d}.png"
        run.write(file, plots.contact_sheet(lines, 2 * PER_KIND))
        gallery.append({"label": label, "file": file, "shown": {kind: len(found) for kind, found in chosen}})
    run.write_json("explain/gallery.json", gallery)
    wrong = [i for i, p in enumerate(predictions) if p["label"] not in ("", p["answer"])][:_NUM_ERRORS]
    errors = [
        (f"{predictions[i]['label']}\nanswered\n{predictions[i]['answer']}", _pairs(classifier, images[[i]]))
        for i in wrong
    ]
    run.write("explain/errors.png", plots.contact_sheet(errors, 2))
    run.check_stop()
    run.write_json("explain/sanity.json", _sanity(run, dataset))


def _chosen(predictions: list[dict[str, str]], answer: str) -> list[tuple[str, list[int]]]:
    """Positions of the first right and wrong answers, and of the least confident ones of all others."""
    given = [i for i, p in enumerate(predictions) if p["answer"] == answer]
    wrong = [i for i in given if predictions[i]["label"] not in ("", answer)][:PER_KIND]
    least = sorted((i for i in given if i not in wrong), key=lambda i: float(predictions[i]["probability"]))
    uncertain = [i for i in least if predictions[i]["decision"] != "accept"][:PER_KIND]
    right = [i for i in given if predictions[i]["label"] in ("", answer) and i not in uncertain][:PER_KIND]
    return [("right", right), ("wrong", wrong), ("uncertain", uncertain)]


def _sanity(run: Run, dataset: Dataset) -> dict[str, object]:
    """Both checks on the same radiographs, evenly spread over the hold-out; nothing where a map is a single point."""
    chosen = np.unique(np.linspace(0, len(dataset) - 1, min(_NUM_CHECKED, len(dataset))).astype(int))
    spec, tensors = model_spec(run), model_tensors(run)
    classifier = torch_classifier(spec, tensors, str(run.device))
    engine = classifier.engine
    assert isinstance(engine, TorchEngine)
    images_NSS = dataset.images_NHW[chosen]
    patients = [dataset.rows[int(i)]["patient"] for i in chosen]
    probabilities_NK = _probabilities(classifier, images_NSS.numpy())
    classes_N = probabilities_NK.argmax(1)
    maps_Nhw = _maps(engine, images_NSS.numpy(), classes_N)
    sanity: dict[str, object] = {
        "num_radiographs": len(chosen),
        "map_size": list(maps_Nhw.shape[1:]),
        "num_level": int((np.ptp(maps_Nhw, axis=(1, 2)) == 0).sum()) if len(chosen) else 0,
    }
    if not len(chosen) or maps_Nhw[0].size < 4:
        return sanity | {"randomised": [], "maps_change": None, "deletion": None, "beats_random": None}
    seed = run.config.seed
    steps = []
    shuffled = randomised(
        engine.network,
        lambda: build_network(spec),
        images_NSS,
        run.generator("explain", "randomised"),
    )
    for part, network in shuffled:
        others_Nhw = _maps(TorchEngine(network), images_NSS.numpy(), classes_N)
        found = [rank_correlation(first, second) for first, second in zip(maps_Nhw, others_Nhw, strict=True)]
        kept = [(value, patient) for value, patient in zip(found, patients, strict=True) if value is not None]
        last = mean_over_patients([v for v, _ in kept], [p for _, p in kept], seed=seed)
        steps.append({"part": part, **last})
        run.check_stop()
    sanity |= {"randomised": steps, "maps_change": _is_below(last, STILL_THE_SAME)}
    return sanity | _deletion(run, classifier, images_NSS.numpy(), maps_Nhw, classes_N, patients)


def _deletion(
    run: Run,
    classifier: Classifier,
    images_NSS: npt.NDArray[np.uint8],
    maps_Nhw: npt.NDArray[np.float32],
    classes_N: npt.NDArray[np.intp],
    patients: list[str],
) -> dict[str, object]:
    """Deletion scores of the maps, of random maps and of the middle, and the difference to random ones."""

    def answer(images_nSS: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return _probabilities(classifier, images_nSS)

    generator = np.random.default_rng(run.config.seed)
    middle = np.repeat(central_map(maps_Nhw.shape[1:])[None], len(maps_Nhw), axis=0)
    curves = {
        "grad_cam": deletion_curves(images_NSS, maps_Nhw, classes_N, answer),
        "middle": deletion_curves(images_NSS, middle, classes_N, answer),
        "random": np.mean(
            [
                deletion_curves(images_NSS, generator.random(maps_Nhw.shape, np.float32), classes_N, answer)
                for _ in range(_NUM_RANDOM_MAPS)
            ],
            axis=0,
        ),
    }
    seed = run.config.seed
    scores = {name: curve.mean(1) for name, curve in curves.items()}
    gain = mean_over_patients((scores["grad_cam"] - scores["random"]).tolist(), patients, seed=seed)
    return {
        "deletion": {
            "num_random_maps": _NUM_RANDOM_MAPS,
            "curves": {name: [round(float(v), 4) for v in curve.mean(0)] for name, curve in curves.items()},
            **{name: mean_over_patients(score.tolist(), patients, seed=seed) for name, score in scores.items()},
            "grad_cam_minus_random": gain,
        },
        "beats_random": _is_below(gain, 0.0),
    }


def _is_below(figure: dict[str, float | int | None], limit: float) -> bool | None:
    high = figure["high"]
    return None if high is None else high < limit


def _probabilities(classifier: Classifier, images_NSS: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """`(N, K)`; the network sees a few at a time."""
    answers = [prediction.probabilities for prediction in answers_of(classifier, images_NSS)]
    return np.stack(answers) if answers else np.zeros((0, len(classifier.spec.classes)), np.float32)


def _maps(
    engine: TorchEngine, images_NSS: npt.NDArray[np.uint8], classes_N: npt.NDArray[np.intp]
) -> npt.NDArray[np.float32]:
    """Heat map of each image's given class by any network of the architecture, `(N, h, w)` float32 in [0, 1]."""
    head_KD = engine.network.head.weight
    assert head_KD is not None
    rows_KD = head_KD.detach().cpu().numpy()
    return np.stack(
        [
            heat_map(engine.feature_maps(image[None]).last_NDHW[0], rows_KD[k])
            for image, k in zip(images_NSS, classes_N, strict=True)
        ]
    )


def _pairs(classifier: Classifier, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Every radiograph followed by its overlay, `(2n, S, S, 3)` uint8."""
    pictures = []
    for image, prediction in zip(images, classifier.classify(list(images), grad_cam=True), strict=True):
        assert prediction.heat is not None
        pictures += [np.repeat(image[..., None], 3, axis=2), overlay(image, prediction.heat)]
    return np.stack(pictures)
