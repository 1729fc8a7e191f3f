"""The file of API keys."""

from __future__ import annotations

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from gateway.auth.caller import Quota, Scope
from gateway.auth.keys import ID_LETTERS, KeyStore
from pipeline.errors import InvalidRequest, NotFound, Unavailable
from tests.disks import fill

QUOTA = Quota(600, 10, 4, 1000)
RENDER = [Scope.RENDER]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "var" / "keys.json"


@pytest.fixture
def store(path):
    return KeyStore(path)


def test_a_key_is_found_by_itself(store):
    key, secret = store.create("studio", [Scope.RENDER, Scope.STYLES])
    assert store.find(secret) == key
    assert key.scopes == {Scope.RENDER, Scope.STYLES}
    assert (key.name, key.expires) == ("studio", None)


def test_a_key_has_an_id_and_a_long_secret(store):
    key, secret = store.create("studio", RENDER)
    prefix, identity, random = secret.split("_", 2)
    assert (prefix, identity) == ("mqt", key.id)
    assert len(identity) == 8
    assert set(identity) <= set(ID_LETTERS)
    assert len(random) == 43  # 32 bytes in base64


def test_the_file_is_the_owners_alone_and_has_no_secret(store, path):
    _, secret = store.create("studio", RENDER)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert secret not in text
    assert secret.split("_", 2)[2] not in text
    assert [file.name for file in path.parent.iterdir()] == ["keys.json"]


@pytest.mark.parametrize(
    "change",
    [
        lambda key: key[:-1] + ("A" if key[-1] != "A" else "B"),
        lambda key: key.removeprefix("mqt_"),
        lambda key: key + "x",
        lambda key: key.replace("mqt_", "mqt_0"),
        lambda key: key.rpartition("_")[0],
        lambda _: "mqt_",
        lambda _: "",
        lambda _: "mqt_é\ud800_x",
    ],
)
def test_another_key_is_not_found(store, change):
    _, secret = store.create("studio", RENDER)
    assert store.find(change(secret)) is None


def test_the_hash_in_the_file_is_no_key(store):
    key, _ = store.create("studio", RENDER)
    assert store.find(f"mqt_{key.id}_{key.sha256}") is None


def test_a_gateway_that_runs_sees_what_others_change(store, path):
    gateway = KeyStore(path)
    assert gateway.find("mqt_x_y") is None
    key, secret = store.create("studio", RENDER)
    assert gateway.find(secret) == key
    store.revoke(key.id)
    assert gateway.find(secret) is None
    _, second = store.create("second", RENDER)
    assert gateway.find(second)
    path.unlink()
    assert gateway.find(second) is None


def test_keys_are_rotated_without_a_gap(store, path):
    gateway = KeyStore(path)
    old, old_secret = store.create("studio", RENDER)
    _, new_secret = store.create("studio", RENDER)
    assert gateway.find(old_secret)
    assert gateway.find(new_secret)
    store.revoke(old.id)
    assert gateway.find(old_secret) is None
    assert gateway.find(new_secret)


def test_a_key_expires(store):
    key, _ = store.create("studio", RENDER, timedelta(days=30))
    assert key.expires - key.created == timedelta(days=30)
    assert not key.has_expired
    past, secret = store.create("past", RENDER, timedelta(days=-1))
    assert past.has_expired
    assert store.find(secret) == past


def test_a_key_may_have_limits_of_its_own(store):
    key, secret = store.create("studio", RENDER, limits={"renders_per_day": 5})
    assert key.quota(QUOTA) == Quota(600, 10, 4, 5)
    assert store.find(secret).quota(QUOTA) == Quota(600, 10, 4, 5)
    assert store.create("plain", RENDER)[0].quota(QUOTA) == QUOTA


def test_an_admin_is_limited_only_where_that_was_asked_for(store):
    assert store.create("admin", [Scope.ADMIN])[0].quota(QUOTA) is None
    limited, _ = store.create("admin", [Scope.ADMIN], limits={"renders_at_once": 2})
    assert limited.quota(QUOTA) == Quota(600, 10, 2, 1000)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 65])
def test_a_name_can_be_shown(store, name):
    with pytest.raises(InvalidRequest, match="NAME is .*Say who will use the key"):
        store.create(name, RENDER)


