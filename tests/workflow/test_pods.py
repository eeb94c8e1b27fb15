"""That profiles/kubernetes is valid, and agrees with itself, the images and the experiments."""

import copy
import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import kubernetes_validate
import pytest
import yaml

from semask.config.layers import assemble

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "profiles/kubernetes"
DOCS = (REPOSITORY / "docs/kubernetes.md").read_text(encoding="utf-8")
DEVICES = ("cpu", "gpu", "npu")
# the oldest one that docs/kubernetes.md names, and the newest one that there are schemas of
VERSIONS = ("1.31", kubernetes_validate.latest_version())
UNITS = {"Mi": 2**20, "Gi": 2**30}


def objects(file: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / file).read_text(encoding="utf-8")))


FILES = sorted(path.name for path in FOLDER.glob("*.yaml") if path.name != "config.yaml")
JOBS = {device: objects(f"job-{device}.yaml")[0] for device in DEVICES}
PODS = {device: job["spec"]["template"]["spec"] for device, job in JOBS.items()}
ALL_PODS = {**PODS, "copy": objects("copy.yaml")[0]["spec"]}


def container_of(pod: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod["containers"]
    assert isinstance(container, dict)
    return container


def bytes_of(quantity: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([A-Z]i)", quantity).groups()  # type: ignore[union-attr]
    return int(number) * UNITS[unit]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("file", FILES)
def test_manifests_follow_the_schemas(file: str, version: str) -> None:
    for thing in objects(file):
        kubernetes_validate.validate(thing, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schemas_notice_what_is_wrong(version: str) -> None:
    for edit in (
        lambda pod: pod.update(terminationGracePeriod=pod.pop("terminationGracePeriodSeconds")),
        lambda pod: container_of(pod)["args"].append(8),
        lambda pod: pod["volumes"][0].pop("name"),
    ):
        job = copy.deepcopy(JOBS["gpu"])
        edit(job["spec"]["template"]["spec"])
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(job, version, strict=True)


def test_all_that_is_referred_to_is_there() -> None:
    """In the manifests, or made by a command of the documentation."""
    setup = {(thing["kind"], thing["metadata"]["name"]) for thing in objects("setup.yaml")}
    made = set(re.findall(r"kubectl create (secret generic|configmap) (\S+)", DOCS))
    namespaces = {t["metadata"].get("namespace") for f in FILES for t in objects(f)} - {None}
    assert {("Namespace", name) for name in namespaces} <= setup
    assert len(namespaces) == 1
    for pod in ALL_PODS.values():
        container = container_of(pod)
        for source in container.get("envFrom", ()):
            assert ("secret generic", source["secretRef"]["name"]) in made
        for volume in pod["volumes"]:
            claim, configured = volume.get("persistentVolumeClaim"), volume.get("configMap")
            assert not claim or ("PersistentVolumeClaim", claim["claimName"]) in setup
            assert not configured or ("configmap", configured["name"]) in made
        mounted = [mount["name"] for mount in container["volumeMounts"]]
        assert sorted(mounted) == sorted(volume["name"] for volume in pod["volumes"])


@pytest.mark.parametrize("pod", ALL_PODS.values(), ids=ALL_PODS)
def test_pods_keep_to_the_restricted_pod_security_standard(pod: dict[str, Any]) -> None:
    """As the namespace enforces it, beyond what the schemas know."""
    namespace = objects("setup.yaml")[0]["metadata"]
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    own = pod["securityContext"]
    assert own["runAsNonRoot"] is True
    assert own["seccompProfile"]["type"] == "RuntimeDefault"
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    allowed = {"persistentVolumeClaim", "configMap", "emptyDir"}
    assert {kind for volume in pod["volumes"] for kind in volume} - {"name"} <= allowed
    context = container_of(pod)["securityContext"]
    assert context == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert pod["automountServiceAccountToken"] is False


@pytest.mark.parametrize("pod", ALL_PODS.values(), ids=ALL_PODS)
def test_images_are_those_of_the_container_files(pod: dict[str, Any]) -> None:
    image = container_of(pod)["image"]
    device = image.rsplit(":", 1)[1]
    assert f"--file envs/Containerfile.{device} --tag {image} ." in DOCS
    text = re.sub(
        r"\\\n", " ", (REPOSITORY / f"envs/Containerfile.{device}").read_text(encoding="utf-8")
    )
    # a volume of theirs is writable for them only if the numbers agree
    user = pod["securityContext"]["runAsUser"]
    assert re.search(rf"useradd .*--uid {user} .*\bbench\b", text)
    assert pod["securityContext"]["fsGroup"] == user
    # SIGTERM reaches the whole process group, and what PID 1 has to do is done
    assert re.search(r'^ENTRYPOINT \["tini", "-g", "--", .*snakemake', text, re.MULTILINE)
    assert re.search(r"apt-get install .*\btini\b", text)
    assert re.search(r"--editable '\.\[.*\bkubernetes\b.*\]'", text)
    assert "WORKDIR /bench" in text


@pytest.mark.parametrize("device", DEVICES)
def test_jobs_ask_for_the_devices_of_their_experiment(device: str) -> None:
    container = container_of(PODS[device])
    files = [Path(a).relative_to("/bench") for a in container["args"] if a.startswith("/bench/")]
    assert files[0] == Path("Snakefile")
    layers = [yaml.safe_load((REPOSITORY / f).read_text(encoding="utf-8")) for f in files[1:]]
    config = assemble(
        [yaml.safe_load((REPOSITORY / "config.yaml").read_text(encoding="utf-8")), *layers]
    )
    largest = {
        kind: max((r["processes"] for r in config["rows"] if r["device"] == kind), default=0)
        for kind in DEVICES
    }
    limits = container["resources"]["limits"]
    # the device plugins' names, each in one file
    names = {"gpu": "nvidia.com/gpu", "npu": "huawei.com/Ascend910"}
    asked = {kind: limits.get(name, 0) for kind, name in names.items()}
    assert asked == {kind: largest[kind] for kind in names}
    assert set(limits) - set(names.values()) == {"cpu", "memory"}
    # an extended resource cannot be asked for by more or less than its limit
    assert "requests" not in container["resources"]
    cores = max(row["processes"] * row["threads"] for row in config["rows"])
    assert int(limits["cpu"]) >= cores


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_shared_memory_is_a_part_of_the_memory(pod: dict[str, Any]) -> None:
    container = container_of(pod)
    (name,) = (m["name"] for m in container["volumeMounts"] if m["mountPath"] == "/dev/shm")
    (shared,) = (volume["emptyDir"] for volume in pod["volumes"] if volume["name"] == name)
    assert shared["medium"] == "Memory"
    assert bytes_of(shared["sizeLimit"]) < bytes_of(container["resources"]["limits"]["memory"])


def test_a_pod_that_takes_over_is_the_same_machine_to_snakemakes_lock() -> None:
    hosts = {device: pod["hostname"] for device, pod in PODS.items()}
    # those of other Jobs are left alone
    assert len(set(hosts.values())) == len(hosts)
    for device, job in JOBS.items():
        assert job["spec"]["podReplacementPolicy"] == "Failed"
        assert job["metadata"]["name"] == hosts[device]


def test_variables_of_the_secret_are_those_of_the_plugin() -> None:
    from snakemake_interface_storage_plugins.registry import StoragePluginRegistry

    with patch.dict(os.environ):  # in which a plugin sets what its library reads
        registry = StoragePluginRegistry()
        registry.collect_plugins()
    plugin = registry.get_plugin("s3")
    known = {
        plugin.get_envvar(key)
        for key, field in plugin.settings_cls.__dataclass_fields__.items()
        if field.metadata.get("env_var")
    }
    told = set(re.findall(r"^    (SNAKEMAKE_\w+)=", DOCS, re.MULTILINE))
    assert len(told) == 4
    assert told <= known


def test_the_file_of_keys_gets_neither_into_git_nor_into_an_image() -> None:
    assert "--from-env-file s3.env" in DOCS
    for file in (".gitignore", ".dockerignore"):
        assert "s3.env" in (REPOSITORY / file).read_text(encoding="utf-8").replace("/", "").split()


def body_of_snakemakes_executor(**resources: Any) -> dict[str, Any]:
    """The Job that snakemake-executor-plugin-kubernetes makes of a job with these resources."""
    import kubernetes.client
    from snakemake_executor_plugin_kubernetes import Executor

    made: list[Any] = []
    executor = object.__new__(Executor)
    logger = SimpleNamespace(debug=lambda _: None, info=lambda _: None)
    executor.__dict__.update(
        k8s_cpu_scalar=0.95, k8s_service_account_name=None, namespace="semask-bench",
        run_namespace="run", secret_envvars={}, container_image="image", privileged=False,
        persistent_volumes=[], logger=logger, format_job_exec=lambda _: "snakemake",
        batchapi=SimpleNamespace(create_namespaced_job=lambda _, body: made.append(body)),
        _kubernetes_retry=lambda call: call(), report_job_submission=lambda _: None,
    )  # fmt: skip
    job = SimpleNamespace(resources=resources, jobid=1, attempt=1, is_containerized=False)
    executor.run_job(job)  # type: ignore[arg-type]
    body = kubernetes.client.ApiClient().sanitize_for_serialization(made[0])
    assert isinstance(body, dict)
    return {"apiVersion": "batch/v1", "kind": "Job", **body}


def test_why_snakemakes_executor_is_not_used() -> None:
    """What docs/kubernetes.md says that it lacks; a version that has it is reason to look again."""
    gpu = body_of_snakemakes_executor(gpu=8, npu=0, _cores=8, gpu_manufacturer="nvidia", scale=0)
    kubernetes_validate.validate(gpu, VERSIONS[-1])
    pod = gpu["spec"]["template"]["spec"]
    assert container_of(pod)["resources"]["limits"]["nvidia.com/gpu"] == "8"
    assert [volume["name"] for volume in pod["volumes"]] == ["workdir"]  # no /dev/shm
    assert "securityContext" not in {**pod, **container_of(pod)}
    assert "terminationGracePeriodSeconds" not in pod
    assert container_of(pod)["command"] == ["/bin/sh"]  # as PID 1, which passes no signal on
    npu = body_of_snakemakes_executor(npu=8, _cores=8, scale=0)
    resources = container_of(npu["spec"]["template"]["spec"])["resources"]
    assert set(resources["limits"]) == {"cpu"}
