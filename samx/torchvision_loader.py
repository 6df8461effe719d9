"""Import torchvision, also where its compiled operators cannot be loaded.

Beside a CPU build of torch, torchvision's wheel from the default index cannot load its CUDA extension, and its own
`register_fake("torchvision::nms")` then fails on import with "operator torchvision::nms does not exist"
(pytorch/vision issue 9085). Declaring the two operators that it registers lets the import pass. No model that is used
here calls them. Where torchvision loads natively nothing is changed.
"""

import importlib
import sys

import torch

_declared: list[torch.library.Library] = []


def import_torchvision() -> None:
    """Make `import torchvision` work in this process; call before anything else imports it.

    Raises:
        RuntimeError: torchvision fails to import for another reason than the missing operator.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
        _declared.append(library)  # the declarations live as long as the library object
        importlib.import_module("torchvision")
