"""Two ranks compute what one would: losses with their gradients, statistics, clusters, errors.

Both ranks are started once, over gloo, and leave what they found in files.
"""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from samx.errors import WrongInput
from training import distribution
from training.barlow_twins import redundancy_loss
from training.batch_norm import synchronise_batch_norm
from training.features import principal_components
from training.pseudo_labels import hierarchy_seeds, kmeans_plus_plus, spherical_kmeans
from training.simclr import nt_xent

NUM_RADIOGRAPHS = 37
"""Odd, so that the ranks' parts differ in length."""


def everything() -> dict[str, Tensor]:
    """What is compared, computed by all ranks together; each rank's part of a result stands in its own place."""
    features = nn.functional.normalize(torch.randn(NUM_RADIOGRAPHS, 6, generator=seeded(1)), dim=1)
    part = features[distribution.own_part(NUM_RADIOGRAPHS)]
    views = torch.randn(2, 12, 5, generator=seeded(2))
    found: dict[str, Tensor] = {}
    for name, loss in (("nt_xent", _nt_xent), ("barlow", redundancy_loss)):
        whole = views.clone().requires_grad_()
        own = whole[:, distribution.own_part(12)].flatten(0, 1)
        value = loss(own) / distribution.num_ranks()
        value.backward()
        assert whole.grad is not None
        found[name] = distribution.add_up(value.detach().clone())
        found[f"{name} gradient"] = distribution.add_up(whole.grad)
    torch.manual_seed(0)
    stem, top = (nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU()), (nn.Linear(48, 4), nn.BatchNorm1d(4))
    layers = nn.Sequential(*stem, nn.Flatten(), *top).double()
    synchronise_batch_norm(layers, torch.device("cpu"))
    images = torch.rand(12, 1, 6, 6, generator=seeded(3)).double()
    answers = layers(images[distribution.own_part(12)])
    answers[:, 0].sigmoid().sum().backward()
    found["norm"] = distribution.concatenate(answers.detach())
    for name, parameter in layers.named_parameters():
        assert parameter.grad is not None
        found[f"norm {name}"] = distribution.add_up(parameter.grad)
    found |= {f"norm {name}": value for name, value in layers.named_buffers()}
    found["components"] = distribution.concatenate(principal_components(part, 3))
    found["plus plus"] = kmeans_plus_plus([part], 5, seeded(4))
    found["hierarchy"] = hierarchy_seeds([part], 5, seeded(5))
    found["hierarchy in two levels"] = hierarchy_seeds([part], 4, seeded(5), fine_clusters=12)
    initial = torch.cat([features[:6], features[:2]])
    clustering = spherical_kmeans([part], 8, iterations=9, generator=seeded(6), initial_KD=initial, smallest=2)
    found["assignments"] = distribution.concatenate(clustering.assignments_N)
    found["reseeded"] = torch.tensor(clustering.num_reseeded)
    found["centroids"] = clustering.centroids_KD
    found["similarity"] = torch.tensor(clustering.mean_similarity)
    found["any"] = torch.tensor(distribution.any_rank(distribution.rank() == distribution.num_ranks() - 1))
    found["none"] = torch.tensor(distribution.any_rank(False))
    found["work of the first"] = torch.tensor(distribution.on_first_rank(lambda: 7 + distribution.rank()))
    with pytest.raises(WrongInput, match="the file is not there"):
        distribution.on_first_rank(_refuse)
    whose = distribution.rank()
    with distribution.apart():  # nobody waits for anybody, so that ranks may do different things
        found["apart"] = torch.tensor([distribution.rank(), distribution.num_ranks()])
        if whose == 0:
            found["own sum"] = distribution.add_up(torch.tensor(3))
    distribution.wait_for_all()
    found["own sum"] = distribution.on_first_rank(lambda: found["own sum"])
    return found


def _nt_xent(views: Tensor) -> Tensor:
    return nt_xent(nn.functional.normalize(views, dim=1), 0.2)


def _refuse() -> None:
    assert distribution.rank() == 0, "the others only wait"
    raise WrongInput("the file is not there")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def by_two_ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    environment["TORCHELASTIC_RUN_ID"] = "test"
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, str(folder)], env=environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        )
        for rank in range(2)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def test_two_ranks_compute_what_one_does(by_two_ranks: list[dict[str, Tensor]]) -> None:
    alone = everything()
    for found in by_two_ranks:
        assert found.keys() == alone.keys()
        for name, expected in alone.items():
            torch.testing.assert_close(found[name], expected, atol=1e-5, rtol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_something_was_started_again(by_two_ranks: list[dict[str, Tensor]]) -> None:
    """Else the comparison above would say nothing about new starts."""
    assert int(by_two_ranks[0]["reseeded"]) >= 2


def test_batch_norm_of_one_rank_is_torch_s_own() -> None:
    layers = nn.Sequential(nn.BatchNorm2d(3))
    synchronise_batch_norm(layers, torch.device("cpu"))
    assert type(layers[0]) is nn.BatchNorm2d


@pytest.mark.parametrize("num_items", [0, 1, 10, 11])
def test_without_a_process_group_all_is_one_part(num_items: int) -> None:
    assert distribution.own_part(num_items) == slice(0, num_items)
    assert distribution.num_ranks() == 1


if __name__ == "__main__":
    with distribution.process_group(torch.device("cpu")):
        torch.save(everything(), Path(sys.argv[1]) / f"{distribution.rank()}.pt")
