"""Stage finetune: phase 2 on the whole development set; the network that will be published.

Reads the images, the weights of phase 1 and the injected labels. Writes `finetune/weights.safetensors` (network and the
distribution of its features) and `finetune/history.csv`; keeps `finetune/checkpoint.safetensors` while it is at work.
"""

import safetensors.torch

from training.attribute_labels import attribute_targets
from training.dataset import load_dataset
from training.finetuning import finetune as train
from training.finetuning import network_tensors, targets_of
from training.injection import fit_heads, injected_network
from training.run import Run


def finetune(run: Run) -> None:
    """Train on all injected labels."""
    classes: list[str] = run.read_json("label/classes.json")
    injected = {row["key"]: row for row in run.read_csv("label/labels.csv")}
    values = run.read_json("label/attributes.json")
    development = load_dataset(run, "development")
    keys = development.keys
    labelled = development.where(lambda index: keys[index] in injected)
    targets_N = targets_of([injected[key]["label"] for key in labelled.keys], classes)
    attributes = attribute_targets([injected[key] for key in labelled.keys], values)
    network, features_ND = injected_network(run, labelled.images_NHW, targets_N, len(classes), attributes)
    fit_heads(network, features_ND, targets_N, attributes, balance=run.config.finetune.balance)
    network, history = train(
        run,
        network,
        labelled.images_NHW,
        targets_N,
        name="finetune",
        config=run.config.finetune,
        augmentation=run.config.augmentation,
        attributes=attributes,
    )
    tensors = network_tensors(run, network, labelled.images_NHW, targets_N)
    run.write("finetune/weights.safetensors", safetensors.torch.save(tensors))
    run.write_csv("finetune/history.csv", history, ("epoch", "loss"))
