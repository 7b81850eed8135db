"""`./build.sh` on machines of every kind: what it finds them to be, what it refuses, what it builds and calls it."""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.program import ROOT, environment

if TYPE_CHECKING:
    from pathlib import Path

DOCKER = """#!/bin/bash
case "$*" in
  info*DockerRootDir*) echo "$FAKE_ROOT_DIR" ;;
  info*) [ "${FAKE_ENGINE:-up}" = up ] ;;
  "buildx version") [ "${FAKE_BUILDX:-there}" = there ] ;;
  "image inspect"*) echo 750000000 ;;
  "buildx build"*) printf '%s\\n' "$@" >"$FAKE_LOG" ;;
esac
"""
JETSON = {
    "proc/device-tree/model": "NVIDIA Jetson Orin NX Engineering Reference Developer Kit\0",
    "proc/device-tree/compatible": "nvidia,p3768-0000+p3767-0000\0nvidia,tegra234\0",
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.0, GCID: 37537400, BOARD: generic, EABI: aarch64\n",
}
DLA_COMPILER = {"usr/lib/aarch64-linux-gnu/nvidia/libnvdla_compiler.so": ""}
DRIVER = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {}  Fri Aug 30 00:35:53 UTC 2024\n"
    "GCC version:  gcc version 12.3.0 (Ubuntu 12.3.0-1ubuntu1~22.04)\n"
)


def jetson(release: str, revision: str) -> dict[str, str]:
    """Return the files of a Jetson with another Jetson Linux."""
    line = f"# R{release} (release), REVISION: {revision}, GCID: 33958178, BOARD: generic, EABI: aarch64\n"
    return JETSON | {"etc/nv_tegra_release": line}


class Machine:
    """A machine with a `docker` that does as it is told and writes down what it is to build."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.log = folder / "build.log"
        self.programs = folder / "bin"
        self.programs.mkdir(parents=True)
        self.root.mkdir()
        self.program("docker", DOCKER)
        self.is_a("x86_64")

    def program(self, name: str, text: str) -> None:
        """Put a program on its PATH."""
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def is_a(self, machine: str) -> None:
        """Give it a processor."""
        self.program("uname", f"#!/bin/sh\necho {machine}\n")

    def has(self, files: dict[str, str]) -> None:
        """Put files under its root."""
        for name, text in files.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)

    def build(self, *arguments: str, code: int = 0, **env: str) -> str:
        """Run build.sh, check its exit code, and return what it said."""
        done = subprocess.run(
            [ROOT / "build.sh", *arguments],
            env=environment(
                PATH=f"{self.programs}{os.pathsep}{os.environ['PATH']}",
                TILEWATCH_HOST_ROOT=str(self.root),
                FAKE_LOG=str(self.log),
                **{"FAKE_ROOT_DIR": str(self.root)} | env,
            ),
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        assert ": No such file" not in said, "it stumbled over a file that need not be there"
        return said


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Return a machine without a GPU."""
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("files", "processor", "target"),
    [
        ({}, "x86_64", "cpu"),
        ({}, "aarch64", "cpu"),
        ({"proc/driver/nvidia/version": DRIVER.format("560.35.03")}, "x86_64", "cuda"),
        (JETSON, "aarch64", "jetson"),
        (JETSON | {"proc/device-tree/model": "Carrier of somebody else\0"}, "aarch64", "jetson"),
        ({"proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0"}, "aarch64", "cpu"),
    ],
)
def test_target_is_what_the_machine_is(machine: Machine, files: dict[str, str], processor: str, target: str) -> None:
    """A Jetson is told by its device tree, whoever made the board around it; a card by its driver."""
    machine.has(files)
    machine.is_a(processor)
    machine.build()
    built = machine.log.read_text().splitlines()
    assert built[built.index("--target") + 1] == target
    names = {built[position + 1] for position, word in enumerate(built) if word == "--tag"}
    assert names >= {f"tilewatch:{target}", "tilewatch:latest", f"tilewatch:0.1.0-{target}"}


def test_jetson_is_described(machine: Machine) -> None:
    """The operator reads which JetPack it is, or that its package is not installed."""
    machine.has(JETSON)
    machine.is_a("aarch64")
    said = machine.build("--dry-run")
    assert "NVIDIA Jetson Orin NX" in said
    assert "Jetson Linux 36.4.0" in said
    assert "nvidia-jetpack not installed" in said


def test_jetson_without_the_library_that_tensorrt_needs_is_told(machine: Machine) -> None:
    """The image can be built all the same; with the library there is nothing to say."""
    machine.has(jetson("36", "5.0"))
    machine.is_a("aarch64")
    assert "sudo apt install nvidia-l4t-dla-compiler" in machine.build("--dry-run")
    machine.has(DLA_COMPILER)
    assert "nvidia-l4t-dla-compiler" not in machine.build("--dry-run")


