"""In which region of the body an entity lies, so that hand for wrist is told from hand for skull."""

from collections.abc import Mapping
from types import MappingProxyType

from samx.anatomy import NOT_MUSCULOSKELETAL

_LABELS = {
    "upper_limb": "hand finger thumb wrist forearm elbow humerus shoulder clavicle scapula acromioclavicular_joint",
    "lower_limb": "pelvis hip femur knee patella lower_leg long_leg ankle foot toe calcaneus",
    "spine_and_trunk": "cervical_spine thoracic_spine lumbar_spine thoracolumbar_spine whole_spine sacrum "
    "sacroiliac_joint ribs sternum",
    "head": "skull",
    "none": NOT_MUSCULOSKELETAL,
}

REGION_OF_LABEL: Mapping[str, str] = MappingProxyType(
    {label: region for region, labels in _LABELS.items() for label in labels.split()}
)
"""Region of every label of `samx.anatomy.ANATOMY`, and `none` of what is not musculoskeletal.

The pelvis is with the lower limb, whose hips it shows; sacrum and sacroiliac joints with the spine.
"""


def body_region(label: str) -> str | None:
    """The region of a label; None for a label that a reader has made up."""
    return REGION_OF_LABEL.get(label)
