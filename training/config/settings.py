"""The settings of a training run. Every field is a flag of the same name; the defaults are the reference recipe."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from gan.latents import Distribution
from gan.manifest_parts import NAME
from gan.networks import families
from gan.networks.layers.base_grid import base_grid
from gan.paths import UserPath, expand
from training.config.points import is_points, on_points
from training.config.recipes import RECIPES, RecipeName
from training.config.values import FORMER_NAMES, Count, Share, parse_size

AugmentName = Literal["none", "translation", "translation-cutout", "diffaugment"]
ObjectiveName = Literal["minimax", "nonsaturating", "lsgan", "hinge", "wgan", "wgan-gp", "relativistic"]


TRACKERS = ("tensorboard", "mlflow", "wandb")
_CODE = r"[a-z][a-z0-9_]{0,31}(=\d{1,4})?"


def _is_family(name: str) -> str:
    if name not in families.names():
        raise ValueError(f"there is no network family of this name: take {', '.join(families.names())}")
    return name


def recipe_of(given: dict[str, Any]) -> dict[str, Any]:
    """The defaults of the recipe that is given; none for what is no recipe's name, which its field's check tells."""
    name: Any = given.get("recipe", "dcgan")
    recipe = RECIPES[name] if isinstance(name, str) and name in RECIPES else {}
    return on_points(name, recipe) if is_points(given.get("data")) else recipe


class Settings(BaseModel):
    """All settings of a run, each checked by itself. Needs no torch, so a mistyped flag is refused at once."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    # The data

    data: Annotated[str, AfterValidator(expand)] = Field("fashion-mnist", min_length=1)
    """a folder of images, a zip of one, or a set by name: fashion-mnist, mnist, kmnist, emnist, cifar10, svhn, stl10, digits; or
    points in the plane, to see what a GAN does and whether a recipe works: ring, grid, spiral"""
    name: str | None = Field(None, pattern=f"^{NAME}$")
    """the model's name; by default that of the data and the recipe, <data>-<recipe>"""
    resolution: str = "32"
    """of the images in pixels: 32, 28, 64, or 48x64 for a width of 48 and a height of 64; sides must halve at least twice"""
    fit: Literal["crop", "pad"] = "crop"
    """how an image of another shape is made to fit: cropped to its middle, or given a margin"""
    background: str = "white"
    """what shows through transparent images and fills margins: a colour's name or #rrggbb"""
    max_bad: Share = 0.01
    """the share of files that may be broken, and are skipped, such as 1%"""
    max_pixels: Count = 200_000_000
    """of one file; what has more may be a trap and counts as broken: raise it, such as 500M, for large images of your own"""
    conditional: bool = False
    """learn the labels, those of a known set or the folders that images are in, so that images can be asked for by label"""

    attributes: UserPath | None = None
    """a table (CSV) of what the images show, such as hair and glasses, with a column called file and a row for each image:
    generated images then show each value as often as the data does, and an auxiliary classifier teaches them to"""
    attribute_columns: str = ""
    """its columns, by commas; by default all that have 2 to 100 values"""

    # The networks

    recipe: RecipeName = "dcgan"
    """a named set of defaults, each of which a flag can override; auto, for your own images, chooses by their count and size"""
    arch: Annotated[str, AfterValidator(_is_family)] = "dcgan"
    """the network family: mlp (fully connected), dcgan (convolutions), resnet (SNGAN's residual ones) or r3gan"""
    width: int = Field(128, gt=0)
    """channels of the networks' hidden layers: of the outermost for dcgan, whose half trains about three times as fast"""
    blocks: int = Field(1, gt=0)
    """residual blocks for each size of image in r3gan's networks"""
    discriminator_norm: Literal["batch", "spectral", "none"] = "batch"
    """in the discriminator: batch or spectral normalisation, or none, as penalties want it, which are on each image by itself"""
    z_dim: int = Field(100, gt=0)
    """components of a latent vector"""
    latent: Distribution = "normal"
    """what they are drawn from: N(0, 1) or U(-1, 1)"""
    codes: str = Field("", pattern=rf"^({_CODE}(,{_CODE})*)?$")
    """InfoGAN: what the images shall tell, such as kind=10,slant,weight: one of ten kinds, and two numbers from -1 to 1"""

    # The losses

    objective: ObjectiveName = "nonsaturating"
    """what the two networks minimise"""
    aux_classifier_weight: float = Field(0.0, ge=0)
    """AC-GAN: weight of the error of an auxiliary classifier, of labels by the discriminator's features, in both networks' losses;
    images then show more surely what was asked for"""
    attributes_weight: float = Field(4.0, ge=0)
    """weight of the mean error in telling the attributes, in both networks' losses"""
    information: float = Field(1.0, ge=0)
    """InfoGAN: weight of the error in predicting the codes, in both networks' losses"""
    r1: float = Field(0.0, ge=0)
    """gamma of the penalty on the discriminator's gradient at real images; steadier, and at least twice the time for a step"""
    r2: float = Field(0.0, ge=0)
    """the same at generated images"""
    gradient_penalty: float = Field(0.0, ge=0)
    """weight of WGAN-GP's penalty, which holds the discriminator's gradient at 1 between real and generated images"""
    penalty_every: int = Field(1, gt=0)
    """discriminator steps between two penalties, which then count so many times; cheaper, a little less steady"""
    weight_clip: float | None = Field(None, gt=0)
    """WGAN: after each step the discriminator's weights are cut off at this"""
    augment: AugmentName = "none"
    """change what the discriminator sees, for sets of a few thousand images or less, which it would learn by heart"""
    mirror: bool = False
    """show every image as often from left to right; not for letters"""

    # The optimisers

    batch_size: int = Field(64, gt=1)
    """images per step, of all processes together; smaller is more steps for as many images, which on a processor counts most"""
    micro_batch_size: int | None = Field(None, gt=0)
    """images that a process computes at once, where its share of the batch does not fit into memory: a step then accumulates the
    gradients of its parts, and costs one more pass of the generator; batch normalisation sees one part at a time"""
    sync_batch_norm: bool = False
    """batch normalisation by the images of all processes, where by default each process's are normalised by themselves"""
    batch_norm_group: int | None = Field(None, gt=1)
    """batch normalisation by groups of so many images (ghost batches): the same whatever the processes and --micro-batch-size"""
    discriminator_steps: int = Field(1, gt=0)
    """steps of the discriminator for each of the generator's"""
    learning_rate: float = Field(2e-4, gt=0, le=1)
    """Adam's, for both networks"""
    generator_learning_rate: float | None = Field(None, gt=0, le=1)
    """Adam's for the generator, if another"""
    beta1: float = Field(0.5, ge=0, lt=1)
    """Adam's decay of the mean of gradients; 0.9 makes training oscillate"""
    beta2: float = Field(0.999, ge=0, lt=1)
    """Adam's decay of the mean of squared gradients"""
    anneal_images: Count | None = None
    """images over which the settings below, where given, go from start to end along a half cosine, to stay there"""
    learning_rate_end: float | None = Field(None, ge=0, le=1)
    """--learning-rate at the end; the generator's falls by the same factor"""
    penalty_end: float | None = Field(None, ge=0)
    """what r1, r2 and gradient_penalty are multiplied by at the end"""
    beta2_end: float | None = Field(None, ge=0, lt=1)
    """beta2 at the end"""
    ema_half_life: Count = 10_000
    """images after which a weight counts half in the generator's moving average, or a twentieth of those seen if that is less"""

    # The run

    images: Count = 800_000
    """length of the run in images seen by the discriminator, such as 600k or 2M"""
    encoder_images: Count | None = None
    """images that an encoder and a score are trained on once the generator is finished, as by training.encoder; by default none"""
    minutes: float | None = Field(None, gt=0)
    """stop after so many minutes of training, those before a --resume included, even if not all --images are seen"""
    seed: int = Field(0, ge=0, lt=2**32)
    """of the start weights, the order of the data and the noise"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes the GPU where there is one"""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """auto computes in bfloat16 where the processor or the GPU has instructions for it; weights stay float32"""
    threads: int | None = Field(None, gt=0, le=4096)
    """processor threads, by default all; another number gives slightly other weights"""
    sample_every: Count | None = None
    """images between two sample grids; by default 20,000, or with --minutes a twelfth of these, and more often at first"""
    log: str = "tensorboard"
    """where statistics, samples and figures go too, by commas: tensorboard (files in the run's folder), mlflow
    (MLFLOW_TRACKING_URI), wandb (WANDB_PROJECT, WANDB_MODE=offline); or none"""
    checkpoint_every: Count | None = None
    """images between two checkpoints, each of which is measured; by default 50,000, or with --minutes a sixth of these; the last
    three and the best are kept"""
    features: Literal["auto", "classifier", "random", "inception"] = "auto"
    """the network whose features measure: a classifier of the data's labels, trained once, in minutes; random, which needs
    nothing and says least; inception, slow on a processor; auto is classifier where there are labels, else random"""
    inception_weights: UserPath | None = None
    """torch-fidelity's file of Inception V3 weights, where it cannot be downloaded"""
    measure: int = Field(1_000, ge=100)
    """generated images that a checkpoint is measured by"""
    measure_final: int = Field(5_000, ge=100)
    """generated images that the finished model is measured by, for its manifest and its card"""
    measure_sets: int = Field(5, ge=1, le=100)
    """how often, each time with other seeds: the figures are the means, with their standard deviation; 1 is quickest"""

    @classmethod
    def _defaults_of(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Defaults that follow from the settings given, here from their recipe."""
        return recipe_of(given)

    @model_validator(mode="before")
    @classmethod
    def _start_from_defaults(cls, given: Any) -> Any:
        """What is given overrides the defaults that follow from it, which override those of the fields."""
        if not isinstance(given, dict):
            return given
        given = {FORMER_NAMES.get(name, name): value for name, value in given.items()}
        # Whatever a file may have there; what is no name is said of by its field.
        return {**cls._defaults_of(given), **given}

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """For Python true is 1; for whoever wrote it in a file it is not."""
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError("this setting is no matter of yes or no (yes, no, on, off, true and false are that in YAML)")
        return value

    @field_validator("log")
    @classmethod
    def _names_trackers(cls, log: str) -> str:
        names = [name.strip() for name in log.split(",")]
        if unknown := [name for name in names if name not in TRACKERS and names != ["none"]]:
            raise ValueError(f"there is no {unknown[0] or 'empty'} one: take some of {', '.join(TRACKERS)}, by commas, or none")
        return ",".join(dict.fromkeys(names))

    @field_validator("resolution", mode="before")
    @classmethod
    def _resolution_is_text(cls, resolution: Any) -> Any:
        return str(resolution) if type(resolution) is int else resolution

    @field_validator("resolution")
    @classmethod
    def _halves_often_enough(cls, resolution: str, info: ValidationInfo) -> str:
        size = parse_size(resolution)
        if not is_points(info.data.get("data")):
            base_grid(size)
        return resolution
