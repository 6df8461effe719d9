"""Synthetic radiographs: the embedded default data of the demo, the tests and the load test.

One parametric body (`body`, `upper_limb`, `lower_limb`, `trunk`, `head`) of convex solids (`solids`) is posed and seen
by the protocols (`protocols`), projected by Beer-Lambert (`projection`), processed by five simulated sites (`sites`)
and stored as DICOM (`dicom`). `plan` decides who is exposed where, before anything is rendered. Nobody's anatomy is in
here, and nothing of it is fit for diagnosis.

    python -m samx.phantom --out FOLDER --num-radiographs 1500 --seed 1
"""

from samx.phantom.export import export_phantom, phantom_radiograph
from samx.phantom.plan import plan_export, variants_of
from samx.phantom.protocols import SHARES
from samx.phantom.sites import EXTERNAL_SITE, SITES

LABELS: tuple[str, ...] = tuple(SHARES)
"""Every label of the truth: 26 musculoskeletal entities and six kinds that are not."""

__all__ = ["EXTERNAL_SITE", "LABELS", "SITES", "export_phantom", "phantom_radiograph", "plan_export", "variants_of"]
