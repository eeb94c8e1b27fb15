"""The Jobs of profiles/kubernetes as far as they run without a cluster, against a real S3 server.

The CPU Job's own arguments and environment are run on this machine: a checkout stands for the
image, an empty folder for the volume, moto's server for the bucket.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import yaml
from moto.server import ThreadedMotoServer

from semask.base.records import check_weights, read_record, write_record
from semask.comparison.bundle import MANIFEST, pack, unpack
from semask.evaluation.weight_files import read_state_dict

from ..warm import warm_snakemake
from .conftest import REPOSITORY, Checkout

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

ROWS = [{"device": "cpu", "processes": 1, "threads": 1, "modes": ["full"], "seeds": [0]}]
EVALUATION = {"save_predictions": True, "agreement": True}
RUN = "results/cpu-1p/full/seed0"


class Site:
    """A volume and a bucket, and the CPU Job's command on them."""

    def __init__(self, folder: Path, endpoint: str):
        self.image = Checkout(folder / "image")
        self.image.configure({"rows": ROWS, "fault_tolerance": {"checkpoint_iterations": 1}})
        self.volume = folder / "volume"
        self.volume.mkdir()
        job = yaml.safe_load(
            (REPOSITORY / "profiles/kubernetes/job-cpu.yaml").read_text(encoding="utf-8")
        )
        (self.container,) = job["spec"]["template"]["spec"]["containers"]
        profile = self.image.folder / "profiles/kubernetes"
        self.prefix = yaml.safe_load((profile / "config.yaml").read_text(encoding="utf-8"))[
            "default-storage-prefix"
        ]
        self.secret = {
            "SNAKEMAKE_STORAGE_S3_ENDPOINT_URL": endpoint,
            "SNAKEMAKE_STORAGE_S3_REGION": "us-east-1",
            "SNAKEMAKE_STORAGE_S3_ACCESS_KEY": "an access key",
            "SNAKEMAKE_STORAGE_S3_SECRET_KEY": "a secret key",
        }
        given = {entry["name"]: entry.get("value", "2") for entry in self.container["env"]}
        self.environment = {
            **self.image.environment,
            **self.secret,
            **given,
            "SNAKEMAKE_PROFILE": str(profile),
            "TMPDIR": str(folder / "tmp"),
        }
        self.new_pod()
        self.bucket = boto3.resource(
            "s3", endpoint_url=endpoint, region_name="us-east-1",
            aws_access_key_id="other", aws_secret_access_key="other",
        ).Bucket(self.prefix.split("/")[2])  # fmt: skip

    def new_pod(self) -> None:
        """What a pod has of its own is gone with it."""
        own = Path(self.environment["TMPDIR"])
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir()

    def command(self, *arguments: str) -> list[str]:
        given = [
            argument.replace("$(CORES)", "2").replace("/bench", str(self.image.folder))
            for argument in self.container["args"]
        ]
        overlay = str(self.image.folder / "tiny.yaml")
        # --cores all: the image's entry point
        return [*(sys.executable, "-m", "snakemake", "--cores", "all"), *given, overlay, *arguments]

    def run(self, *arguments: str) -> str:
        _, _, module, *options = self.command(*arguments)
        done = warm_snakemake().run(
            module, options, self.volume, environment=self.environment, together=True
        )
        assert done.status == 0, done.stdout
        return done.stdout

    def planned(self) -> set[str]:
        """Rules of which jobs would be run."""
        printed = self.run("--dry-run", "--quiet", "rules")
        if "Job stats:" not in printed:
            return set()
        words = [line.split() for line in printed.split("Job stats:")[1].splitlines()]
        return {w[0] for w in words if len(w) == 2 and w[1].isdigit()} - {"all", "total"}

    def planned_seeds(self) -> set[str]:
        """Seeds of the runs that would be trained."""
        printed = self.run("--dry-run")
        # "localrule" where Snakemake shows a job that it runs itself
        trained = r"^(?:local)?rule train:\n(?:    .*\n)*?    wildcards: .*seed=(\d+)"
        return set(re.findall(trained, printed, re.MULTILINE))

    def stored(self) -> set[str]:
        """Names of the files in the bucket, below the profile's prefix."""
        folder = self.prefix.split("/", 3)[3] + "/"
        return {thing.key.removeprefix(folder) for thing in self.bucket.objects.all()}

    def fetch(self, name: str, folder: Path) -> Path:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        self.bucket.download_file(f"{self.prefix.split('/', 3)[3]}/{name}", str(target))
        return target

    def lose(self, *names: str) -> None:
        """Start anew with a volume that lacks some folders."""
        self.new_pod()
        for name in names:
            shutil.rmtree(self.volume / name, ignore_errors=True)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("NO_PROXY", host)  # no bucket is behind the proxy of the tests' machine
        yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory, endpoint: str) -> Site:
    """A site whose pod was killed while it trained."""
    site = Site(tmp_path_factory.mktemp("site"), endpoint)
    checkpoints = site.volume / RUN / "work/checkpoints"
    log = site.volume.parent / "killed.log"
    with open(log, "w", encoding="utf-8") as file:
        pod = subprocess.Popen(
            site.command(), cwd=site.volume, env=site.environment, stdout=file,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + 900
    while not list(checkpoints.glob("[0-9]*.pt")):
        assert pod.poll() is None, log.read_text(encoding="utf-8")
        assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
        time.sleep(0.005)
    os.killpg(pod.pid, signal.SIGKILL)
    pod.wait()
    site.new_pod()
    return site


@pytest.fixture(scope="module")
def finished(interrupted: Site) -> Site:
    """The same site after another pod."""
    assert f"{RUN}/train.json" not in interrupted.stored()
    interrupted.run()
    return interrupted


def test_the_next_pod_goes_on_from_the_volume(finished: Site, tmp_path: Path) -> None:
    record = read_record(finished.fetch(f"{RUN}/train.json", tmp_path), "train")
    tries = record["figures"]["tries"]
    assert len(tries) == 2, tries
    # what was kept on the volume is cleared once the bucket has the record
    assert not (finished.volume / RUN / "work").exists()


def test_records_and_weights_are_in_the_bucket_only(finished: Site, tmp_path: Path) -> None:
    names = {f"{RUN}/{name}" for name in (
        "train.json", "evaluate.json", "log.jsonl", "best.safetensors", "last.safetensors",
        "predictions.png", "train.log",
    )}  # fmt: skip
    made = {f"results/{name}" for name in (
        "table.md", "table.csv", "table.json", "facts.json", "report/page.html",
    )}  # fmt: skip
    assert names | made <= finished.stored()
    record = read_record(finished.fetch(f"{RUN}/train.json", tmp_path), "train")
    for name in ("best", "last"):
        file = finished.fetch(f"{RUN}/{name}.safetensors", tmp_path)
        assert read_state_dict(file)
        check_weights(file, record["weights_digest"][name])
    on_volume = [p.name for p in finished.volume.rglob("*")]
    assert not {"evaluate.json", "best.safetensors", "table.md"} & set(on_volume)
    # the data set and its manifests are on the volume only
    assert (finished.volume / "data/streets-labels/train.json").is_file()
    assert not [name for name in finished.stored() if name.startswith("data/") and ".json" in name]


def test_the_table_names_records_as_without_a_storage(finished: Site, tmp_path: Path) -> None:
    table = json.loads(finished.fetch("results/table.json", tmp_path).read_text(encoding="utf-8"))
    assert sorted(table["records"]) == [f"{RUN}/evaluate.json", f"{RUN}/train.json"]


def test_keys_are_in_no_file(finished: Site) -> None:
    secrets = [v.encode() for k, v in finished.secret.items() if k.endswith("_KEY")]
    for thing in finished.bucket.objects.all():
        assert not any(secret in thing.get()["Body"].read() for secret in secrets), thing.key
    for file in finished.volume.rglob("*"):
        if file.is_file():
            assert not any(secret in file.read_bytes() for secret in secrets), file


def as_of_another_machine(bundle: Path, folder: Path) -> Path:
    """Make a bundle one of records that another machine has left; its path."""
    unpack(bundle, folder)
    digests = {}
    for kind in ("train", "evaluate"):
        for path in folder.rglob(f"{kind}.json"):
            record = read_record(path, kind)
            for key in ("schema", "kind", "recipe_digest"):
                del record[key]
            old = record.pop("digest")
            record["run"]["host"] = "another"
            if kind == "evaluate":
                known = record["figures"]["train_record_digest"]
                record["figures"]["train_record_digest"] = digests[known]
            write_record(path, kind, **record)
            digests[old] = read_record(path, kind)["digest"]
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST]
    pack(bundle, "streets", folder, [str(path.relative_to(folder)) for path in files])
    return bundle


