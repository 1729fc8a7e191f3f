import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RenderState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RENDER_STATE_UNSPECIFIED: _ClassVar[RenderState]
    RENDER_STATE_QUEUED: _ClassVar[RenderState]
    RENDER_STATE_RUNNING: _ClassVar[RenderState]
    RENDER_STATE_SUCCEEDED: _ClassVar[RenderState]
    RENDER_STATE_FAILED: _ClassVar[RenderState]
    RENDER_STATE_CANCELLED: _ClassVar[RenderState]
RENDER_STATE_UNSPECIFIED: RenderState
RENDER_STATE_QUEUED: RenderState
RENDER_STATE_RUNNING: RenderState
RENDER_STATE_SUCCEEDED: RenderState
RENDER_STATE_FAILED: RenderState
RENDER_STATE_CANCELLED: RenderState

class RenderRequest(_message.Message):
    __slots__ = ("sketch", "prompt", "negative_prompt", "style", "style_filter", "style_images", "style_weights", "styles", "style_count", "style_mode", "style_start", "style_end", "seed", "num_inference_steps", "guidance_scale", "guidance_start", "guidance_end", "controlnet_conditioning_scale", "control_guidance_start", "control_guidance_end", "ip_adapter_scale", "canny_low_threshold", "canny_high_threshold", "scheduler", "width", "height", "num_images", "preview_interval", "image", "strength", "mask", "mask_blur", "control_in_mask", "pad", "variation_strength", "variation_seed", "upscale", "upscale_strength", "id", "keep_running", "versions", "prompt_syntax", "sketch_kind", "structure_min", "max_attempts", "fidelity", "profile", "control_mode")
    SKETCH_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_PROMPT_FIELD_NUMBER: _ClassVar[int]
    STYLE_FIELD_NUMBER: _ClassVar[int]
    STYLE_FILTER_FIELD_NUMBER: _ClassVar[int]
    STYLE_IMAGES_FIELD_NUMBER: _ClassVar[int]
    STYLE_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    STYLES_FIELD_NUMBER: _ClassVar[int]
    STYLE_COUNT_FIELD_NUMBER: _ClassVar[int]
    STYLE_MODE_FIELD_NUMBER: _ClassVar[int]
    STYLE_START_FIELD_NUMBER: _ClassVar[int]
    STYLE_END_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    NUM_INFERENCE_STEPS_FIELD_NUMBER: _ClassVar[int]
    GUIDANCE_SCALE_FIELD_NUMBER: _ClassVar[int]
    GUIDANCE_START_FIELD_NUMBER: _ClassVar[int]
    GUIDANCE_END_FIELD_NUMBER: _ClassVar[int]
    CONTROLNET_CONDITIONING_SCALE_FIELD_NUMBER: _ClassVar[int]
    CONTROL_GUIDANCE_START_FIELD_NUMBER: _ClassVar[int]
    CONTROL_GUIDANCE_END_FIELD_NUMBER: _ClassVar[int]
    IP_ADAPTER_SCALE_FIELD_NUMBER: _ClassVar[int]
    CANNY_LOW_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    CANNY_HIGH_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    SCHEDULER_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    NUM_IMAGES_FIELD_NUMBER: _ClassVar[int]
    PREVIEW_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    STRENGTH_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    MASK_BLUR_FIELD_NUMBER: _ClassVar[int]
    CONTROL_IN_MASK_FIELD_NUMBER: _ClassVar[int]
    PAD_FIELD_NUMBER: _ClassVar[int]
    VARIATION_STRENGTH_FIELD_NUMBER: _ClassVar[int]
    VARIATION_SEED_FIELD_NUMBER: _ClassVar[int]
    UPSCALE_FIELD_NUMBER: _ClassVar[int]
    UPSCALE_STRENGTH_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    KEEP_RUNNING_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_SYNTAX_FIELD_NUMBER: _ClassVar[int]
    SKETCH_KIND_FIELD_NUMBER: _ClassVar[int]
    STRUCTURE_MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    FIDELITY_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    CONTROL_MODE_FIELD_NUMBER: _ClassVar[int]
    sketch: bytes
    prompt: str
    negative_prompt: str
    style: str
    style_filter: _containers.RepeatedScalarFieldContainer[str]
    style_images: _containers.RepeatedScalarFieldContainer[bytes]
    style_weights: _containers.RepeatedScalarFieldContainer[float]
    styles: _containers.RepeatedScalarFieldContainer[str]
    style_count: int
    style_mode: str
    style_start: float
    style_end: float
    seed: int
    num_inference_steps: int
    guidance_scale: float
    guidance_start: float
    guidance_end: float
    controlnet_conditioning_scale: float
    control_guidance_start: float
    control_guidance_end: float
    ip_adapter_scale: _containers.RepeatedScalarFieldContainer[float]
    canny_low_threshold: int
    canny_high_threshold: int
    scheduler: str
    width: int
    height: int
    num_images: int
    preview_interval: int
    image: bytes
    strength: float
    mask: bytes
    mask_blur: int
    control_in_mask: bool
    pad: _containers.RepeatedScalarFieldContainer[int]
    variation_strength: float
    variation_seed: int
    upscale: int
    upscale_strength: float
    id: str
    keep_running: bool
    versions: str
    prompt_syntax: str
    sketch_kind: str
    structure_min: float
    max_attempts: int
    fidelity: float
    profile: str
    control_mode: str
    def __init__(self, sketch: _Optional[bytes] = ..., prompt: _Optional[str] = ..., negative_prompt: _Optional[str] = ..., style: _Optional[str] = ..., style_filter: _Optional[_Iterable[str]] = ..., style_images: _Optional[_Iterable[bytes]] = ..., style_weights: _Optional[_Iterable[float]] = ..., styles: _Optional[_Iterable[str]] = ..., style_count: _Optional[int] = ..., style_mode: _Optional[str] = ..., style_start: _Optional[float] = ..., style_end: _Optional[float] = ..., seed: _Optional[int] = ..., num_inference_steps: _Optional[int] = ..., guidance_scale: _Optional[float] = ..., guidance_start: _Optional[float] = ..., guidance_end: _Optional[float] = ..., controlnet_conditioning_scale: _Optional[float] = ..., control_guidance_start: _Optional[float] = ..., control_guidance_end: _Optional[float] = ..., ip_adapter_scale: _Optional[_Iterable[float]] = ..., canny_low_threshold: _Optional[int] = ..., canny_high_threshold: _Optional[int] = ..., scheduler: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., num_images: _Optional[int] = ..., preview_interval: _Optional[int] = ..., image: _Optional[bytes] = ..., strength: _Optional[float] = ..., mask: _Optional[bytes] = ..., mask_blur: _Optional[int] = ..., control_in_mask: _Optional[bool] = ..., pad: _Optional[_Iterable[int]] = ..., variation_strength: _Optional[float] = ..., variation_seed: _Optional[int] = ..., upscale: _Optional[int] = ..., upscale_strength: _Optional[float] = ..., id: _Optional[str] = ..., keep_running: _Optional[bool] = ..., versions: _Optional[str] = ..., prompt_syntax: _Optional[str] = ..., sketch_kind: _Optional[str] = ..., structure_min: _Optional[float] = ..., max_attempts: _Optional[int] = ..., fidelity: _Optional[float] = ..., profile: _Optional[str] = ..., control_mode: _Optional[str] = ...) -> None: ...

