"""The small export of the training tests and the server of the service's."""

from tests.service.conftest import knee_dicom, server
from tests.training.conftest import export

__all__ = ["export", "knee_dicom", "server"]
