"""What is shipped beside the service agrees with it, and with itself."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from hardener.client._call import BATCH_BYTES, BATCH_IMAGES, REPORT_SLACK_S
from hardener.client.client import SILENCE_S
from hardener.config.serving_limits import LIMITS
from serving.ending import longest_end_s
from serving.metrics import Metrics
from serving.openapi import openapi_document
from serving.routes import ENDPOINTS
from serving.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "serving" / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
SHIPPED = [
    ROOT / "Dockerfile",
    ROOT / "compose.yaml",
    ROOT / "docs" / "deploy.md",
    *(path for path in DEPLOY.rglob("*") if path.is_file()),
]
INTERNAL = {"HARDENER_METRICS_FOLDER", "HARDENER_ACCEPTED_FOLDER", "HARDENER_LIFELINE"}
DEFAULTS = Settings(bundles=())


def manifest(name: str) -> Any:
    return yaml.safe_load((KUBERNETES / f"{name}.yaml").read_text())


def pod() -> Any:
    return manifest("deployment")["spec"]["template"]


def container() -> Any:
    (only,) = pod()["spec"]["containers"]
    return only


def docker_command() -> list[str]:
    (found,) = re.findall(r"^CMD (\[.*\])", (ROOT / "Dockerfile").read_text().replace("\\\n", ""), re.MULTILINE)
    words: list[str] = json.loads(found)
    return words


def variables() -> set[str]:
    """Find what the service reads, without what its processes tell each other."""
    text = "".join(path.read_text() for path in (ROOT / "serving").rglob("*.py"))
    named = set(re.findall(r'"(HARDENER_[A-Z_]+)"', text)) - INTERNAL
    return named | {limit.variable for limit in LIMITS.values()}


def option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_variable_named_is_one_that_the_service_reads(path: Path) -> None:
    named = set(re.findall(r"HARDENER_[A-Z_]+", path.read_text()))
    assert named - variables() - {"HARDENER_PORT"} == set()  # that one is what Kubernetes would make of the Service


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs" / "deploy.md").read_text()
    shown_by_the_command = {limit.variable for limit in LIMITS.values()}
    assert variables() - shown_by_the_command <= set(re.findall(r"HARDENER_[A-Z_]+", text))
    assert "`hardener serve --limits`" in text


def test_every_selector_finds_the_pods() -> None:
    labels = pod()["metadata"]["labels"]
    assert manifest("deployment")["spec"]["selector"]["matchLabels"] == labels
    assert manifest("service")["spec"]["selector"] == labels
    assert manifest("pdb")["spec"]["selector"]["matchLabels"] == labels
    assert manifest("networkpolicy")["spec"]["podSelector"]["matchLabels"] == labels
    (spread,) = pod()["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"] == labels
    jobs = yaml.safe_load((DEPLOY / "prometheus-kubernetes.yml").read_text())["scrape_configs"]
    selector = jobs[0]["kubernetes_sd_configs"][0]["selectors"][0]["label"]
    assert [selector.split("=")] == [list(item) for item in labels.items()]


def test_ports_and_volumes_have_the_names_that_others_use() -> None:
    (port,) = container()["ports"]
    assert str(port["containerPort"]) == option(docker_command(), "--port")
    (service_port,) = manifest("service")["spec"]["ports"]
    (ingress,) = manifest("networkpolicy")["spec"]["ingress"]
    assert {service_port["targetPort"], ingress["ports"][0]["port"]} == {port["name"]}
    volumes = [volume["name"] for volume in pod()["spec"]["volumes"]]
    assert sorted(volumes) == sorted(mount["name"] for mount in container()["volumeMounts"])
    component = yaml.safe_load((KUBERNETES / "bundle-image" / "kustomization.yaml").read_text())
    replaced = {
        step["path"]: step["value"] for patch in component["patches"] for step in yaml.safe_load(patch["patch"])
    }
    assert replaced["/spec/template/spec/volumes/0"]["name"] == volumes[0] == "bundle"


def test_the_autoscaler_asks_for_a_metric_that_the_service_has_and_the_adapter_makes() -> None:
    scaler = manifest("hpa")["spec"]
    assert scaler["scaleTargetRef"]["name"] == manifest("deployment")["metadata"]["name"]
    name = scaler["metrics"][1]["pods"]["metric"]["name"]
    assert f"# TYPE {name} gauge" in Metrics().render().decode()
    (rule,) = yaml.safe_load((DEPLOY / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
    assert rule["name"]["as"] == name
    assert rule["seriesQuery"].startswith(name + "{")
    assert int(scaler["metrics"][1]["pods"]["target"]["averageValue"]) < DEFAULTS.max_waiting
    cpu_only = yaml.safe_load((KUBERNETES / "cpu-only" / "kustomization.yaml").read_text())
    test, remove = yaml.safe_load(cpu_only["patches"][0]["patch"])
    assert scaler["metrics"][1]["type"] == test["value"]
    assert remove == {"op": "remove", "path": "/spec/metrics/1"}


def test_probes_ask_for_routes_that_exist() -> None:
    paths = openapi_document(ENDPOINTS, Settings(bundles=()))["paths"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container()[probe]["httpGet"]["path"] in paths
    checks = [(ROOT / name).read_text() for name in ("Dockerfile", "compose.yaml")]
    assert {re.findall(r"127\.0\.0\.1:3000(/\w+)'", text)[0] for text in checks} == {"/readyz"}


def test_a_pod_has_time_to_finish_what_it_began() -> None:
    (drain,) = (item["value"] for item in container()["env"] if item["name"] == "HARDENER_DRAIN_S")
    assert pod()["spec"]["terminationGracePeriodSeconds"] > longest_end_s(float(drain), DEFAULTS.stop_s)
    graceful = DEFAULTS.drain_s + DEFAULTS.stop_s
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert float(compose["services"]["serving"]["stop_grace_period"].rstrip("s")) > graceful + 1
    unit = (DEPLOY / "hardener.service").read_text()
    assert float(re.findall(r"TimeoutStopSec=(\d+)", unit)[0]) > graceful + 1


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool, of Prometheus, is not on the PATH")
def test_the_alerts_fire_when_a_worker_dies_and_not_otherwise() -> None:
    cases = ROOT / "tests" / "serving" / "alerts_test.yaml"
    done = subprocess.run(["promtool", "test", "rules", str(cases)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_unit_starts_what_the_image_starts() -> None:
    (line,) = re.findall(r"^ExecStart=(.*)$", (DEPLOY / "hardener.service").read_text(), re.MULTILINE)
    own = {"--host", "--working-dir"}

    def start(words: list[str]) -> list[str]:
        begin = words.index("-m")
        kept = [word for number, word in enumerate(words) if number >= begin and words[number - 1] not in own]
        return [word for word in kept if word not in own]

    assert start(shlex.split(line)) == start(docker_command())


def test_nothing_before_the_service_is_stricter_with_a_request_than_it_is_itself() -> None:
    longest = DEFAULTS.max_report_seconds + DEFAULTS.predict_timeout_s
    nginx = (DEPLOY / "nginx.conf").read_text()
    assert int(re.findall(r"client_max_body_size (\d+)m;", nginx)[0]) * 1024**2 == DEFAULTS.max_body_bytes
    assert int(re.findall(r"proxy_read_timeout (\d+)s;", nginx)[0]) > longest
    assert DEFAULTS.report_seconds + DEFAULTS.predict_timeout_s < SILENCE_S
    assert DEFAULTS.predict_timeout_s < REPORT_SLACK_S
    assert DEFAULTS.max_batch_images >= BATCH_IMAGES
    assert DEFAULTS.max_body_bytes > BATCH_BYTES + BATCH_IMAGES * 1024


def test_containers_have_no_more_rights_than_they_need() -> None:
    security, group = container()["securityContext"], pod()["spec"]["securityContext"]
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    user = int(re.findall(r"^USER (\d+):", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[-1])
    assert (group["runAsUser"], group["runAsNonRoot"], user > 0) == (user, True, True)
    for service in yaml.safe_load((ROOT / "compose.yaml").read_text())["services"].values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_a_bundle_that_is_renamed_into_place_reaches_the_container() -> None:
    """A bind mount follows a folder, not its name: so the folder around the bundle is mounted."""
    serving = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["serving"]
    (mount,) = serving["volumes"]
    assert (mount["target"], serving["environment"]["HARDENER_BUNDLE"]) == ("/models", "/models/${BUNDLE:-bundle}")
    for name in ("Dockerfile", "docs/deploy.md"):
        text = (ROOT / name).read_text()
        assert '-v "$PWD/runs/NAME:/models:ro" -e HARDENER_BUNDLE=/models/bundle' in text
        assert "/bundle:/bundle" not in text