class Style(_message.Message):
    __slots__ = ("id", "name", "tags", "sha256", "width", "height")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    sha256: str
    width: int
    height: int
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., sha256: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ...) -> None: ...

class ScoredStyle(_message.Message):
    __slots__ = ("style", "score", "weight")
    STYLE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    style: Style
    score: float
    weight: float
    def __init__(self, style: _Optional[_Union[Style, _Mapping]] = ..., score: _Optional[float] = ..., weight: _Optional[float] = ...) -> None: ...

class RenderedImage(_message.Message):
    __slots__ = ("png", "seed", "structure_f1", "clip_score", "style_score")
    PNG_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    STRUCTURE_F1_FIELD_NUMBER: _ClassVar[int]
    CLIP_SCORE_FIELD_NUMBER: _ClassVar[int]
    STYLE_SCORE_FIELD_NUMBER: _ClassVar[int]
    png: bytes
    seed: int
    structure_f1: float
    clip_score: float
    style_score: float
    def __init__(self, png: _Optional[bytes] = ..., seed: _Optional[int] = ..., structure_f1: _Optional[float] = ..., clip_score: _Optional[float] = ..., style_score: _Optional[float] = ...) -> None: ...

class Attempt(_message.Message):
    __slots__ = ("attempt", "image", "seed", "structure_f1", "controlnet_conditioning_scale", "variation_seed")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    STRUCTURE_F1_FIELD_NUMBER: _ClassVar[int]
    CONTROLNET_CONDITIONING_SCALE_FIELD_NUMBER: _ClassVar[int]
    VARIATION_SEED_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    image: int
    seed: int
    structure_f1: float
    controlnet_conditioning_scale: float
    variation_seed: int
    def __init__(self, attempt: _Optional[int] = ..., image: _Optional[int] = ..., seed: _Optional[int] = ..., structure_f1: _Optional[float] = ..., controlnet_conditioning_scale: _Optional[float] = ..., variation_seed: _Optional[int] = ...) -> None: ...

