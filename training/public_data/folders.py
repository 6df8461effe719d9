"""A plain tree, `LABEL/picture.png` or `LABEL/PATIENT/.../picture.png`: the first folder is the label."""

from samx.anatomy import DISCARD, MIXED
from samx.errors import WrongInput
from training.public_data.tree import PublicRadiograph, Tree

SITE = ""


def radiographs(tree: Tree) -> list[PublicRadiograph]:
    """Every file that lies in a folder; the second folder, where there is one, is the patient, whatever the label.

    Raises:
        WrongInput: no file lies in a folder, or a folder bears a reserved name.
    """
    found = []
    for key in tree.keys:
        label, *inner = key.split("/")
        if inner:
            found.append(PublicRadiograph(key, label, patient=inner[0] if len(inner) > 1 else ""))
    reserved = sorted({radiograph.label for radiograph in found} & {DISCARD, MIXED})
    if reserved:
        raise WrongInput(f"{tree.storage.url}: {reserved[0]} is a reserved word and cannot be a label")
    if not found:
        raise tree.wrong_layout("LABEL/picture.png or LABEL/PATIENT/picture.png")
    return found
