"""A virtual machine with a virtual camera, for the tests beside this file: `python -m tests.v4l2.machine [COMMAND...]`.

Debian's kernel is started in QEMU, with its driver `vivid` (a V4L2 camera that needs no hardware and can be told to
fail). Its root is this machine's file system, read-only, so that the command runs in there as it would out here, as
root, with its temporary files in memory. Its output is printed; its exit code is ours. Without a command: the tests.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "v4l2"
"""Holds the kernel's package, which is fetched with apt unless one is there, and what was unpacked of it."""
BUSYBOX = Path("/usr/bin/busybox")
QEMU = "qemu-system-x86_64"
KVM = Path("/dev/kvm")
MODULES = ("virtio_pci", "9pnet_virtio", "9p", "vivid")
TESTS = [sys.executable, "-m", "pytest", "tests/v4l2", "-rA", "-p", "no:cacheprovider"]
ENDED = "the command ended with "
NOT_RUN = 69
"""Exit code where this machine cannot start one (EX_UNAVAILABLE)."""
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc && mount -t sysfs sysfs /sys && mount -t devtmpfs devtmpfs /dev
modprobe virtio_pci; modprobe 9pnet_virtio; modprobe 9p
modprobe vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0x0 || poweroff -f
ifconfig lo up
mount -t 9p -o ro,trans=virtio,version=9p2000.L,cache=loose,msize=512000 root /root
for folder in proc sys dev; do mount --move /$folder /root/$folder; done
mkdir -p /root/dev/shm
mount -t tmpfs tmpfs /root/dev/shm
mount -t tmpfs tmpfs /root/run
mkdir -m 1777 /root/run/tmp
cp /command /root/run/command
chroot /root /bin/sh /run/command
echo "ENDED$?"
poweroff -f
"""


class UnavailableError(Exception):
    """This machine cannot start one, and why."""


def main(command: list[str]) -> int:
    """Run a command in the machine and return its exit code."""
    try:
        return run(command)
    except UnavailableError as error:
        print(f"NOT TESTED: {error}")
        return NOT_RUN


def run(command: list[str]) -> int:
    """Start the machine, print what the command says in it, and return its exit code.

    Raises:
        UnavailableError: no QEMU, no KVM, no BusyBox, or no kernel.
    """
    if shutil.which(QEMU) is None or not BUSYBOX.exists():
        raise UnavailableError("install qemu-system-x86 and busybox-static")
    kernel = _unpacked()
    with tempfile.TemporaryDirectory() as folder:
        return _boot(next(kernel.glob("boot/vmlinuz-*")), _initramfs(Path(folder), kernel, _script(command)))


def _script(command: list[str]) -> str:
    """Return what the machine runs: the command in this folder with this environment."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "PYTHONPATH", "LANG"}}
    kept |= {"HOME": "/run", "TMPDIR": "/run/tmp", "HYPOTHESIS_STORAGE_DIRECTORY": "/run/hypothesis"}
    kept["PYTHONDONTWRITEBYTECODE"] = "1"
    names = [f"export {name}={shlex.quote(value)}" for name, value in kept.items()]
    return "\n".join([*names, f"cd {shlex.quote(os.fspath(Path.cwd()))}", shlex.join(command)])


def _unpacked() -> Path:
    """Return the folder with the kernel and its modules."""
    kernel = CACHE / "kernel"
    if not kernel.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        packages = list(CACHE.glob("linux-image-*.deb")) or [_fetched()]
        half = CACHE / "unpacking"
        shutil.rmtree(half, ignore_errors=True)
        _do("dpkg", "-x", packages[0], half)
        _do(BUSYBOX, "depmod", "-b", half, _version(half))
        half.rename(kernel)
    return kernel


def _fetched() -> Path:
    """Fetch the package of Debian's kernel, which the package of that name only depends on."""
    try:
        depends = _do("apt-cache", "depends", "linux-image-amd64")
        package = depends.split("Depends:", 1)[1].split()[0]
        _do("apt-get", "-q", "download", package, cwd=CACHE)
    except (OSError, IndexError, subprocess.CalledProcessError) as error:
        raise UnavailableError(f"no linux-image-*.deb of Debian in {CACHE}, and apt fetches none ({error})") from None
    return next(CACHE.glob("linux-image-*.deb"))


def _version(kernel: Path) -> str:
    return next((kernel / "lib/modules").iterdir()).name


def _initramfs(folder: Path, kernel: Path, script: str) -> Path:
    """Return the file that the kernel starts from: BusyBox, the modules it needs, and the command."""
    root = folder / "root"
    modules = Path("lib/modules") / _version(kernel)
    for name in ("bin", "proc", "sys", "dev", "root", modules):
        (root / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    (root / "command").write_text(script)
    (root / "init").write_text(INIT.replace("ENDED", ENDED))
    (root / "init").chmod(0o755)
    for module in _needed((kernel / modules / "modules.dep").read_text()):
        (root / modules / module).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(kernel / modules / module, root / modules / module)
    shutil.copy(kernel / modules / "modules.dep", root / modules)
    image = folder / "initramfs"
    _do("sh", "-c", f"find . | {BUSYBOX} cpio -o -H newc >{shlex.quote(str(image))}", cwd=root)
    return image


def _needed(dependencies: str) -> set[str]:
    """Return the files of `MODULES` and of what they need, out of modules.dep ('a.ko: b.ko c.ko', all levels)."""
    lines = dict(line.split(":", 1) for line in dependencies.splitlines())
    wanted = [file for file in lines if Path(file).stem.replace("-", "_") in MODULES]
    return {*wanted, *(module for file in wanted for module in lines[file].split())}


def _boot(kernel: Path, initramfs: Path) -> int:
    """Run the machine to its end, print what it says, and return the command's exit code."""
    arguments = ["-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio", *_processor()]
    arguments += [
        "-smp",
        str(os.cpu_count()),
        "-m",
        "4G",
        "-kernel",
        os.fspath(kernel),
        "-initrd",
        os.fspath(initramfs),
    ]
    arguments += ["-append", "console=ttyS0 quiet panic=-1"]
    arguments += ["-virtfs", "local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap"]
    code = 1
    with subprocess.Popen(
        [QEMU, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace"
    ) as machine:
        assert machine.stdout is not None
        for line in machine.stdout:
            if line.startswith(ENDED):
                code = int(line.removeprefix(ENDED))
            else:
                print(line, end="", flush=True)
    return code


def _processor() -> list[str]:
    """Return the kind of processor: this machine's own where the hardware lets us, else an emulated one."""
    if is_quick():
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "max"]


def is_quick() -> bool:
    """Whether the hardware runs the machine: KVM by itself may be there without (PVM), for kernels made for that."""
    hardware = any((Path("/sys/module") / name).exists() for name in ("kvm_intel", "kvm_amd"))
    return hardware and os.access(KVM, os.R_OK | os.W_OK)


def _do(*command: object, cwd: Path | None = None) -> str:
    """Run a program to a good end and return what it said."""
    done = subprocess.run([*map(str, command)], cwd=cwd, check=True, capture_output=True, text=True)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or TESTS))