class Attempted(_message.Message):
    __slots__ = ("attempt", "max_attempts", "images")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    max_attempts: int
    images: _containers.RepeatedCompositeFieldContainer[Attempt]
    def __init__(self, attempt: _Optional[int] = ..., max_attempts: _Optional[int] = ..., images: _Optional[_Iterable[_Union[Attempt, _Mapping]]] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ("queue_seconds", "embed_seconds", "search_seconds", "condition_seconds", "denoise_seconds", "decode_seconds", "total_seconds")
    QUEUE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    EMBED_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SEARCH_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CONDITION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    DENOISE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    DECODE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    queue_seconds: float
    embed_seconds: float
    search_seconds: float
    condition_seconds: float
    denoise_seconds: float
    decode_seconds: float
    total_seconds: float
    def __init__(self, queue_seconds: _Optional[float] = ..., embed_seconds: _Optional[float] = ..., search_seconds: _Optional[float] = ..., condition_seconds: _Optional[float] = ..., denoise_seconds: _Optional[float] = ..., decode_seconds: _Optional[float] = ..., total_seconds: _Optional[float] = ...) -> None: ...

class RenderResponse(_message.Message):
    __slots__ = ("images", "style", "style_score", "control_image", "style_image", "timings", "warnings", "id", "versions", "sketch_kind", "attempts", "styles", "style_temperature")
    class VersionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    STYLE_FIELD_NUMBER: _ClassVar[int]
    STYLE_SCORE_FIELD_NUMBER: _ClassVar[int]
    CONTROL_IMAGE_FIELD_NUMBER: _ClassVar[int]
    STYLE_IMAGE_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    SKETCH_KIND_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    STYLES_FIELD_NUMBER: _ClassVar[int]
    STYLE_TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedCompositeFieldContainer[RenderedImage]
    style: Style
    style_score: float
    control_image: bytes
    style_image: bytes
    timings: Timings
    warnings: _containers.RepeatedScalarFieldContainer[str]
    id: str
    versions: _containers.ScalarMap[str, int]
    sketch_kind: str
    attempts: _containers.RepeatedCompositeFieldContainer[Attempt]
    styles: _containers.RepeatedCompositeFieldContainer[ScoredStyle]
    style_temperature: float
    def __init__(self, images: _Optional[_Iterable[_Union[RenderedImage, _Mapping]]] = ..., style: _Optional[_Union[Style, _Mapping]] = ..., style_score: _Optional[float] = ..., control_image: _Optional[bytes] = ..., style_image: _Optional[bytes] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ..., warnings: _Optional[_Iterable[str]] = ..., id: _Optional[str] = ..., versions: _Optional[_Mapping[str, int]] = ..., sketch_kind: _Optional[str] = ..., attempts: _Optional[_Iterable[_Union[Attempt, _Mapping]]] = ..., styles: _Optional[_Iterable[_Union[ScoredStyle, _Mapping]]] = ..., style_temperature: _Optional[float] = ...) -> None: ...

class RenderStreamResponse(_message.Message):
    __slots__ = ("style", "progress", "result", "accepted", "attempted")
    STYLE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTED_FIELD_NUMBER: _ClassVar[int]
    style: ScoredStyle
    progress: Progress
    result: RenderResponse
    accepted: Accepted
    attempted: Attempted
    def __init__(self, style: _Optional[_Union[ScoredStyle, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., result: _Optional[_Union[RenderResponse, _Mapping]] = ..., accepted: _Optional[_Union[Accepted, _Mapping]] = ..., attempted: _Optional[_Union[Attempted, _Mapping]] = ...) -> None: ...

class Accepted(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("step", "steps", "previews")
    STEP_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    PREVIEWS_FIELD_NUMBER: _ClassVar[int]
    step: int
    steps: int
    previews: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, step: _Optional[int] = ..., steps: _Optional[int] = ..., previews: _Optional[_Iterable[bytes]] = ...) -> None: ...

class GetRenderRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetRenderResponse(_message.Message):
    __slots__ = ("id", "state", "create_time", "progress", "style", "result", "error_code", "error_message")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    STYLE_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    id: str
    state: RenderState
    create_time: _timestamp_pb2.Timestamp
    progress: Progress
    style: ScoredStyle
    result: RenderResponse
    error_code: str
    error_message: str
    def __init__(self, id: _Optional[str] = ..., state: _Optional[_Union[RenderState, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., style: _Optional[_Union[ScoredStyle, _Mapping]] = ..., result: _Optional[_Union[RenderResponse, _Mapping]] = ..., error_code: _Optional[str] = ..., error_message: _Optional[str] = ...) -> None: ...

class CancelRenderRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class CancelRenderResponse(_message.Message):
    __slots__ = ("state",)
    STATE_FIELD_NUMBER: _ClassVar[int]
    state: RenderState
    def __init__(self, state: _Optional[_Union[RenderState, str]] = ...) -> None: ...

class ServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ServedModel(_message.Message):
    __slots__ = ("name", "version", "ready")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    ready: bool
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., ready: _Optional[bool] = ...) -> None: ...

class ServerInfoResponse(_message.Message):
    __slots__ = ("version", "triton_version", "models", "pack", "pack_revision", "schedulers", "scopes", "served_versions", "problem", "clip", "limits")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TRITON_VERSION_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    PACK_FIELD_NUMBER: _ClassVar[int]
    PACK_REVISION_FIELD_NUMBER: _ClassVar[int]
    SCHEDULERS_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    SERVED_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    CLIP_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    version: str
    triton_version: str
    models: _containers.RepeatedCompositeFieldContainer[ServedModel]
    pack: str
    pack_revision: str
    schedulers: _containers.RepeatedScalarFieldContainer[str]
    scopes: _containers.RepeatedScalarFieldContainer[str]
    served_versions: _containers.RepeatedCompositeFieldContainer[PinnedVersions]
    problem: str
    clip: int
    limits: RenderLimits
    def __init__(self, version: _Optional[str] = ..., triton_version: _Optional[str] = ..., models: _Optional[_Iterable[_Union[ServedModel, _Mapping]]] = ..., pack: _Optional[str] = ..., pack_revision: _Optional[str] = ..., schedulers: _Optional[_Iterable[str]] = ..., scopes: _Optional[_Iterable[str]] = ..., served_versions: _Optional[_Iterable[_Union[PinnedVersions, _Mapping]]] = ..., problem: _Optional[str] = ..., clip: _Optional[int] = ..., limits: _Optional[_Union[RenderLimits, _Mapping]] = ...) -> None: ...

class RenderLimits(_message.Message):
    __slots__ = ("native_side", "max_pixels", "min_side", "max_side", "side_step", "max_steps", "cross_attention_layers")
    class MaxStepsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    NATIVE_SIDE_FIELD_NUMBER: _ClassVar[int]
    MAX_PIXELS_FIELD_NUMBER: _ClassVar[int]
    MIN_SIDE_FIELD_NUMBER: _ClassVar[int]
    MAX_SIDE_FIELD_NUMBER: _ClassVar[int]
    SIDE_STEP_FIELD_NUMBER: _ClassVar[int]
    MAX_STEPS_FIELD_NUMBER: _ClassVar[int]
    CROSS_ATTENTION_LAYERS_FIELD_NUMBER: _ClassVar[int]
    native_side: int
    max_pixels: int
    min_side: int
    max_side: int
    side_step: int
    max_steps: _containers.ScalarMap[str, int]
    cross_attention_layers: int
    def __init__(self, native_side: _Optional[int] = ..., max_pixels: _Optional[int] = ..., min_side: _Optional[int] = ..., max_side: _Optional[int] = ..., side_step: _Optional[int] = ..., max_steps: _Optional[_Mapping[str, int]] = ..., cross_attention_layers: _Optional[int] = ...) -> None: ...

class PinnedVersions(_message.Message):
    __slots__ = ("alias", "versions")
    class VersionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    alias: str
    versions: _containers.ScalarMap[str, int]
    def __init__(self, alias: _Optional[str] = ..., versions: _Optional[_Mapping[str, int]] = ...) -> None: ...

class AddStyleRequest(_message.Message):
    __slots__ = ("image", "name", "tags", "replace")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    REPLACE_FIELD_NUMBER: _ClassVar[int]
    image: bytes
    name: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    replace: bool
    def __init__(self, image: _Optional[bytes] = ..., name: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., replace: _Optional[bool] = ...) -> None: ...

class AddStyleResponse(_message.Message):
    __slots__ = ("style", "added", "warnings")
    STYLE_FIELD_NUMBER: _ClassVar[int]
    ADDED_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    style: Style
    added: bool
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, style: _Optional[_Union[Style, _Mapping]] = ..., added: _Optional[bool] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class GetStyleRequest(_message.Message):
    __slots__ = ("id", "thumbnail")
    ID_FIELD_NUMBER: _ClassVar[int]
    THUMBNAIL_FIELD_NUMBER: _ClassVar[int]
    id: str
    thumbnail: int
    def __init__(self, id: _Optional[str] = ..., thumbnail: _Optional[int] = ...) -> None: ...

class GetStyleResponse(_message.Message):
    __slots__ = ("style", "image")
    STYLE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    style: Style
    image: bytes
    def __init__(self, style: _Optional[_Union[Style, _Mapping]] = ..., image: _Optional[bytes] = ...) -> None: ...

class RemoveStyleRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class RemoveStyleResponse(_message.Message):
    __slots__ = ("style",)
    STYLE_FIELD_NUMBER: _ClassVar[int]
    style: Style
    def __init__(self, style: _Optional[_Union[Style, _Mapping]] = ...) -> None: ...

class ListStylesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListStylesResponse(_message.Message):
    __slots__ = ("styles", "next_page_token")
    STYLES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    styles: _containers.RepeatedCompositeFieldContainer[Style]
    next_page_token: str
    def __init__(self, styles: _Optional[_Iterable[_Union[Style, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class SearchStylesRequest(_message.Message):
    __slots__ = ("prompt", "style_filter", "limit")
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    STYLE_FILTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    prompt: str
    style_filter: _containers.RepeatedScalarFieldContainer[str]
    limit: int
    def __init__(self, prompt: _Optional[str] = ..., style_filter: _Optional[_Iterable[str]] = ..., limit: _Optional[int] = ...) -> None: ...

class SearchStylesResponse(_message.Message):
    __slots__ = ("styles",)
    STYLES_FIELD_NUMBER: _ClassVar[int]
    styles: _containers.RepeatedCompositeFieldContainer[ScoredStyle]
    def __init__(self, styles: _Optional[_Iterable[_Union[ScoredStyle, _Mapping]]] = ...) -> None: ...

class ReembedStylesRequest(_message.Message):
    __slots__ = ("clip",)
    CLIP_FIELD_NUMBER: _ClassVar[int]
    clip: int
    def __init__(self, clip: _Optional[int] = ...) -> None: ...

class ReembedStylesResponse(_message.Message):
    __slots__ = ("done", "total", "failed", "complete")
    class FailedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    done: int
    total: int
    failed: _containers.ScalarMap[str, str]
    complete: bool
    def __init__(self, done: _Optional[int] = ..., total: _Optional[int] = ..., failed: _Optional[_Mapping[str, str]] = ..., complete: _Optional[bool] = ...) -> None: ...
