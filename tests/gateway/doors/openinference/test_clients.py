"""What Triton's four clients, unmodified, get from the two faces."""

from __future__ import annotations

import asyncio
import json
import queue

import httpx
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

from gateway.doors.openinference.model import INPUTS, OUTPUTS, PICTURES
from gateway.doors.openinference.rest import MODEL as REST_MODEL
from pipeline.pinned_versions import PinnedVersions
from pipeline.request import STANDS_FOR, RenderRequest
from tests.gateway.doors.openinference.clients import FLAVOURS, MODEL, address_of
from tests.gateway.doors.openinference.serving import (
    BROKEN,
    SCORE,
    SLOW,
    STYLE,
    TIMINGS,
    UNSEEDED,
    VERSION,
    painted,
)
from tests.gateway.waiting import until

EVERYTHING = {
    "negative_prompt": [b"blurry"],
    "style_images": [],
    "style_weights": [0.25, 0.75],
    "seed": [2**32 - 5],
    "num_inference_steps": [3],
    "guidance_scale": [2.5],
    "guidance_start": [0.25],
    "guidance_end": [0.5],
    "controlnet_conditioning_scale": [0.5],
    "control_guidance_start": [0.125],
    "control_guidance_end": [0.75],
    "ip_adapter_scale": [0.25] * 16,
    "canny_low_threshold": [10],
    "canny_high_threshold": [20],
    "scheduler": [b"ddim"],
    "width": [128],
    "height": [192],
    "num_images": [2],
    "versions": [b"champion"],
    "strength": [0.5],
    "prompt_syntax": [b"plain"],
    "mask_blur": [3],
    "control_in_mask": [False],
    "pad": [0, 64, 0, 0],
    "variation_strength": [0.25],
    "variation_seed": [7],
    "upscale": [2],
    "upscale_strength": [0.5],
    "sketch_kind": [b"photo"],
    "control_mode": [b"lines"],
    "structure_min": [0.75],
    "max_attempts": [2],
    "style_count": [1],
    "style_mode": [b"style"],
    "style_start": [0.25],
    "style_end": [0.5],
}
every_flavour = pytest.mark.parametrize("flavour", FLAVOURS.values(), ids=FLAVOURS)


def retrieved(sketch, **changed):
    return {"sketch": [sketch], "prompt": ["a tower, café".encode()], **changed}


def as_fields(values):
    """What a request should have come to that was sent as `values`."""
    fields = {}
    for name, items in values.items():
        is_text = INPUTS[name].dtype == "BYTES" and name not in PICTURES
        told = tuple(item.decode() for item in items) if is_text else tuple(items)
        fields[name] = told if INPUTS[name].dims == (-1,) else told[0]
    return fields


@every_flavour
async def test_a_render_comes_back_whole(open_inference, flavour, tiny_sketch):
    result = await flavour.infer(
        address_of(open_inference, flavour), retrieved(tiny_sketch), request_id="mine"
    )
    values = {name: flavour.values(result, name) for name in OUTPUTS}
    asked = RenderRequest(tiny_sketch, "a tower, café")
    assert open_inference.painter.painted[-1] == asked
    assert len(values.pop("id")[0]) == 32
    assert values == {
        "image": [painted(asked, UNSEEDED)],
        "seed": [UNSEEDED],
        "structure_f1": [0.5],
        "clip_score": [0.25],
        "image_style_score": [0.75],
        "style": [STYLE.id.encode()],
        "style_score": [SCORE],
        "styles": [STYLE.id.encode()],
        "style_weights": [1.0],
        "control_image": [tiny_sketch],
        "warnings": [],
        "versions": [json.dumps(PinnedVersions().versions, sort_keys=True).encode()],
        "sketch_kind": [b"clean"],
        "attempts": [b"[]"],
    }
    response = result.get_response()
    assert (response["id"] if flavour.is_http else response.id) == "mine"


@every_flavour
async def test_every_field_arrives(open_inference, flavour, tiny_sketch):
    values = retrieved(tiny_sketch, **EVERYTHING, style_filter=[], style=[b""], styles=[])
    values["style_images"] = [tiny_sketch, tiny_sketch]
    values["image"] = values["mask"] = [tiny_sketch]
    # They stand for others.
    assert set(values) == set(INPUTS) - set(STANDS_FOR)
    result = await flavour.infer(address_of(open_inference, flavour), values)
    assert open_inference.painter.painted[-1] == RenderRequest(**as_fields(values))
    assert flavour.values(result, "seed") == [2**32 - 5, 2**32 - 4]
    assert flavour.values(result, "style") == [b""]
    assert flavour.values(result, "style_score") == []


