"""The Kubernetes manifests: they are what the API server takes, and they fit the program they start."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.kubernetes import (
    COMPONENTS,
    OVERLAYS,
    SOURCE,
    Manifest,
    container,
    mounts,
    one,
    overlay,
    pod,
    render,
    render_with,
    workload,
)
from tilewatch import __version__
from tilewatch.settings import env_names, load
from tilewatch.telemetry import metrics

if TYPE_CHECKING:
    from pathlib import Path

VERSIONS = ("1.29", "1.31", "1.33", "1.35", "1.37")
CUSTOM = {"ScaledObject", "ServiceMonitor"}
"""Kinds that a cluster learns from CRDs; the schemas of Kubernetes itself do not know them."""


@pytest.fixture(params=OVERLAYS)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    """Return each overlay, rendered."""
    return overlay(request.param)


def components_of(base: str) -> tuple[str, ...]:
    """Return the components that fit an overlay: one pod a Jetson is not scaled, and two scalers would fight."""
    return tuple(name for name in COMPONENTS if name != "hpa" and (base != "jetson" or name != "keda"))


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_overlay_is_valid_in_every_supported_version(tmp_path: Path, name: str) -> None:
    """With all its components, strictly: a misspelt or misplaced field is refused, not ignored."""
    validator = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is absent: see group `lint`")
    for item in render_with(tmp_path, name, *components_of(name)):
        for version in VERSIONS:
            if item["kind"] not in CUSTOM:
                validator.validate(item, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_autoscaler_is_valid_in_every_supported_version(tmp_path: Path, version: str) -> None:
    """It is left out above, where KEDA's has its place."""
    validator = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is absent: see group `lint`")
    found = one(render_with(tmp_path, "cpu", "hpa"), "HorizontalPodAutoscaler")
    validator.validate(found, version, strict=True)


