"""`python -m training.launch --nproc-per-node=gpu run --config training.toml`: the job on several GPUs or nodes.

torchrun with all its options, then the job's own arguments. What differs from torchrun is the exit code, which
Kubernetes judges by: torchrun turns whatever its processes say into 1, here the job's own code comes through.
"""

import logging
import sys

from torch.distributed import run as torchrun
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from training.__main__ import COMMANDS, FAILED, INTERRUPTED, WRONG_INPUT

_SECONDS_TO_SAVE = "25"
"""How long ranks may take to save after a signal; Kubernetes kills 30 s after it, unless told otherwise."""


def main(arguments: list[str] | None = None) -> int:
    """Run the job's ranks to their end; returns the job's exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    split = next((i for i, argument in enumerate(given) if argument in COMMANDS), len(given))
    options = ["--shutdown-timeout", _SECONDS_TO_SAVE, *given[:split]]
    try:
        torchrun.main([*options, "-m", "training", *given[split:]])
    except SignalException as signal_:
        logging.getLogger(__name__).warning("%s: run the same command again to resume", signal_.sigval.name)
        return INTERRUPTED
    except ChildFailedError as error:
        codes = {failure.exitcode for failure in error.failures.values()}
        return next((code for code in (WRONG_INPUT, INTERRUPTED) if code in codes), FAILED)
    return 0


if __name__ == "__main__":
    sys.exit(main())
