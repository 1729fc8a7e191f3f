"""``python -m tools.protocol_reference``: docs/protocol.md, from the comments of maquette.proto."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTO = "maquette/v1/maquette.proto"
PAGE = ROOT / "docs" / "protocol.md"

# Where descriptor.proto keeps what the paths of its source locations point at.
PACKAGE, MESSAGES, ENUMS, SERVICES = 2, 4, 5, 6
INSIDE = 2
"""Of a message its fields, of an enum its values, of a service its methods."""


def page() -> str:
    """The whole page, in Markdown."""
    file = _described()
    comments = {
        tuple(location.path): _one_paragraph(location.leading_comments)
        for location in file.source_code_info.location
    }

    def says(*path: int) -> str:
        return comments.get(path, "")

    made = f"Made from the comments of [`{Path(PROTO).name}`](../{PROTO}) by `make protocol`."
    lines = [f"# {file.package}", "", made, "", says(PACKAGE)]
    for number, service in enumerate(file.service):
        lines += ["", f"## {service.name}", "", says(SERVICES, number), ""]
        lines += ["| method | takes | answers | |", "|---|---|---|---|"]
        for index, method in enumerate(service.method):
            lines.append(f"{_method(method)} | {says(SERVICES, number, INSIDE, index)} |")
    for number, message in enumerate(file.message_type):
        lines += ["", f"### {message.name}", ""]
        if said := says(MESSAGES, number):
            lines += [said, ""]
        lines += ["| field | type | |", "|---|---|---|"] if message.field else ["Has no fields."]
        for index, field in enumerate(message.field):
            said = says(MESSAGES, number, INSIDE, index)
            lines.append(f"| `{field.name}` | {_type(field, message)} | {said} |")
    for number, enum in enumerate(file.enum_type):
        lines += ["", f"### {enum.name}", "", "| value | |", "|---|---|"]
        for index, value in enumerate(enum.value):
            lines.append(f"| `{value.name}` | {says(ENUMS, number, INSIDE, index)} |")
    return "\n".join([*lines, ""])


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
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _method(method: MethodDescriptorProto) -> str:
    stream = "stream of " if method.server_streaming else ""
    return f"| `{method.name}` | {_link(method.input_type)} | {stream}{_link(method.output_type)}"


def _type(field: FieldDescriptorProto, message: DescriptorProto) -> str:
    for entry in message.nested_type:
        if entry.options.map_entry and field.type_name.endswith(f".{message.name}.{entry.name}"):
            return f"map of {' to '.join(_type(side, entry) for side in entry.field)}"
    scalar = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    name = _link(field.type_name) if field.type_name else scalar
    repeated = field.label == FieldDescriptorProto.LABEL_REPEATED
    return f"repeated {name}" if repeated else name


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
