"""`/sort`: jobs that sort a bucket. Any replica answers for all of them; see service/sorting/registry.py."""

import os
from collections.abc import Callable
from typing import Annotated, Final, TypeVar, cast

import anyio
import anyio.to_thread
import pydantic
from fastapi import Depends, FastAPI, Path, Query, Request
from fastapi.responses import Response

from samx.errors import (
    AccessDenied,
    SortRefused,
    StorageError,
    StorageUnavailable,
    WrongInput,
)
from samx.storage import open_storage
from service.access import require_key
from service.inference import Inference
from service.openapi import document_keys, document_problems
from service.problems import ProblemError
from service.settings import Settings
from service.sorting.answers import SortJob, SortJobs, SortJobWithProgress, SortOrder
from service.sorting.job import JOB_ID, SortRequest, make_request, unfinished_or_new
from service.sorting.registry import JobRecord, Registry
from service.sorting.runner import Runner

MOST_BODY_BYTES: Final = 64 * 1024
MOST_JOBS_PER_PAGE: Final = 200
ANSWER_SECONDS: Final = 20.0
"""How long a storage may take before the client is told that it cannot be reached."""
CALLS_AT_ONCE: Final = 8

_JobId = Annotated[str, Path(pattern=f"^{JOB_ID.pattern}$", description="Name of a job, as POST /sort answered it.")]
_Result = TypeVar("_Result")