def test_pods_have_no_more_rights_than_they_need(manifests: list[Manifest]) -> None:
    """Not root, nothing written beside the volumes, no capability, no token of the cluster."""
    rights, inside = pod(manifests)["securityContext"], container(manifests)["securityContext"]
    assert (rights["runAsNonRoot"], rights["runAsUser"], rights["fsGroup"]) == (True, 10001, 10001)
    assert rights["seccompProfile"] == {"type": "RuntimeDefault"}
    assert inside["readOnlyRootFilesystem"]
    assert not inside["allowPrivilegeEscalation"]
    assert inside["capabilities"] == {"drop": ["ALL"]}
    assert not pod(manifests)["automountServiceAccountToken"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod(manifests).keys()


def test_pod_may_take_longer_to_end_than_the_drain(manifests: list[Manifest]) -> None:
    """Else kubelet would kill it while it still writes; a settings file that grows past it fails here too."""
    settings = load(env_file=SOURCE / "base" / "settings.env")
    assert pod(manifests)["terminationGracePeriodSeconds"] >= 2 * settings.service.drain_seconds


def test_settings_come_from_a_file_that_can_change(manifests: list[Manifest]) -> None:
    """The ConfigMap's key is the file that is named, in a folder mounted whole: a subPath never sees a change."""
    mount, volume = mounts(manifests)["/etc/tilewatch"]
    assert "subPath" not in mount
    config = one(manifests, "ConfigMap", volume["configMap"]["name"])
    assert config["data"].keys() == {".env"}
    assert container(manifests)["args"] == ["serve", "--env-file", "/etc/tilewatch/.env"]


def test_settings_in_the_environment_are_known(manifests: list[Manifest]) -> None:
    """A misspelt name there would be ignored by the program, so it has to be found here."""
    names = {item["name"] for item in container(manifests)["env"]}
    assert names - {"XDG_CACHE_HOME", "NVIDIA_DRIVER_CAPABILITIES"} <= env_names().keys()


def test_the_program_can_write_where_it_has_to(manifests: list[Manifest]) -> None:
    """Results, cache and temporary files; inputs and models can only be read."""
    writable = {path for path, (mount, _) in mounts(manifests).items() if not mount.get("readOnly")}
    assert writable == {"/output", "/cache", "/tmp"}  # noqa: S108 a mount of the pod
    assert mounts(manifests).keys() - writable == {"/videos", "/models", "/etc/tilewatch"}


def test_probes_ask_what_the_program_answers(manifests: list[Manifest]) -> None:
    """A start is not a stall, and a drain or a warm-up is not one either."""
    found = container(manifests)
    paths = {kind: found[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/healthz/live", "liveness": "/healthz/live", "readiness": "/healthz/ready"}
    (port,) = found["ports"]
    assert port["containerPort"] == load(env_file=SOURCE / "base" / "settings.env").metrics.port
    assert {found[f"{kind}Probe"]["httpGet"]["port"] for kind in paths} == {port["name"]}


def test_selectors_find_the_pods(manifests: list[Manifest]) -> None:
    """Of the service and of whatever makes or protects them."""
    labels = workload(manifests)["spec"]["template"]["metadata"]["labels"].items()
    assert one(manifests, "Service")["spec"]["selector"].items() <= labels
    for item in manifests:
        selector = item["spec"].get("selector", {}) if "spec" in item else {}
        assert selector.get("matchLabels", {}).items() <= labels


def test_claims_are_there(manifests: list[Manifest]) -> None:
    """A pod whose claim is missing waits for ever."""
    claims = {item["metadata"]["name"] for item in manifests if item["kind"] == "PersistentVolumeClaim"}
    asked = {volume.get("persistentVolumeClaim", {}).get("claimName") for volume in pod(manifests)["volumes"]}
    assert asked - {None} == claims


def test_images_carry_the_version_of_the_program(manifests: list[Manifest]) -> None:
    """And the target, so that no overlay starts another one's image."""
    tag = container(manifests)["image"].rpartition(":")[2]
    assert tag in {f"{__version__}-{target}" for target in ("cpu", "cuda", "jetson")}


def test_gpu_overlays_ask_for_a_gpu_and_take_nothing_else() -> None:
    """One each, and no quiet fall-back to the CPU."""
    for name in ("nvidia", "jetson"):
        found = container(overlay(name))
        assert found["resources"]["limits"]["nvidia.com/gpu"] == 1
        assert {"name": "BACKEND", "value": "tensorrt"} in found["env"]
        assert "video" in {item["name"]: item.get("value", "") for item in found["env"]}["NVIDIA_DRIVER_CAPABILITIES"]


def test_jetsons_have_a_pod_each_with_their_own_folders() -> None:
    """On labelled nodes alone, through NVIDIA's runtime; nothing of the shared volumes is left."""
    manifests = overlay("jetson")
    assert workload(manifests)["kind"] == "DaemonSet"
    spec = pod(manifests)
    assert spec["runtimeClassName"] == "nvidia"
    assert spec["securityContext"]["supplementalGroups"] == [44, 104]
    assert spec["nodeSelector"] == {"kubernetes.io/arch": "arm64", "tilewatch/jetson": "true"}
    folders = {path: volume["hostPath"] for path, (_, volume) in mounts(manifests).items() if "hostPath" in volume}
    assert folders == {
        f"/{name}": {"path": f"/var/lib/tilewatch/{name}", "type": "Directory"}
        for name in ("videos", "output", "models")
    }
    assert not {"PersistentVolumeClaim", "PodDisruptionBudget"} & {item["kind"] for item in manifests}


@pytest.mark.parametrize(
    ("component", "kind", "least", "most"),
    [
        ("hpa", "HorizontalPodAutoscaler", "minReplicas", "maxReplicas"),
        ("keda", "ScaledObject", "minReplicaCount", "maxReplicaCount"),
    ],
)
def test_autoscalers_own_the_number_of_pods(tmp_path: Path, component: str, kind: str, least: str, most: str) -> None:
    """From one, since somebody has to watch, to four; applying the manifests again does not set it back."""
    manifests = render_with(tmp_path, "cpu", component)
    spec = one(manifests, kind)["spec"]
    assert (spec[least], spec[most]) == (1, 4)
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "tilewatch"}
    assert "replicas" not in workload(manifests)["spec"]


def test_scaled_object_is_what_keda_takes(tmp_path: Path) -> None:
    """Its CRD wants strings in the trigger's metadata, and knows these names."""
    (trigger,) = one(render_with(tmp_path, "cpu", "keda"), "ScaledObject")["spec"]["triggers"]
    assert (trigger["type"], trigger["metricType"]) == ("prometheus", "AverageValue")
    assert trigger["metadata"].keys() == {"serverAddress", "query", "threshold", "ignoreNullValues"}
    assert all(isinstance(value, str) for value in trigger["metadata"].values())


def test_both_autoscalers_ask_for_metrics_that_exist() -> None:
    """They share one expression, made of what the program really exports."""
    known = {sample.name for family in metrics.create().registry.collect() for sample in family.samples}
    for name in ("hpa/prometheus-adapter.yaml", "keda/scaledobject.yaml"):
        text = (SOURCE / "components" / name).read_text()
        asked = set(re.findall(r"max\((\w+)\{", text))
        assert asked == {"tilewatch_job_queue_depth", "tilewatch_jobs"}
        assert asked <= known
        assert 'state="running"' in text


def test_prometheus_is_let_in_and_finds_the_port(tmp_path: Path) -> None:
    """The monitor names a port of the service; with a token it shows it."""
    plain = render_with(tmp_path, "cpu", "servicemonitor")
    (endpoint,) = one(plain, "ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in one(plain, "Service")["spec"]["ports"]}
    assert len(one(plain, "NetworkPolicy")["spec"]["ingress"]) == 2
    guarded = render_with(tmp_path, "cpu", "servicemonitor", patches=("components/servicemonitor/token.yaml",))
    (endpoint,) = one(guarded, "ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["authorization"]["credentials"] == {"name": "tilewatch", "key": "METRICS_TOKEN"}


def test_cameras_open_the_way_out_and_nothing_else_does(tmp_path: Path) -> None:
    """Names, and the ports of RTSP."""
    assert one(overlay("cpu"), "NetworkPolicy")["spec"]["egress"] == []
    names, cameras = one(render_with(tmp_path, "cpu", "cameras"), "NetworkPolicy")["spec"]["egress"]
    assert {port["port"] for port in names["ports"]} == {53}
    assert 554 in {port["port"] for port in cameras["ports"]}


@pytest.mark.parametrize("version", VERSIONS)
def test_engine_is_built_where_the_pods_look_for_it(version: str) -> None:
    """A valid job that writes into the volume which the pods only read, in the image that runs the engine."""
    validator = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is absent: see group `lint`")
    (job,) = render(SOURCE / "engine")
    validator.validate(job, version, strict=True)
    pods = overlay("nvidia")
    spec = job["spec"]["template"]["spec"]
    (builder,) = spec["containers"]
    assert builder["image"] == container(pods)["image"]
    assert "--output=/models/model.engine" in builder["args"]
    claim = next(volume["persistentVolumeClaim"] for volume in spec["volumes"] if volume["name"] == "models")
    assert claim == {"claimName": mounts(pods)["/models"][1]["persistentVolumeClaim"]["claimName"]}
    selector = one(pods, "Service")["spec"]["selector"].items()
    assert not selector <= job["spec"]["template"]["metadata"]["labels"].items()
