"""Everything SAM-X raises on purpose, in one tree.

    SamxError
    |-- RadiographError             one file cannot be used; has a stable `code`; other files are not harmed
    |   |-- NotARadiographFormat    the bytes are no DICOM, PNG, JPEG or TIFF              (HTTP 415)
    |   |-- RadiographTooLarge      a size limit was exceeded before or while decoding     (HTTP 413)
    |   |-- UnreadableRadiograph    the format is right, the bytes are broken              (HTTP 422)
    |   `-- UnsupportedRadiograph   readable, but not one grey radiograph: refused by name (HTTP 422)
    |-- StorageError                a folder or bucket cannot be reached or refuses; has a stable `code`
    |   |-- ObjectNotFound          no object under this key
    |   |-- BucketNotFound          no such bucket
    |   |-- AccessDenied            the credentials are good, but not for this
    |   |-- CredentialsRefused      no credentials, wrong ones, or expired ones
    |   |-- StorageUnavailable      throttled, reset, timed out, 5xx: another attempt may succeed
    |   `-- PreconditionFailed      a conditional read or write met another state
    |-- ArtifactError               a model artifact cannot be used
    |   |-- ArtifactCorrupt         a checksum or a golden answer differs
    |   |-- ArtifactIncompatible    made for another schema or preprocessing version
    |   `-- VersionExists           this version is published already; versions are immutable
    |-- WrongInput                  the user's configuration or data must change; a retry cannot help (exit code 2)
    |   `-- SortRefused             a bucket cannot be sorted as asked for; has a stable `code`
    |-- ServiceError                a client of the service got no answer
    |   |-- ServiceProblem          the service says no; has its status, `code`, detail and request id
    |   |   `-- ServiceBusy         429 or 503, still after all retries
    |   |-- ServiceUnreachable      nobody answers, or the connection fails
    |   `-- UnexpectedAnswer        something answers, but not as a SAM-X service does
    `-- Interrupted                 stopped by a signal; run again to resume (exit code 75)

Messages say what was found, what is allowed and which file or key, and never hold patient data.
"""


class SamxError(Exception):
    """Base of all errors that SAM-X raises on purpose."""


class RadiographError(SamxError):
    """One file cannot be used as a radiograph.

    Args:
        code: stable machine-readable reason in snake case, for example "multi_frame".
        detail: one sentence for people: what was found and what is allowed.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail

    def __reduce__(self) -> tuple[type["RadiographError"], tuple[str, str]]:
        """Keep both fields when an error crosses a process boundary."""
        return type(self), (self.code, self.detail)


class NotARadiographFormat(RadiographError):
    """The bytes are none of the formats that are read."""


class RadiographTooLarge(RadiographError):
    """A size limit was exceeded; nothing was decoded beyond it."""


class UnreadableRadiograph(RadiographError):
    """The bytes claim a format that is read but are broken."""


class UnsupportedRadiograph(RadiographError):
    """The file is intact but is not one grey radiograph that is supported."""


class StorageError(SamxError):
    """A folder or bucket cannot be reached or refuses the operation."""

    code = "storage_refused"
    """Stable machine-readable reason."""


class ObjectNotFound(StorageError):
    """There is no object under this key."""

    code = "object_gone"


class BucketNotFound(StorageError):
    """There is no such bucket."""

    code = "no_bucket"


class AccessDenied(StorageError):
    """The storage knows who asks and does not permit it."""

    code = "access_denied"


class CredentialsRefused(StorageError):
    """The credentials are missing, wrong or expired: nothing else would be permitted either."""

    code = "credentials_refused"


class StorageUnavailable(StorageError):
    """Throttled, reset, timed out or failed inside the storage: another attempt may succeed."""

    code = "storage_unavailable"


class PreconditionFailed(StorageError):
    """A conditional read or write found the object in another state than asked for."""

    code = "object_changed"


class ArtifactError(SamxError):
    """A model artifact cannot be used."""


class ArtifactCorrupt(ArtifactError):
    """A checksum or a golden answer of the artifact differs from what was published."""


class ArtifactIncompatible(ArtifactError):
    """The artifact was made for another schema or preprocessing version than this code has."""


class VersionExists(ArtifactError):
    """This version has been published already; versions are immutable."""


class WrongInput(SamxError):
    """The user's configuration or data must change; running again cannot help (exit code 2)."""


class SortRefused(WrongInput):
    """A bucket cannot be sorted as asked for.

    Args:
        code: stable machine-readable reason in snake case, for example "source_empty".
        detail: what was found and what is allowed.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class ServiceError(SamxError):
    """A client of the service got no answer."""


class ServiceProblem(ServiceError):
    """The service says no.

    Args:
        status: of HTTP.
        code: stable machine-readable reason; "no_problem_document" where a proxy or another program said no.
        detail: what was found and what is allowed, for people.
        request_id: names the request in the service's log; None where there is none.
    """

    def __init__(self, status: int, code: str, detail: str, request_id: str | None = None) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.request_id = request_id

    def __reduce__(self) -> tuple[type["ServiceProblem"], tuple[int, str, str, str | None]]:
        """Keep all fields when an error crosses a process boundary."""
        return type(self), (self.status, self.code, self.detail, self.request_id)


class ServiceBusy(ServiceProblem):
    """The service asks to come back later (429 or 503), and still did when all retries were used up."""


class ServiceUnreachable(ServiceError):
    """Nobody answers, or the connection fails."""


class UnexpectedAnswer(ServiceError):
    """Something answers, but not as a SAM-X service of this version does."""


class Interrupted(SamxError):
    """Stopped by a signal after saving what was done; run again to resume (exit code 75)."""
