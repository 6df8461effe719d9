"""Command line of the training job: `python -m training run --config training.toml`.

Exit codes: 0 done (or awaiting labels), 2 wrong input - running again cannot help, 75 interrupted - run again to
resume, 1 anything else - running again may help.
"""

import argparse
import logging
import sys
import time
from pathlib import Path

from samx.artifact import CURRENT, roll_back
from samx.errors import ArtifactError, Interrupted, SamxError, WrongInput
from samx.storage import open_storage
from training import distribution
from training.config import TrainingConfig, load_config
from training.evaluation.compare_command import compare_command
from training.job import STAGES, run_all, run_stage
from training.labelling.command import labelling
from training.public_data.command import public_command

WRONG_INPUT, INTERRUPTED, FAILED = 2, 75, 1
_OWN_OPTIONS = {"labelling": labelling, "compare": compare_command, "public": public_command}
COMMANDS = ("run", *(stage.name for stage in STAGES), *_OWN_OPTIONS, "roll-back")


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, run what it names, and return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr
    )
    try:
        if arguments and arguments[0] in _OWN_OPTIONS:
            return _OWN_OPTIONS[arguments[0]](arguments[1:])
        options = _parser().parse_args(arguments)
        config = load_config(options.config)
        if options.command == "roll-back":
            version = roll_back(open_storage(config.publish.models), name=config.publish.name)
            print(f"{config.publish.models}/{config.publish.name}/{CURRENT} points to version {version} again")
        else:
            with distribution.process_group(config.torch_device):
                if options.command == "run":
                    _run_all(config, options.config, options.again_from)
                else:
                    run_stage(config, options.command)
    except (WrongInput, ArtifactError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_INPUT
    except Interrupted as error:
        print(f"interrupted: {error}", file=sys.stderr)
        return INTERRUPTED
    except SamxError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    return 0


def _run_all(config: TrainingConfig, path: Path, again_from: str | None) -> None:
    started = time.monotonic()
    status = run_all(config, again_from=again_from)
    if distribution.rank() == 0:
        print(f"{status} after {time.monotonic() - started:.0f} s")
        if status == "awaiting labels":
            print(_how_to_label(path))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description="From unsorted radiographs to a model.")
    stages = ", ".join(stage.name for stage in STAGES)
    parser.add_argument(
        "command",
        choices=COMMANDS,
        metavar="command",
        help=f"run (every stage), one stage ({stages}), {', '.join(_OWN_OPTIONS)} (with their own --help), "
        "or roll-back",
    )
    parser.add_argument("--config", type=Path, required=True, help="TOML file; see training/demo.toml")
    parser.add_argument(
        "--again-from",
        choices=[stage.name for stage in STAGES],
        metavar="STAGE",
        help="with run: do this stage and all after it again, e.g. label after another round of reading",
    )
    return parser


def _how_to_label(config: Path) -> str:
    return (
        f"Name the clusters now: python -m training labelling --config {config}\n"
        "Then give the same command again; it goes on from there."
    )


if __name__ == "__main__":
    sys.exit(main())
