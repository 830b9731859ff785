"""The files of examples/deploy, read by the programs and schemas that they are written for."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ratelimit.policy import Policy
from tests.support.debian import environment, program

ROOT = Path(__file__).absolute().parents[2]
DEPLOY = ROOT / "examples" / "deploy"
UNIT = DEPLOY / "api.service"
KUBERNETES = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
DOCUMENTS = [document for path in KUBERNETES for document in yaml.safe_load_all(path.read_text())]
UNDERSTAND = """\
import json, sys
from cloudcoil.models.prometheus_operator import v1
document = json.load(sys.stdin)
read = getattr(v1, document["kind"]).model_validate(document)
print(json.dumps(read.model_dump(mode="json", by_alias=True, exclude_unset=True)))
"""
OF_THE_OPERATOR = "monitoring.coreos.com/v1"


def validate(document: dict[str, Any]) -> None:
    """Check a document by the schemas of Kubernetes."""
    # Imported here: its grammars take seconds, and every process of tests collects this file.
    from kubernetes_validate import validate

    validate(document, "1.32", strict=True)


def hadolint(path: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "hadolint"), "--failure-threshold", "style", str(path)]
    return subprocess.run(command, capture_output=True, text=True)


def test_dockerfile_passes_its_lint(tmp_path: Path) -> None:
    done = hadolint(DEPLOY / "Dockerfile")
    assert (done.returncode, done.stdout) == (0, "")
    worse = tmp_path / "Dockerfile"
    worse.write_text((DEPLOY / "Dockerfile").read_text() + "USER root\n")
    assert "DL3002" in hadolint(worse).stdout


def test_dockerfile_copies_what_there_is_and_leaves_the_compiler_behind() -> None:
    build, _, last = (DEPLOY / "Dockerfile").read_text().partition("\n\nFROM ")[2].rpartition("\nFROM ")
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", build + last, re.MULTILINE)
    for name in " ".join(copied).split():
        assert (ROOT / name).exists(), name
    assert "gcc" in (DEPLOY / "Dockerfile").read_text().partition(last)[0]
    assert "apt-get" not in last
    assert re.search(r"^USER 10001$", last, re.MULTILINE)


@pytest.mark.parametrize("folder", ["deploy", "redis"])
def test_compose_files_are_what_compose_reads(folder: str, tmp_path: Path) -> None:
    command = [program("docker-compose"), "-f", str(ROOT / "examples" / folder / "compose.yml")]
    secrets = {"RATELIMIT_REDIS_PASSWORD": "x", "RATELIMIT_HASH_KEY": "x"}
    done = subprocess.run(
        [*command, "--profile", "*", "config"], capture_output=True, text=True, env=environment() | secrets
    )
    assert (done.returncode, done.stderr) == (0, "")
    for service in yaml.safe_load(done.stdout)["services"].values():
        for volume in service.get("volumes", ()):
            assert Path(volume["source"]).exists()
        if "build" in service:
            assert (Path(service["build"]["context"]) / service["build"]["dockerfile"]).exists()


def test_second_container_shares_memory_and_processes_with_the_first() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yml").read_text())["services"]
    assert services["api"]["ipc"] == "shareable"
    assert (services["jobs"]["ipc"], services["jobs"]["pid"]) == ("service:api", "service:api")


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Return a copy of the unit; its programs exist."""
    for name in ("ratelimit", "uvicorn"):
        path = tmp_path / "srv/api/.venv/bin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/srv/api", str(tmp_path / "srv/api")))
    return copy


def analyzed(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program("systemd-analyze"), "--no-pager", *arguments],
        capture_output=True,
        text=True,
        env=environment(),
    )


def test_unit_is_one_that_systemd_reads_without_a_word(unit: Path) -> None:
    done = analyzed("verify", "--man=no", str(unit))
    assert (done.returncode, done.stderr) == (0, "")
    unit.write_text(unit.read_text().replace("RemoveIPC=", "RemoveIcp="))
    assert "RemoveIcp" in analyzed("verify", "--man=no", str(unit)).stderr


