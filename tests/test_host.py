"""Facts that tell one machine from another, and stay the same on it."""

import json

import pytest

from detector.core.cpu import usable_cores
from stages import host


def test_a_machine_describes_itself_the_same_way_twice():
    assert host.describe_cpu() == host.describe_cpu()
    assert host.describe_machine() == host.describe_machine()
    assert 1 <= usable_cores() == host.describe_cpu()["cores"]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Files that describe a machine; a test writes into them and reads what they make."""
    names = {"MACHINE_IDS": ["id", "dbus"], "CONTAINER_MARKS": ["dockerenv"], "BOOT_ID": "boot",
             "CPU": "cpu0", "CPU_LIMIT": "cpu.max", "MEMORY_LIMITS": ["memory.max"]}  # fmt: skip
    for name, files in names.items():
        paths = tmp_path / files if isinstance(files, str) else [tmp_path / f for f in files]
        monkeypatch.setattr(host, name, paths)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    def described(**contents: str) -> dict:
        for name, text in contents.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return host.describe_machine()

    return described


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ({"id": "a1"}, {"id": "a1", "boot": "other"}, True),  # restarted
        ({"id": "a1"}, {"id": "b2"}, False),
        ({"id": "", "dbus": "a1"}, {"dbus": "b2"}, False),
        ({"id": "a1", "dockerenv": "", "boot": "x"}, {"boot": "x"}, True),
        ({"id": "a1", "dockerenv": "", "boot": "x"}, {"boot": "y"}, False),  # image on another host
        ({"id": "a1"}, {"cpu0__cpufreq__cpuinfo_max_freq": "3100000"}, False),
        ({"id": "a1"}, {"cpu0__cache__index3__size": "32768K"}, False),
        ({"id": "a1"}, {"cpu.max": "150000 100000"}, False),
        ({"id": "a1"}, {"memory.max": str(2**30)}, False),
        ({"id": "a1", "memory.max": "max"}, {"memory.max": str(2**63)}, True),
        ({}, {}, True),
    ],
)
def test_what_makes_another_machine(machine, first, second, same):
    assert (machine(**first) == machine(**second)) == same


def test_the_id_of_the_installation_is_not_published(machine):
    assert "3d1219c7c4c5" not in json.dumps(machine(id="3d1219c7c4c5404aaa1f6d2a48adfda4"))