@every_flavour
async def test_what_stands_for_other_fields_arrives(open_inference, flavour, tiny_sketch):
    address = address_of(open_inference, flavour)
    values = retrieved(tiny_sketch, fidelity=[0.25], profile=[b"fast"])
    await flavour.infer(address, values)
    asked = open_inference.painter.painted[-1]
    assert (asked.fidelity, asked.profile) == (0.25, "fast")


@every_flavour
async def test_the_style_filter_arrives(open_inference, flavour, tiny_sketch):
    address = address_of(open_inference, flavour)
    await flavour.infer(address, retrieved(tiny_sketch, style_filter=[b"a", b"b"]))
    assert open_inference.painter.painted[-1].style_filter == ("a", "b")


@every_flavour
async def test_only_the_outputs_asked_for_come(open_inference, flavour, tiny_sketch):
    address = address_of(open_inference, flavour)
    values = retrieved(tiny_sketch, style=[b"cyberpunk"], prompt=[b"x" * 450])
    result = await flavour.infer(address, values, outputs=["warnings", "seed"])
    response = result.get_response()
    named = response["outputs"] if flavour.is_http else response.outputs
    assert [one["name"] if flavour.is_http else one.name for one in named] == ["warnings", "seed"]
    assert flavour.values(result, "warnings") == [b"The prompt was cut."]


@every_flavour
async def test_a_batch_dimension_of_one_is_taken(open_inference, flavour, tiny_sketch):
    values = {"sketch": [[tiny_sketch]], "prompt": [[b"a"]], "ip_adapter_scale": [[0.5] * 16]}
    if flavour.json:
        values["sketch"] = retrieved(tiny_sketch)["sketch"]
    await flavour.infer(address_of(open_inference, flavour), values)
    assert open_inference.painter.painted[-1].ip_adapter_scale == (0.5,) * 16


@every_flavour
async def test_a_mistake_is_told(open_inference, flavour, tiny_sketch):
    address = address_of(open_inference, flavour)
    for values, words in (
        (retrieved(tiny_sketch, width=[130]), "width is 130; allowed: 128 to 1024"),
        ({"sketch": [tiny_sketch]}, "inputs is without prompt"),
        (retrieved(b"no picture"), "sketch is 10 bytes; allowed: a PNG"),
    ):
        with pytest.raises(InferenceServerException, match=words) as failed:
            await flavour.infer(address, values)
        assert failed.value.status() == (
            "400" if flavour.is_http else "StatusCode.INVALID_ARGUMENT"
        )


@every_flavour
async def test_another_model_or_version_is_not_there(open_inference, flavour, tiny_sketch):
    address = address_of(open_inference, flavour)
    not_found = "404" if flavour.is_http else "StatusCode.NOT_FOUND"
    inputs = flavour.inputs(retrieved(tiny_sketch))
    for method, arguments in (
        ("infer", ("unet", inputs)),
        ("infer", (MODEL, inputs, "2")),
        ("get_model_metadata", ("unet",)),
        ("get_model_metadata", (MODEL, "2")),
        ("get_model_config", ("unet",)),
        ("get_inference_statistics", ("unet",)),
        ("get_inference_statistics", (MODEL, "2")),
    ):
        with pytest.raises(InferenceServerException, match=r"unet|version") as failed:
            await flavour.call(address, method, *arguments)
        assert failed.value.status() == not_found
    assert await flavour.call(address, "is_model_ready", MODEL, "1")
    if FLAVOURS["http.aio"].library is not flavour.library:  # it drops what says why unread
        assert not await flavour.call(address, "is_model_ready", "unet")