@pytest.mark.parametrize("driver", ["535.183.01", "550.54.15"])
def test_old_driver_branches_do_for_some_cards(machine: Machine, driver: str) -> None:
    """Those that NVIDIA keeps up for professional cards are let through, with a word about the others."""
    machine.has({"proc/driver/nvidia/version": DRIVER.format(driver)})
    assert "a GeForce needs 560.28" in machine.build("--dry-run")


def test_driver_for_cuda_12_6_does_for_every_card(machine: Machine) -> None:
    """Nothing is said against the oldest of them."""
    machine.has({"proc/driver/nvidia/version": DRIVER.format("560.28.03")})
    assert "warning" not in machine.build("--dry-run")


def test_revision_and_version_are_in_image_and_tags(machine: Machine) -> None:
    """What is running can be told from the sources it was made of."""
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607
    if head.returncode:
        pytest.skip("not a git checkout")
    machine.build("--target", "cpu", "--name", "registry.example/team/tilewatch")
    built = machine.log.read_text()
    assert f"registry.example/team/tilewatch:{head.stdout[:12]}" in built
    assert f"REVISION={head.stdout[:12]}" in built
    assert "VERSION=0.1.0" in built


def test_source_is_told_without_its_password(machine: Machine, tmp_path: Path) -> None:
    """The address of the repository lands in a label that everybody can read."""
    config = tmp_path / "gitconfig"
    config.write_text('[remote "origin"]\n\turl = https://me:secret@git.example/team/tilewatch.git\n')
    machine.build("--target", "cpu", GIT_CONFIG_GLOBAL=str(config))
    built = machine.log.read_text()
    assert "secret" not in built
    if subprocess.run(["git", "remote"], cwd=ROOT, capture_output=True, text=True, check=False).stdout == "":  # noqa: S607
        assert "SOURCE=https://git.example/team/tilewatch.git" in built


@pytest.mark.parametrize(
    ("files", "arguments", "env", "code", "message"),
    [
        ({}, ["--target", "gpu"], {}, 64, "none of cpu, cuda, jetson"),
        ({}, ["--tarket", "cpu"], {}, 64, "unknown option --tarket"),
        ({}, ["--target"], {}, 64, "needs a value"),
        ({}, [], {"FAKE_ENGINE": "down"}, 69, "systemctl start docker"),
        ({}, [], {"FAKE_BUILDX": "none"}, 69, "apt-get install docker-buildx-plugin"),
        ({"proc/driver/nvidia/version": DRIVER.format("470.256.02")}, [], {}, 69, "install 560.28 or newer"),
        ({"proc/driver/nvidia/version": DRIVER.format("555.42.06")}, [], {}, 69, "555.42.06 is too old"),
        (jetson("35", "4.1"), [], {}, 69, "Jetson Linux 35.4.1 is older than 36.4"),
        (jetson("36", "3.0"), [], {}, 69, "Jetson Linux 36.3.0 is older than 36.4"),
        (jetson("38", "2.0"), [], {}, 69, "Jetson Linux 38.2.0 is newer than JetPack 6"),
    ],
)
def test_what_cannot_be_built_is_refused_with_the_remedy(
    machine: Machine, files: dict[str, str], arguments: list[str], env: dict[str, str], code: int, message: str
) -> None:
    """Before anything is built."""
    machine.has(files)
    assert message in machine.build(*arguments, code=code, **env)
    assert not machine.log.exists()


def test_full_disk_is_told_before_the_build(machine: Machine) -> None:
    """With how much is free, how much is needed, and how to free it."""
    machine.program(
        "df", "#!/bin/sh\necho Filesystem 1024-blocks Used Available\necho /dev/sda1 60000000 58000000 2000000\n"
    )
    said = machine.build(code=69)
    assert "2 GB free" in said
    assert "docker builder prune" in said
    assert not machine.log.exists()


def test_dry_run_prints_the_command_and_builds_nothing(machine: Machine) -> None:
    """The last line can be pasted into a shell."""
    last = machine.build("--dry-run", "--build-arg", "PYTHON_IMAGE=my base:1").splitlines()[-1]
    assert shlex.split(last)[:3] == ["docker", "buildx", "build"]
    assert "PYTHON_IMAGE=my base:1" in shlex.split(last)
    assert not machine.log.exists()


def test_size_and_next_steps_are_told(machine: Machine) -> None:
    """What a user wants to know after a build."""
    said = machine.build()
    assert "750 MB" in said
    assert "docker compose up -d" in said
    assert "build_engine.sh" not in said


@pytest.mark.parametrize("target", ["cuda", "jetson"])
def test_next_steps_with_a_gpu_build_the_engine_before_the_service_starts(machine: Machine, target: str) -> None:
    """With the Compose file of the target, and in the image that was built."""
    said = machine.build("--target", target, "--name", "mine")
    override = f"docker-compose.{target}.yml"
    assert (ROOT / override).is_file()
    assert f"COMPOSE_FILE=docker-compose.yml:{override} >>.env" in said
    assert f"TILEWATCH_IMAGE=mine:{target} deploy/jetson/build_engine.sh" in said
    assert said.index("build_engine.sh") < said.index("docker compose up -d")