class Sorting:
    """The jobs of a service, and the threads that work on them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._calls = anyio.CapacityLimiter(CALLS_AT_ONCE)
        self._registry = Registry(settings.jobs) if settings.jobs else None
        self.runner = Runner(self._registry, settings.sort_jobs_at_once) if self._registry else None

    @property
    def registry(self) -> Registry:
        """The jobs.

        Raises:
            ProblemError: 403, there is no place for them.
        """
        if self._registry is None:
            detail = "This service does not sort: its setting SAMX_JOBS names no place where jobs are kept."
            raise ProblemError(403, "sorting_is_off", detail)
        return self._registry

    def look(self) -> None:
        """Tell those who work that the jobs have changed."""
        if self.runner is not None:
            self.runner.look()

    def begin(self, order: SortOrder, model_url: str) -> JobRecord:
        """Find out whether it can be sorted, and remember the job; an unfinished one of the same order is that one.

        Raises:
            ProblemError: 403 a place that must not be used.
            WrongInput: the order cannot be carried out, or there is nothing to sort.
            StorageError: source or destination cannot be reached, or refuses.
        """
        try:
            places = {name: _true_url(getattr(order, name)) for name in ("source", "destination")}
        except ValueError as error:
            raise WrongInput(str(error)) from None
        for name, url in places.items():
            self._check_place(name, url)
        request = make_request(**(order.model_dump() | places), model=model_url)
        _require_objects(request)
        return self.registry.add(unfinished_or_new(request))

    async def call(self, function: Callable[[], _Result]) -> _Result:
        """Run what talks to a storage in a thread.

        Raises:
            ProblemError: 403, 404, 409, 422 or 503.
        """
        try:
            with anyio.fail_after(ANSWER_SECONDS):
                return await anyio.to_thread.run_sync(function, limiter=self._calls, abandon_on_cancel=True)
        except TimeoutError:
            raise self._unavailable(f"no answer within {ANSWER_SECONDS:g} seconds") from None
        except StorageUnavailable as error:
            raise self._unavailable(str(error)) from None
        except (WrongInput, StorageError) as error:
            raise _problem_of(error) from None

    def _check_place(self, name: str, url: str) -> None:
        within = [f"{_true_url(place)}/" for place in self.settings.sort_within] or ["s3://"]
        if not any(f"{url}/".startswith(place) for place in within):
            detail = f"The {name} lies outside of what this service may use: {', '.join(within)}"
            raise ProblemError(403, "place_not_allowed", detail)

    def _unavailable(self, detail: str) -> ProblemError:
        headers = {"Retry-After": str(self.settings.retry_after_seconds)}
        return ProblemError(503, "storage_unavailable", detail, headers)


def add_sort_routes(app: FastAPI) -> None:
    """Add `/sort`; `app.state.sorting` has to be set before it answers."""
    order_schema = SortOrder.model_json_schema(ref_template="#/components/schemas/{model}")
    app.add_api_route(
        "/sort",
        _begin,
        methods=["POST"],
        status_code=202,
        operation_id="sort",
        summary="Sort a bucket",
        response_model=SortJob,
        responses=document_problems(400, 401, 403, 405, 413, 422, 503),
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": order_schema}}}}
        | document_keys(),
        dependencies=[Depends(require_key)],
    )
    app.add_api_route(
        "/sort",
        _list,
        methods=["GET"],
        operation_id="list_sort_jobs",
        summary="The jobs, the newest first",
        response_model=SortJobs,
        responses=document_problems(400, 401, 403, 404, 405, 503),
        openapi_extra=document_keys(),
        dependencies=[Depends(require_key)],
    )
    app.add_api_route(
        "/sort/{job_id}",
        _describe,
        methods=["GET"],
        operation_id="describe_sort_job",
        summary="One job and how far it is",
        response_model=SortJobWithProgress,
        responses=document_problems(400, 401, 403, 404, 405, 503),
        openapi_extra=document_keys(),
        dependencies=[Depends(require_key)],
    )
    app.add_api_route(
        "/sort/{job_id}",
        _cancel,
        methods=["DELETE"],
        operation_id="cancel_sort_job",
        summary="End a job",
        response_model=SortJob,
        responses=document_problems(400, 401, 403, 404, 405, 409, 503),
        openapi_extra=document_keys(),
        dependencies=[Depends(require_key)],
    )


async def _begin(request: Request, response: Response) -> SortJob:
    """Checks that there is something to sort and answers at once; the sorting goes on by itself.

    The same order again is the same job until that has ended; afterwards a new one, which sorts what is new or changed.
    """
    sorting = _sorting(request)
    _ = sorting.registry
    order = _order_of(await _read_json(request))
    model_url = cast("Inference", request.app.state.inference).serving.served.model.url
    record = await sorting.call(lambda: sorting.begin(order, model_url))
    sorting.look()
    response.headers["Location"] = f"/sort/{record.id}"
    return SortJob.of(record)


async def _list(
    request: Request, limit: Annotated[int, Query(ge=1, le=MOST_JOBS_PER_PAGE)] = 50, after: str = ""
) -> SortJobs:
    """A page of jobs; `next` of one page is `after` of the following."""
    sorting = _sorting(request)
    registry = sorting.registry
    records = await sorting.call(lambda: registry.page(limit + 1, after))
    jobs = [SortJob.of(record) for record in records[:limit]]
    return SortJobs(jobs=jobs, next=jobs[-1].id if len(records) > limit else None)


async def _describe(request: Request, job_id: _JobId) -> SortJobWithProgress:
    """State, counts by decision, class and error, rate and time left; the workers write them once a second."""
    sorting = _sorting(request)
    registry = sorting.registry
    return await sorting.call(lambda: SortJobWithProgress.of(registry.get(job_id)))


async def _cancel(request: Request, job_id: _JobId) -> SortJob:
    """Ends a job wherever it runs. What it has made stays; `python -m service undo` removes that."""
    sorting = _sorting(request)
    registry = sorting.registry
    record = await sorting.call(lambda: registry.cancel(job_id))
    sorting.look()
    return SortJob.of(record)


async def _read_json(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BODY_BYTES:
            raise ProblemError(413, "body_too_large", f"The body has more than {MOST_BODY_BYTES} bytes.")
    return bytes(body)


def _order_of(body: bytes) -> SortOrder:
    try:
        return SortOrder.model_validate_json(body)
    except pydantic.ValidationError as error:
        (fault, *_) = error.errors(include_input=False, include_url=False)
        name = str(fault["loc"][0]) if fault["loc"] else ""
        known = name in SortOrder.model_fields
        detail = f"{name}: {fault['msg']}" if known else "The body has to be a JSON object with the documented fields."
        raise ProblemError(400, "invalid_order", detail) from None


def _require_objects(request: SortRequest) -> None:
    """Find out at once what would end the job at its beginning."""
    source = open_storage(request.source, requester_pays=request.requester_pays)
    if next(iter(source.list()), None) is None:
        raise SortRefused("source_empty", f"there is nothing to sort in {source.url}")
    open_storage(request.destination).exists("_jobs")  # whether it answers at all, before anybody is patient with it


def _true_url(url: str) -> str:
    """Without links and `..`, which could lead out of the places that may be used."""
    true = open_storage(url).url
    return true if true.startswith("s3://") else os.path.realpath(true)


def _problem_of(error: WrongInput | StorageError) -> ProblemError:
    code = getattr(error, "code", "invalid_order")
    status = 403 if isinstance(error, AccessDenied) else {"no_job": 404, "job_finished": 409}.get(code, 422)
    return ProblemError(status, code, str(error))


def _sorting(request: Request) -> Sorting:
    return cast("Sorting", request.app.state.sorting)