def test_unit_is_hardened(unit: Path) -> None:
    """The scale of systemd ends at 10; below 2 is its best word but one, and few services get there."""
    told = analyzed("security", "--offline=true", str(unit)).stdout
    (exposure,) = re.findall(r"Overall exposure level for \S+: ([\d.]+)", told)
    assert float(exposure) <= 1.5


@pytest.mark.parametrize(
    "document",
    [each for each in DOCUMENTS if each["apiVersion"] != OF_THE_OPERATOR],
    ids=lambda each: each["kind"],
)
def test_manifest_is_one_that_kubernetes_knows(document: dict[str, Any]) -> None:
    validate(document)


def test_typing_error_in_a_manifest_is_seen() -> None:
    (deployment,) = (each for each in DOCUMENTS if each["kind"] == "Deployment")
    container = dict(deployment["spec"]["template"]["spec"]["containers"][0], volumeMount=[])
    template = {"metadata": {}, "spec": {"containers": [container]}}
    with pytest.raises(Exception, match="volumeMount"):
        validate({**deployment, "spec": {**deployment["spec"], "template": template}})


def of_the_operator(document: dict[str, Any]) -> dict[str, Any]:
    """Return what Prometheus' operator understands of a document, by its own schemas."""
    done = subprocess.run(
        [sys.executable, "-c", UNDERSTAND],
        input=json.dumps(document),
        env={**os.environ, "PYTHONPATH": str(ROOT / ".venv" / "frameworks" / "operator")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    understood: dict[str, Any] = json.loads(done.stdout)
    return understood


@pytest.mark.parametrize(
    "document",
    [each for each in DOCUMENTS if each["apiVersion"] == OF_THE_OPERATOR],
    ids=lambda each: each["kind"],
)
def test_manifest_is_one_that_the_operator_knows(document: dict[str, Any]) -> None:
    assert of_the_operator(document)["spec"] == document["spec"]


def test_alerts_become_a_rule_of_the_operator_by_the_line_of_the_page() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text()
    (command,) = re.findall(r"^(\(printf .*PrometheusRule.*) \| kubectl apply -f -$", page, re.M)
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    made = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True, env=env
    )
    document = yaml.safe_load(made.stdout)
    rules = yaml.safe_load((ROOT / "docs" / "alerts.yml").read_text())
    assert document["spec"] == rules
    assert of_the_operator(document)["spec"]["groups"][0]["name"] == rules["groups"][0]["name"]
    assert document["metadata"]["name"] == "ratelimit"


def test_manifests_fit_each_other() -> None:
    of = {document["kind"]: document for document in DOCUMENTS}
    pod = of["Deployment"]["spec"]["template"]
    volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
    (container,) = pod["spec"]["containers"]
    mounts = {each["mountPath"]: volumes[each["name"]] for each in container["volumeMounts"]}
    assert mounts["/dev/shm"]["emptyDir"]["medium"] == "Memory"
    assert mounts["/etc/ratelimit"]["configMap"]["name"] == of["ConfigMap"]["metadata"]["name"]
    assert not any("subPath" in each for each in container["volumeMounts"])
    labels = pod["metadata"]["labels"]
    for kind in ("Service", "ServiceMonitor", "PodDisruptionBudget"):
        selector = of[kind]["spec"]["selector"]
        assert selector.get("matchLabels", selector) == labels
    (endpoint,) = of["ServiceMonitor"]["spec"]["endpoints"]
    assert endpoint["port"] in {each["name"] for each in of["Service"]["spec"]["ports"]}


def test_policies_load_and_share_their_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RATELIMIT_HASH_KEY", "RATELIMIT_REDIS_PASSWORD"):
        monkeypatch.setenv(name, "00112233445566778899aabbccddeeff")
    monkeypatch.setenv("RATELIMIT_REDIS", "redis://valkey:6379/0")
    (of_pods,) = (each["data"]["policy.toml"] for each in DOCUMENTS if each["kind"] == "ConfigMap")
    policies = [Policy.from_toml(of_pods), Policy.load(DEPLOY / "policy.toml")]
    assert [policy.warnings for policy in policies] == [(), ()]
