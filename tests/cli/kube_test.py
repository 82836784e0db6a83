"""Kubernetes workloads, with a stand-in for kubectl."""
import json

from adapters import standins  # noqa: F401 (a fixture)
from evaluate import evaluate

REVISION = "deployment.kubernetes.io/revision"


def cluster(standins, replicas=3, **more):  # noqa: F811
    template = {"spec": {"containers": [{"name": "api", "image": "api:1"}, {"name": "proxy", "image": "proxy:7"}]}}
    standins.set("kubectl", {"deployment/api": {"metadata": {"annotations": {REVISION: "1"}}, "spec": {"replicas": replicas, "template": template},
                                                "status": {"replicas": replicas, "readyReplicas": replicas}, "history": [template], **more}})


def deployment(standins):  # noqa: F811
    return standins.get("kubectl")["deployment/api"]


def ask(runbook, playbook, standins, code):  # noqa: F811
    return evaluate(runbook, playbook, 'local kube = require "kube"\n' + code, needs='shell = { "kubectl" }', env=standins.env)


def test_looking(runbook, playbook, standins):  # noqa: F811
    cluster(standins)
    seen = ask(runbook, playbook, standins, """
      local r = kube.replicas "deployment/api"
      return { r.wanted, r.ready, kube.image("deployment/api", "proxy"), kube.revision "deployment/api", tostring(kube.env("deployment/api", "X")),
        kube.get("deployment/api", { namespace = "shop", context = "prod" }).spec.replicas }
    """)
    assert seen == [3, 3, "proxy:7", 1, "nil", 3]
    last = json.loads((standins.folder / "calls").read_text().splitlines()[-1])
    assert last == ["kubectl", "get", "deployment/api", "--output=json", "--context=prod", "--namespace=shop"]


def test_changing(runbook, playbook, standins):  # noqa: F811
    cluster(standins)
    seen = ask(runbook, playbook, standins, """
      kube.set_env("deployment/api", "MAINTENANCE_MODE", "true")
      local on = kube.env("deployment/api", "MAINTENANCE_MODE")
      kube.set_env("deployment/api", "MAINTENANCE_MODE", null)
      kube.set_image("deployment/api", "api", "api:2")
      local new = kube.image("deployment/api", "api")
      kube.rollback "deployment/api"
      local back = kube.image("deployment/api", "api")
      kube.rollback("deployment/api", 4)
      return { on, tostring(kube.env("deployment/api", "MAINTENANCE_MODE")), new, back, kube.image("deployment/api", "api"), kube.revision "deployment/api" }
    """)
    assert seen == ["true", "nil", "api:2", "api:1", "api:2", 6]


PLAY = """
    local kube = require "kube"
    playbook "x" { summary = "x", needs = { shell = { "kubectl" } } }
    local traffic = kube.scaled "deployment/api"
    step "stop traffic" { traffic.off%s }
    %s
"""
FAIL = 'step "fail" { run = function() error "on purpose" end, undo = keep "nothing" }'


def test_scaled_to_zero_and_back_with_the_number_found(runbook, playbook, standins):  # noqa: F811
    cluster(standins)
    path = playbook(PLAY % ("", 'step "start traffic" { traffic.on }'))
    assert runbook("exec", path.name, cwd=path.parent, env=standins.env).exit == 0
    assert standins.calls() == ["kubectl annotate deployment/api runbook/replicas-before=3 --overwrite", "kubectl scale deployment/api --replicas=0",
                                "kubectl scale deployment/api --replicas=3", "kubectl annotate deployment/api runbook/replicas-before-"]
    now = deployment(standins)
    assert now["spec"]["replicas"] == 3 and now["metadata"]["annotations"] == {REVISION: "1"}


def test_the_way_back_knows_the_number(runbook, playbook, standins):  # noqa: F811
    cluster(standins, replicas=7)
    path = playbook(PLAY % ("", FAIL))
    assert runbook("exec", path.name, cwd=path.parent, env=standins.env).exit == 1
    assert deployment(standins)["spec"]["replicas"] == 7


def test_another_run_finds_the_number(runbook, playbook, standins):  # noqa: F811
    """What one run took off another puts back: the note is at the workload."""
    cluster(standins, replicas=5)
    off = playbook(PLAY % (', stays = "maintenance"', ""), "off.lua")
    assert runbook("exec", off.name, cwd=off.parent, env=standins.env).exit == 0
    on = playbook("""
        local kube = require "kube"
        playbook "y" { summary = "x", needs = { shell = { "kubectl" } } }
        step "start traffic" { undo = keep "stays", run = function() kube.scaled("deployment/api").on.run() end }
    """, "on.lua")
    result = runbook("exec", on.name, cwd=on.parent, env=standins.env)
    assert result.exit == 0, result.out + result.err
    assert deployment(standins)["spec"]["replicas"] == 5


def test_what_goes_wrong(runbook, playbook, standins):  # noqa: F811
    cluster(standins, replicas=0, stuck=True)
    errors = ask(runbook, playbook, standins, """
      return { try(kube.get, "deployment/absent"), try(kube.rollout, "deployment/api", { within = "1s" }), try(kube.scaled("deployment/api").on.run),
        try(kube.image, "deployment/api", "web"), try(kube.scaled, "api"), try(kube.scale, "deployment/api", 1.5), try(kube.set_env, "deployment/api", "A B", "x"),
        try(kube.set_env, "deployment/api", "A", {}), try(kube.replicas, "deployment/api", { namspace = "x" }) }
    """)
    assert errors[0]["kind"] == "shell.exit" and 'deployments.apps "absent" not found' in errors[0]["message"]
    assert errors[1]["kind"] == "shell.exit" and "timed out" in errors[1]["message"]
    assert [e["message"] for e in errors[2:]] == [
        "deployment/api has no replicas, and nobody noted how many it had",
        "kube.image: argument 2 'container': deployment/api has the containers api, proxy",
        "kube.scaled: argument 1 'workload': kind/name such as deployment/api expected, got 'api'",
        "kube.scale: argument 2 'count': a whole number from 0 expected, got 1.5",
        "kube.set_env: argument 2 'variable': name of a variable expected, got A B",
        "kube.set_env: argument 3 'value': text or number expected, got table",
        "kube.replicas: argument 2 'options': unknown option 'namspace' (did you mean 'namespace'?)"]


def test_a_dry_run_changes_and_awaits_nothing(runbook, playbook, standins):  # noqa: F811
    cluster(standins)
    path = playbook(PLAY % ("", 'step "start traffic" { traffic.on }'))
    result = runbook("exec", path.name, "--dry-run", cwd=path.parent, env=standins.env)
    assert "kubectl" in result.out and "--replicas=0" in result.out, result.out + result.err
    assert standins.calls() == [] and deployment(standins)["spec"]["replicas"] == 3
