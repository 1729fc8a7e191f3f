from __future__ import annotations

import socket

import pytest

from pipeline import addresses


@pytest.mark.parametrize(
    ("given", "host", "joined"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1:8033"),
        ("gateway.example", "gateway.example", "gateway.example:8033"),
        ("::1", "::1", "[::1]:8033"),
        ("[::1]", "::1", "[::1]:8033"),
        ("0:0:0:0:0:0:0:1", "::1", "[::1]:8033"),
        ("FE80::1%eth0", "fe80::1%eth0", "[fe80::1%eth0]:8033"),
    ],
)
def test_an_ipv6_address_has_brackets_where_a_port_follows(given, host, joined):
    assert addresses.bare(given) == host
    assert addresses.join(host, 8033) == joined


@pytest.mark.parametrize("given", ["localhost:8033", "127.0.0.1:1", "::1:x", "[::1]:8033"])
def test_a_port_is_no_part_of_a_host(given):
    with pytest.raises(ValueError, match=r"."):
        addresses.bare(given)


@pytest.mark.parametrize(
    ("host", "is_so"),
    [("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("localhost", True),
     ("::", False), ("0.0.0.0", False), ("10.0.0.1", False), ("fd00::1", False),
     ("localhost.example", False), ("", False)],
)  # fmt: skip
def test_loopback_is_what_only_this_machine_reaches(host, is_so):
    assert addresses.is_loopback(host) is is_so


def test_a_name_with_both_kinds_of_addresses_is_bound_to_the_older():
    assert addresses.resolve("127.0.0.1", 1) == (socket.AF_INET, ("127.0.0.1", 1))
    assert addresses.resolve("::1", 1)[0] is socket.AF_INET6
    assert addresses.resolve("localhost", 1)[0] is socket.AF_INET