@every_flavour
async def test_the_server_describes_itself(open_inference, flavour):
    address = address_of(open_inference, flavour)
    how = {} if flavour.is_http else {"as_json": True}
    assert await flavour.call(address, "is_server_live")
    assert await flavour.call(address, "is_server_ready")
    assert await flavour.call(address, "is_model_ready", MODEL)
    assert await flavour.call(address, "get_server_metadata", **how) == {
        "name": "maquette",
        "version": VERSION,
        "extensions": ["binary_tensor_data", "model_configuration", "statistics"],
    }
    metadata = await flavour.call(address, "get_model_metadata", MODEL, **how)
    assert [one["name"] for one in metadata["inputs"]] == list(INPUTS)
    assert [one["name"] for one in metadata["outputs"]] == list(OUTPUTS)
    config = await flavour.call(address, "get_model_config", MODEL, **how)
    config = config if flavour.is_http else config["config"]
    optional = {one["name"] for one in config["input"] if one.get("optional")}
    assert set(INPUTS) - optional == {"prompt"}
    index = await flavour.call(address, "get_model_repository_index", **how)
    index = index if flavour.is_http else index["models"]
    assert index == [{"name": MODEL, "version": "1", "state": "READY"}]


@every_flavour
async def test_the_server_tells_when_it_is_not_ready(open_inference, flavour):
    address = address_of(open_inference, flavour)
    open_inference.ready = False
    try:
        assert await flavour.call(address, "is_server_live")
        assert not await flavour.call(address, "is_server_ready")
        assert not await flavour.call(address, "is_model_ready", MODEL)
    finally:
        open_inference.ready = True


@every_flavour
async def test_what_was_done_is_counted(open_inference, flavour, tiny_sketch):
    address = address_of(open_inference, flavour)
    how = {} if flavour.is_http else {"as_json": True}

    async def counted():
        told = await flavour.call(address, "get_inference_statistics", MODEL, **how)
        return told["model_stats"][0]

    def spent(one, stage):
        return int(one["inference_stats"].get(stage, {}).get("ns", 0))

    await flavour.infer(address, retrieved(tiny_sketch))
    before = await counted()
    await flavour.infer(address, retrieved(tiny_sketch))
    with pytest.raises(InferenceServerException):
        await flavour.infer(address, retrieved(tiny_sketch, style=[b"nowhere"]))
    after = await counted()
    for count in ("inference_count", "execution_count"):
        assert int(after[count]) == int(before[count]) + 1
    took = {stage: (spent(after, stage) - spent(before, stage)) / 1e9 for stage in
            ("queue", "compute_input", "compute_infer", "compute_output")}  # fmt: skip
    assert took == pytest.approx({
        "queue": TIMINGS.queue,
        "compute_input": TIMINGS.embed + TIMINGS.search + TIMINGS.condition,
        "compute_infer": TIMINGS.denoise,
        "compute_output": TIMINGS.decode,
    })  # fmt: skip
    failed = [
        int(one["inference_stats"].get("fail", {}).get("count", 0)) for one in (before, after)
    ]
    assert failed[1] == failed[0] + 1
    assert int(after["last_inference"]) >= int(before["last_inference"])


@every_flavour
async def test_a_timeout_ends_the_render(open_inference, flavour, tiny_sketch):
    cancelled = open_inference.painter.cancelled
    with pytest.raises(InferenceServerException, match=r"timeout of 0\.05 s") as failed:
        await flavour.infer(
            address_of(open_inference, flavour),
            retrieved(tiny_sketch, prompt=[SLOW.encode()]),
            timeout=50_000,
        )
    assert failed.value.status() == ("504" if flavour.is_http else "StatusCode.DEADLINE_EXCEEDED")
    await until(lambda: open_inference.painter.cancelled == cancelled + 1)


@every_flavour
async def test_what_a_stateless_model_need_not_heed_does_no_harm(
    open_inference, flavour, tiny_sketch
):
    options = {"sequence_id": 5, "sequence_start": True, "priority": 1}
    address = address_of(open_inference, flavour)
    result = await flavour.infer(address, retrieved(tiny_sketch), **options)
    assert flavour.values(result, "image")


