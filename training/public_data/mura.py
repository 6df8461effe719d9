"""MURA v1.1: upper extremities, Stanford. Patient, label and study are folders: `train/XR_WRIST/patient00001/...`."""

import re

from training.public_data.tree import PublicRadiograph, Tree

SITE = "MURA"
_LABELS = ("elbow", "finger", "forearm", "hand", "humerus", "shoulder", "wrist")
_PICTURE = re.compile(
    rf"(?:train|valid)/XR_({'|'.join(_LABELS).upper()})/(patient\d+)/study\d+_(?:positive|negative)/[^/]+\.png"
)


def radiographs(tree: Tree) -> list[PublicRadiograph]:
    """Every picture of both parts: their split is not ours. One patient may be in several body parts.

    Raises:
        WrongInput: no picture lies where MURA's lie.
    """
    found = [
        PublicRadiograph(key, match[1].lower(), patient=match[2])
        for key in tree.keys
        if (match := _PICTURE.fullmatch(key)) is not None
    ]
    if not found:
        raise tree.wrong_layout("train/XR_WRIST/patient00001/study1_positive/image1.png and the like")
    return found