def test_later_pods_on_what_is_kept(finished: Site, tmp_path: Path) -> None:
    """One after the other; the last test, since it changes the site."""
    # a bundle is packed from copies of the bucket's files; what it brings is no output
    finished.run("--", "bundle")
    bundle = finished.fetch("results/bundle.zip", finished.volume)
    as_of_another_machine(bundle, tmp_path / "unpacked").rename(finished.volume / "other.zip")
    imports = {"other": {"file": "other.zip", "digest": None}}
    finished.image.configure({"imports": imports, "evaluation": EVALUATION})
    assert finished.planned() == {"evaluate", "agreement", "unpack", "table"}
    finished.run()
    assert list((finished.volume / RUN / "predictions").rglob("*.png"))
    assert f"{RUN}/agreement.json" in finished.stored()
    text = finished.fetch("results/table.json", tmp_path).read_text(encoding="utf-8")
    table = json.loads(text)
    assert [row["name"] for row in table["rows"] if row["kind"] == "measured"] == ["CPU-1P"] * 2
    assert f"results/imported/other/{RUN.removeprefix('results/')}/train.json" in table["records"]

    # records and weights are not needed on the volume
    finished.lose("results", ".snakemake")
    assert finished.planned() == set()
    prefix = finished.prefix.split("/", 3)[3]
    finished.bucket.objects.filter(Prefix=f"{prefix}/results/table.").delete()
    assert finished.planned() == {"unpack", "table"}
    finished.run()
    assert finished.fetch("results/table.json", tmp_path).read_text(encoding="utf-8") == text

    # labels that are made again are newer than the records: docs/kubernetes.md says so
    finished.lose("results", ".snakemake", "data")
    finished.run("--", "verify")
    finished.image.configure({"rows": [{**ROWS[0], "seeds": [0, 1]}]})
    assert finished.planned_seeds() == {"0", "1"}