@every_flavour
async def test_shared_memory_and_the_like_are_refused_with_a_reason(open_inference, flavour):
    address = address_of(open_inference, flavour)
    for method, arguments, words in (
        ("get_system_shared_memory_status", (), "shares no memory"),
        ("register_system_shared_memory", ("a", "/a", 16), "shares no memory"),
        ("unregister_system_shared_memory", (), "shares no memory"),
        ("get_cuda_shared_memory_status", (), "shares no memory"),
        ("unregister_cuda_shared_memory", (), "shares no memory"),
        ("load_model", (MODEL,), "Triton is private"),
        ("unload_model", (MODEL,), "Triton is private"),
        ("get_trace_settings", (), "OpenTelemetry"),
        ("get_log_settings", (), "MAQUETTE_LOG_FORMAT"),
    ):
        with pytest.raises(InferenceServerException, match=words) as failed:
            await flavour.call(address, method, *arguments)
        expected = "501" if flavour.is_http else "StatusCode.UNIMPLEMENTED"
        assert failed.value.status() == expected, method
    tensor = flavour.library.InferInput("sketch", [1], "BYTES")
    tensor.set_shared_memory("region", 16)
    with pytest.raises(InferenceServerException, match="shares no memory"):
        await flavour.call(address, "infer", MODEL, [tensor])


@every_flavour
async def test_an_unforeseen_failure_tells_nothing_of_the_inside(
    open_inference, flavour, tiny_sketch
):
    with pytest.raises(InferenceServerException, match="does not know") as failed:
        await flavour.infer(
            address_of(open_inference, flavour), retrieved(tiny_sketch, prompt=[BROKEN.encode()])
        )
    assert "secret" not in str(failed.value)


@every_flavour
async def test_only_health_asks_nobody_who_they_are(guarded, flavour, tiny_sketch):
    address, painted_before = address_of(guarded, flavour), len(guarded.painter.painted)
    for method in ("is_server_live", "is_server_ready"):
        assert await flavour.call(address, method)
    assert await flavour.call(address, "is_model_ready", MODEL)
    asked = (MODEL, flavour.inputs(retrieved(tiny_sketch)))
    for method, arguments in (
        ("get_server_metadata", ()),
        ("get_model_metadata", (MODEL,)),
        ("get_model_config", (MODEL,)),
        ("get_inference_statistics", ()),
        ("get_model_repository_index", ()),
        ("infer", asked),
    ):
        with pytest.raises(InferenceServerException, match="API key") as failed:
            await flavour.call(address, method, *arguments)
        expected = "401" if flavour.is_http else "StatusCode.UNAUTHENTICATED"
        assert failed.value.status() == expected, method
    headers = {"x-api-key": guarded.key}
    assert await flavour.call(address, "get_model_metadata", MODEL, headers=headers)
    with pytest.raises(InferenceServerException, match="scope render") as failed:
        await flavour.call(address, "infer", *asked, headers=headers)
    assert failed.value.status() == ("403" if flavour.is_http else "StatusCode.PERMISSION_DENIED")
    assert len(guarded.painter.painted) == painted_before


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
@every_flavour
async def test_compressed_requests_are_read(open_inference, flavour, tiny_sketch, algorithm):
    name = "request_compression_algorithm" if flavour.is_http else "compression_algorithm"
    address = address_of(open_inference, flavour)
    result = await flavour.infer(address, retrieved(tiny_sketch), **{name: algorithm})
    assert flavour.values(result, "control_image") == [tiny_sketch]


def test_asynchronous_calls_of_the_plain_clients_work(open_inference, tiny_sketch):
    flavour = FLAVOURS["http"]
    with triton_http.InferenceServerClient(open_inference.http, concurrency=2) as client:
        asked = [
            client.async_infer(MODEL, flavour.inputs(retrieved(tiny_sketch, seed=[seed])))
            for seed in (1, 2)
        ]
        results = [one.get_result() for one in asked]
    assert [result.as_numpy("seed").tolist() for result in results] == [[1], [2]]
    answers: queue.Queue = queue.Queue()
    inputs = FLAVOURS["grpc"].inputs(retrieved(tiny_sketch))
    with triton_grpc.InferenceServerClient(open_inference.grpc) as client:
        client.async_infer(MODEL, inputs, lambda result, error: answers.put((result, error)))
        result, error = answers.get(timeout=20)
    assert error is None
    assert result.as_numpy("control_image").tolist() == [tiny_sketch]


async def test_a_client_that_leaves_cancels_its_render(open_inference, tiny_sketch):
    painter, values = open_inference.painter, retrieved(tiny_sketch, prompt=[SLOW.encode()])
    cancelled = painter.cancelled
    for flavour in (FLAVOURS["grpc.aio"], FLAVOURS["http.aio"]):
        asking = asyncio.create_task(flavour.infer(address_of(open_inference, flavour), values))
        await until(lambda: painter.waiting == 1)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await until(lambda: painter.waiting == 0)
    assert painter.cancelled == cancelled + 2


