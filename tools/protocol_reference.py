"""``python -m tools.protocol_reference``: docs/protocol.md, from the comments of maquette.proto."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTO = "maquette/v1/maquette.proto"
PAGE = ROOT / "docs" / "protocol.md"

# Where descriptor.proto keeps what the paths of its source locations point at.
PACKAGE, MESSAGES, ENUMS, SERVICES = 2, 4, 5, 6
FIELDS_OF_MESSAGE, VALUES_OF_ENUM, METHODS_OF_SERVICE = 2, 2, 2

Comments = dict[tuple[int, ...], str]


def page() -> str:
    """The whole page, in Markdown."""
    file = _described()
    comments = {
        tuple(location.path): _one_paragraph(location.leading_comments)
        for location in file.source_code_info.location
    }
    return "\n".join(
        [
            f"# {file.package}",
            "",
            f"Made from the comments of [`{Path(PROTO).name}`](../{PROTO}) by `make protocol`.",
            "",
            comments.get((PACKAGE,), ""),
            *(
                line
                for number, service in enumerate(file.service)
                for line in _service(service, (SERVICES, number), comments)
            ),
            *(
                line
                for number, message in enumerate(file.message_type)
                for line in _message(message, (MESSAGES, number), comments)
            ),
            *(
                line
                for number, enum in enumerate(file.enum_type)
                for line in _enum(enum, (ENUMS, number), comments)
            ),
            "",
        ]
    )


def _described() -> FileDescriptorProto:
    with tempfile.NamedTemporaryFile(suffix=".binpb") as made:
        include = Path(protoc.__file__).parent / "_proto"
        arguments = [f"--proto_path={ROOT}", f"--proto_path={include}", "--include_source_info"]
        if protoc.main(["protoc", *arguments, f"--descriptor_set_out={made.name}", PROTO]):
            raise SystemExit(f"{PROTO} cannot be read; protoc says why above.")
        described = FileDescriptorSet.FromString(Path(made.name).read_bytes())
    return described.file[0]


def _one_paragraph(comment: str) -> str:
    paragraphs = comment.strip().split("\n\n")
    joined = (" ".join(line.strip() for line in part.splitlines()) for part in paragraphs)
    return "\n\n".join(joined)


def _service(
    service: ServiceDescriptorProto, path: tuple[int, ...], comments: Comments
) -> Iterator[str]:
    yield from ("", f"## {service.name}", "", comments.get(path, ""), "")
    yield from ("| method | takes | answers | |", "|---|---|---|---|")
    for number, method in enumerate(service.method):
        takes, gives = (_link(kind) for kind in (method.input_type, method.output_type))
        stream = "stream of " if method.server_streaming else ""
        says = comments.get((*path, METHODS_OF_SERVICE, number), "")
        yield f"| `{method.name}` | {takes} | {stream}{gives} | {says} |"


def _message(message: DescriptorProto, path: tuple[int, ...], comments: Comments) -> Iterator[str]:
    yield from ("", f"### {message.name}", "")
    if comments.get(path):
        yield from (comments[path], "")
    if not message.field:
        yield "Has no fields."
        return
    yield from ("| field | type | |", "|---|---|---|")
    for number, field in enumerate(message.field):
        says = comments.get((*path, FIELDS_OF_MESSAGE, number), "")
        yield f"| `{field.name}` | {_type(field)} | {says} |"


def _enum(enum: EnumDescriptorProto, path: tuple[int, ...], comments: Comments) -> Iterator[str]:
    yield from ("", f"### {enum.name}", "", "| value | |", "|---|---|")
    for number, value in enumerate(enum.value):
        yield f"| `{value.name}` | {comments.get((*path, VALUES_OF_ENUM, number), '')} |"


def _type(field: FieldDescriptorProto) -> str:
    name = _link(field.type_name) if field.type_name else _scalar(field)
    repeated = field.label == FieldDescriptorProto.LABEL_REPEATED
    return f"repeated {name}" if repeated else name


def _scalar(field: FieldDescriptorProto) -> str:
    return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()


def _link(type_name: str) -> str:
    name = type_name.rpartition(".")[2]
    ours = type_name.startswith(".maquette.v1.")
    return f"[{name}](#{name.lower()})" if ours else type_name.removeprefix(".")


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
