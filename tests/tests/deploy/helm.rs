//! The chart: rendered by the real helm, judged by the schemas of Kubernetes, and read by the program that it starts.

use crate::{common, program, said, shipped, skipped};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

/// The oldest version that the chart says it is for, of those whose schemas are at hand, and the newest.
const KUBERNETES: [&str; 2] = ["1.33.0", "1.37.0"];

/// What `tests/fetch-helm` leaves behind.
fn tools() -> Option<(PathBuf, PathBuf)> {
    let folder = common::root().join(".cache/helm-4.1.4");
    let (helm, python) = (folder.join("helm"), folder.join("python/bin/python"));
    if helm.is_file() && python.is_file() {
        return Some((helm, python));
    }
    skipped("helm is not here; the chart was neither rendered nor judged (tests/fetch-helm)");
    None
}

fn chart() -> PathBuf {
    shipped("helm/adyton")
}

fn helm(helm: &PathBuf, arguments: &[&str]) -> Output {
    let mut command = Command::new(helm);
    command.args(arguments).args(["-f", "ci/values.yaml"]).current_dir(chart());
    command.output().unwrap()
}

fn rendered(tool: &PathBuf, more: &[&str]) -> String {
    let output = helm(tool, &[&["template", "r", "."], more].concat());
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// All documents, as JSON: the validator's own reader of YAML.
fn documents(python: &PathBuf, yaml: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chart.yaml");
    fs::write(&file, yaml).unwrap();
    let script =
        "import sys, json, yaml; print(json.dumps([d for d in yaml.safe_load_all(open(sys.argv[1])) if d]))";
    let output = Command::new(python).args(["-c", script]).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn judged(python: &PathBuf, yaml: &str, version: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chart.yaml");
    fs::write(&file, yaml).unwrap();
    let mut command = Command::new(python);
    command.args(["-m", "kubernetes_validate", "--strict", "--quiet", "-k", version]).arg(file);
    command.output().unwrap()
}

#[test]
fn the_chart_is_by_the_schemas_of_kubernetes() {
    let Some((tool, python)) = tools() else { return };
    let linted = helm(&tool, &["lint", "--strict", "."]);
    assert!(linted.status.success(), "{}", said(&linted));
    for change in [&[][..], &["--set", "enclave.hugepages=2Mi", "--set", "service.type=LoadBalancer"]] {
        let yaml = rendered(&tool, change);
        for version in KUBERNETES {
            let output = judged(&python, &yaml, version);
            assert!(output.status.success(), "{version}: {}", said(&output));
        }
    }
    let wrong = rendered(&tool, &[]).replace("readOnlyRootFilesystem", "readOnlyRootFileSystem");
    assert!(!judged(&python, &wrong, KUBERNETES[0]).status.success(), "a wrong name is not noticed");
}

#[test]
fn pods_drain_are_locked_down_and_start_the_host_with_options_that_it_has() {
    let Some((tool, python)) = tools() else { return };
    let documents = documents(&python, &rendered(&tool, &[]));
    let of = |kind: &str| documents.iter().find(|document| document["kind"] == kind).unwrap();
    let pod = &of("StatefulSet")["spec"]["template"]["spec"];
    let host = &pod["containers"][0];

    let arguments: Vec<&str> = host["args"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
    let planned = Command::new(program("adyton-host")).args(&arguments).arg("--dry-run").output().unwrap();
    assert!(planned.status.success(), "{}", said(&planned));
    let plan: Value = serde_json::from_slice(&planned.stdout).unwrap();
    assert_eq!(plan["enclaves"], serde_json::json!(["vsock:16", "vsock:17"]));

    // Hugepages of the pod are those of its enclaves, and what it may start is counted.
    let limits = &host["resources"]["limits"];
    let memory = plan["memory_mib"].as_u64().unwrap() * 2;
    assert_eq!(limits["hugepages-1Gi"], format!("{memory}Mi"));
    assert_eq!(limits["aws.ec2.nitro/nitro_enclaves"], "2");
    assert_eq!(limits, &host["resources"]["requests"]);

    let sleep = host["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap();
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(grace >= plan["drain_s"].as_u64().unwrap() + sleep + 30);

    let security = &host["securityContext"];
    assert_eq!(security["capabilities"]["drop"], serde_json::json!(["ALL"]));
    for (field, wanted) in
        [("privileged", false), ("allowPrivilegeEscalation", false), ("readOnlyRootFilesystem", true)]
    {
        assert_eq!(security[field], wanted, "{field}");
    }
    assert_eq!(
        (&pod["securityContext"]["runAsNonRoot"], &pod["automountServiceAccountToken"]),
        (&Value::Bool(true), &Value::Bool(false))
    );
    for forbidden in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(pod[forbidden].is_null(), "{forbidden}");
    }
    assert!(pod["volumes"].as_array().unwrap().iter().all(|volume| volume["hostPath"].is_null()));
    assert_eq!(host["readinessProbe"]["httpGet"]["path"], "/ready");

    let policy = &of("NetworkPolicy")["spec"];
    assert_eq!(policy["policyTypes"], serde_json::json!(["Ingress", "Egress"]));
    assert_eq!(of("PodDisruptionBudget")["spec"]["maxUnavailable"], 1);
}

#[test]
fn values_that_are_wrong_are_refused_before_anything_is_installed() {
    let Some((tool, _)) = tools() else { return };
    for wrong in [
        "image.digest=latest",
        "enclave.count=5",
        "enclave.cpus=1",
        "enclave.hugepages=4Ki",
        "release.existingClaim=",
        "seccompProfile.type=Unconfined",
        "no.such=value",
        "egress[0]=everywhere",
    ] {
        let output = helm(&tool, &["template", "r", ".", "--set", wrong]);
        assert!(!output.status.success() && said(&output).contains("schema"), "{wrong}: {}", said(&output));
    }
}

#[test]
fn the_profile_of_system_calls_is_one() {
    let text = fs::read(chart().join("files/adyton-host.seccomp.json")).unwrap();
    let profile: Value = serde_json::from_slice(&text).unwrap();
    let names: Vec<&str> = profile["syscalls"][0]["names"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    assert_eq!(profile["syscalls"][0]["action"], "SCMP_ACT_ERRNO");
    assert!(
        names.is_sorted() && ["bpf", "mount", "ptrace", "unshare"].iter().all(|name| names.contains(name))
    );
}