class Stream:
    """What a stream of tritonclient brings."""

    def __init__(self, client, **options):
        self._answers: queue.Queue = queue.Queue()
        self.client = client
        client.start_stream(lambda result, error: self._answers.put((result, error)), **options)

    def ask(self, values, identity):
        inputs = FLAVOURS["grpc"].inputs(values)
        self.client.async_stream_infer(MODEL, inputs, request_id=identity)

    def answer(self):
        return self._answers.get(timeout=20)


def test_a_stream_answers_in_the_order_of_its_requests(open_inference, tiny_sketch):
    painter = open_inference.painter
    painter.gate.clear()
    with triton_grpc.InferenceServerClient(open_inference.grpc) as client:
        stream = Stream(client)
        stream.ask(retrieved(tiny_sketch, prompt=[SLOW.encode()]), "0")
        painted_before = len(painter.painted)
        stream.ask(retrieved(tiny_sketch, width=[130]), "1")
        for index in range(2, 20):
            stream.ask(retrieved(tiny_sketch, seed=[index]), str(index))
        # The first one waits, and those behind it are worked on meanwhile.
        asyncio.run(until(lambda: len(painter.painted) > painted_before + 3))
        painter.gate.set()
        answers = [stream.answer() for _ in range(20)]
    painter.gate.clear()
    assert "width is 130" in str(answers.pop(1)[1])
    assert [result.get_response().id for result, error in answers] == [
        "0", *(str(index) for index in range(2, 20))
    ]  # fmt: skip
    assert [int(result.as_numpy("seed")[0]) for result, _ in answers[1:]] == list(range(2, 20))


def test_a_stream_can_be_asked_to_end_with_a_status(open_inference, tiny_sketch):
    with triton_grpc.InferenceServerClient(open_inference.grpc) as client:
        stream = Stream(client, headers={"triton_grpc_error": "true"})
        stream.ask(retrieved(tiny_sketch), "0")
        assert stream.answer()[0].as_numpy("control_image").tolist() == [tiny_sketch]
        stream.ask(retrieved(tiny_sketch, width=[130]), "1")
        _, error = stream.answer()
    assert error.status() == "StatusCode.INVALID_ARGUMENT"
    assert "width is 130" in error.message()


def test_a_stream_that_is_left_cancels_its_renders(open_inference, tiny_sketch):
    painter = open_inference.painter
    cancelled = painter.cancelled
    with triton_grpc.InferenceServerClient(open_inference.grpc) as client:
        stream = Stream(client)
        for index in range(3):
            stream.ask(retrieved(tiny_sketch, prompt=[SLOW.encode()], seed=[index]), "")
        asyncio.run(until(lambda: painter.waiting == 3))
        client.stop_stream(cancel_requests=True)
        asyncio.run(until(lambda: painter.cancelled == cancelled + 3))


def test_the_paths_without_a_client_are_there(open_inference):
    with httpx.Client(base_url=f"http://{open_inference.http}/v2") as http:
        assert http.get("/models/stats").json()["model_stats"][0]["name"] == MODEL
        assert http.get("/repository/index").json()[0]["name"] == MODEL
        path = f"/models/{MODEL}/versions/1"
        assert http.get(f"{path}/stats").json() == http.get(f"/models/{MODEL}/stats").json()
        assert http.get(f"{path}/ready").status_code == 200
        assert http.get(path).json()["versions"] == ["1"]
        assert http.get("/models/unet/ready").status_code == 404


def test_the_paths_can_be_described(open_inference):
    paths = httpx.get(f"http://{open_inference.http}/openapi.json").json()["paths"]
    assert f"/v2{REST_MODEL}/infer" in paths
    assert not [path for path in paths if "sharedmemory" in path]


def test_numbers_in_json_stay_numbers(open_inference):
    with httpx.Client(base_url=f"http://{open_inference.http}/v2/models") as http:
        config, metadata = http.get(f"/{MODEL}/config").json(), http.get(f"/{MODEL}").json()
    assert config["max_batch_size"] == 0
    assert {type(size) for one in config["input"] for size in one["dims"]} == {int}
    assert {type(size) for one in metadata["outputs"] for size in one["shape"]} == {int}
