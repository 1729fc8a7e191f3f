from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RenderRequest(_message.Message):
    __slots__ = ("sketch", "prompt", "negative_prompt", "style", "style_filter", "style_images", "style_weights", "seed", "num_inference_steps", "guidance_scale", "controlnet_conditioning_scale", "control_guidance_start", "control_guidance_end", "ip_adapter_scale", "canny_low_threshold", "canny_high_threshold", "scheduler", "width", "height", "num_images")
    SKETCH_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_PROMPT_FIELD_NUMBER: _ClassVar[int]
    STYLE_FIELD_NUMBER: _ClassVar[int]
    STYLE_FILTER_FIELD_NUMBER: _ClassVar[int]
    STYLE_IMAGES_FIELD_NUMBER: _ClassVar[int]
    STYLE_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    NUM_INFERENCE_STEPS_FIELD_NUMBER: _ClassVar[int]
    GUIDANCE_SCALE_FIELD_NUMBER: _ClassVar[int]
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
    sketch: bytes
    prompt: str
    negative_prompt: str
    style: str
    style_filter: _containers.RepeatedScalarFieldContainer[str]
    style_images: _containers.RepeatedScalarFieldContainer[bytes]
    style_weights: _containers.RepeatedScalarFieldContainer[float]
    seed: int
    num_inference_steps: int
    guidance_scale: float
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
    def __init__(self, sketch: _Optional[bytes] = ..., prompt: _Optional[str] = ..., negative_prompt: _Optional[str] = ..., style: _Optional[str] = ..., style_filter: _Optional[_Iterable[str]] = ..., style_images: _Optional[_Iterable[bytes]] = ..., style_weights: _Optional[_Iterable[float]] = ..., seed: _Optional[int] = ..., num_inference_steps: _Optional[int] = ..., guidance_scale: _Optional[float] = ..., controlnet_conditioning_scale: _Optional[float] = ..., control_guidance_start: _Optional[float] = ..., control_guidance_end: _Optional[float] = ..., ip_adapter_scale: _Optional[_Iterable[float]] = ..., canny_low_threshold: _Optional[int] = ..., canny_high_threshold: _Optional[int] = ..., scheduler: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., num_images: _Optional[int] = ...) -> None: ...

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
    __slots__ = ("style", "score")
    STYLE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    style: Style
    score: float
    def __init__(self, style: _Optional[_Union[Style, _Mapping]] = ..., score: _Optional[float] = ...) -> None: ...

class RenderedImage(_message.Message):
    __slots__ = ("png", "seed", "structure_f1")
    PNG_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    STRUCTURE_F1_FIELD_NUMBER: _ClassVar[int]
    png: bytes
    seed: int
    structure_f1: float
    def __init__(self, png: _Optional[bytes] = ..., seed: _Optional[int] = ..., structure_f1: _Optional[float] = ...) -> None: ...

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
    __slots__ = ("images", "style", "style_score", "control_image", "style_image", "timings", "warnings")
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    STYLE_FIELD_NUMBER: _ClassVar[int]
    STYLE_SCORE_FIELD_NUMBER: _ClassVar[int]
    CONTROL_IMAGE_FIELD_NUMBER: _ClassVar[int]
    STYLE_IMAGE_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedCompositeFieldContainer[RenderedImage]
    style: Style
    style_score: float
    control_image: bytes
    style_image: bytes
    timings: Timings
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, images: _Optional[_Iterable[_Union[RenderedImage, _Mapping]]] = ..., style: _Optional[_Union[Style, _Mapping]] = ..., style_score: _Optional[float] = ..., control_image: _Optional[bytes] = ..., style_image: _Optional[bytes] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class RenderStreamResponse(_message.Message):
    __slots__ = ("style", "progress", "result")
    STYLE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    style: ScoredStyle
    progress: Progress
    result: RenderResponse
    def __init__(self, style: _Optional[_Union[ScoredStyle, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., result: _Optional[_Union[RenderResponse, _Mapping]] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("step", "steps")
    STEP_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    step: int
    steps: int
    def __init__(self, step: _Optional[int] = ..., steps: _Optional[int] = ...) -> None: ...

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
    __slots__ = ("style", "added")
    STYLE_FIELD_NUMBER: _ClassVar[int]
    ADDED_FIELD_NUMBER: _ClassVar[int]
    style: Style
    added: bool
    def __init__(self, style: _Optional[_Union[Style, _Mapping]] = ..., added: _Optional[bool] = ...) -> None: ...

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