def test_what_is_not_there_cannot_be_revoked(store):
    with pytest.raises(NotFound, match="There is no key 'abcdefgh' in .*keys list"):
        store.revoke("abcdefgh")


def test_changes_at_once_are_all_kept(path):
    def create(number):
        return KeyStore(path).create(f"key {number}", RENDER)[1]

    with ThreadPoolExecutor(8) as pool:
        secrets = list(pool.map(create, range(40)))
    assert all(KeyStore(path).find(secret) for secret in secrets)
    assert len(KeyStore(path).all()) == 40


DAMAGED = {
    "not JSON": lambda text: text[:-20],
    "not UTF-8": lambda text: text.replace("studio", "\udcff"),
    "a hash cut short": lambda text: text.replace('"sha256": "', '"sha256": "x'),
    "an unknown scope": lambda text: text.replace('"render"', '"everything"'),
    "an unknown limit": lambda text: text.replace('"name"', '"limits": {"pigs": 1}, "name"'),
    "a limit of 0": lambda text: text.replace('"name"', '"limits": {"renders_per_day": 0}, "name"'),
    "an unknown field": lambda text: text.replace('"name"', '"note": "", "name"'),
    "no time zone": lambda text: text.replace('Z"', '"'),
    "a list": lambda text: f"[{text}]",
    "nothing": lambda text: "",
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_file_lets_nobody_in_and_is_told_once(store, path, damage, caplog):
    key, secret = store.create("studio", RENDER)
    assert store.find(secret)
    whole = path.read_bytes()
    damaged = damage(whole.decode())
    assert damaged != whole.decode()
    path.write_bytes(damaged.encode(errors="surrogateescape"))
    for _ in range(3):
        with pytest.raises(Unavailable, match="cannot read its API keys") as error:
            store.find(secret)
        assert str(path) not in str(error.value)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert str(path) in caplog.text
    assert key.sha256 not in caplog.text
    with pytest.raises(Unavailable, match="Restore or remove it"):
        store.create("another", RENDER)
    path.write_bytes(whole)
    assert store.find(secret) == key


def test_a_folder_in_the_files_place_lets_nobody_in(tmp_path):
    with pytest.raises(Unavailable):
        KeyStore(tmp_path).find("mqt_x_y")


def test_a_file_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "var").write_text("a file")
    with pytest.raises(Unavailable, match="cannot be changed"):
        KeyStore(tmp_path / "var" / "keys.json").create("studio", RENDER)


def test_a_change_that_fails_leaves_the_file_whole(store, path):
    _, secret = store.create("studio", RENDER)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="no such limit"):
        store.create("other", RENDER, limits={"pigs": 1})
    assert path.read_bytes() == before
    assert store.find(secret)
    assert [file.name for file in path.parent.iterdir()] == ["keys.json"]
    assert json.loads(before)["keys"][0]["name"] == "studio"


def test_on_a_full_disk_the_keys_stay_as_they_were(small_disk):
    path = small_disk / "keys.json"
    store = KeyStore(path)
    key, secret = store.create("studio", RENDER)
    before = path.read_bytes()
    filler = fill(small_disk)
    for change in (lambda: store.create("other", RENDER), lambda: store.revoke(key.id)):
        with pytest.raises(Unavailable, match=f"{path} cannot be changed: No space left .*room"):
            change()
        assert path.read_bytes() == before
        assert {file.name for file in small_disk.iterdir()} == {"keys.json", filler.name}
    assert store.find(secret) == key
    filler.unlink()
    store.revoke(key.id)
    assert store.find(secret) is None


def test_a_write_that_fails_leaves_nothing_behind(store, path):
    path.mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        store._write([])
    assert [file.name for file in path.parent.iterdir()] == ["keys.json"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_changes_stays_the_gateways_to_read(store, path):
    path.parent.mkdir()
    os.chown(path.parent, 1234, 1234)
    key, _ = store.create("studio", RENDER)
    assert path.stat().st_uid == 1234
    os.chown(path, 4321, 4321)
    store.revoke(key.id)
    assert (path.stat().st_uid, path.stat().st_gid) == (4321, 4321)
