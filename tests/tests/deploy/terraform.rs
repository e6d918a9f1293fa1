//! The templates for one instance: their form by terraform itself, where it is at hand, and what they must say by their text.
//!
//! # Does not
//! - Ask AWS's provider, which no registry of packages has: names of arguments were compared with its schema when they were written.

use crate::{run, said, shipped, skipped};
use std::fs;
use std::process::Command;

fn file(name: &str) -> String {
    fs::read_to_string(shipped("terraform").join(name)).unwrap()
}

/// The lines of a block, from its head to the brace in its column, without what surrounds them.
fn block(text: &str, head: &str) -> Vec<String> {
    let mut lines = text.lines().skip_while(|line| line.trim() != format!("{head} {{"));
    let first = lines.next().unwrap_or_else(|| panic!("no block {head}"));
    let indent = &first[..first.len() - first.trim_start().len()];
    let end = format!("{indent}}}");
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    lines.take_while(|line| *line != end).map(words).collect()
}

#[test]
fn terraform_reads_the_templates_and_would_not_format_them_otherwise() {
    let folder = shipped("terraform");
    let mut command = Command::new("terraform");
    match run(command.args(["fmt", "-check", "-diff", "-no-color"]).arg(&folder)) {
        None => skipped("terraform is not here; the templates were not read by it"),
        Some(output) => assert!(output.status.success(), "{}", said(&output)),
    }
}

#[test]
fn the_instance_has_enclaves_and_gives_its_role_to_nobody_else() {
    let main = file("main.tf");
    let instance = block(&main, "resource \"aws_instance\" \"host\"").join("\n");
    assert!(block(&main, "enclave_options").contains(&"enabled = true".to_owned()));
    let metadata = block(&main, "metadata_options");
    for line in ["http_tokens = \"required\"", "http_put_response_hop_limit = 1"] {
        assert!(metadata.contains(&line.to_owned()), "{line}");
    }
    assert!(block(&main, "root_block_device").contains(&"encrypted = true".to_owned()));
    assert!(!instance.contains("key_name") && !instance.contains("associate_public_ip_address"));
}

#[test]
fn the_one_way_in_is_the_service_port() {
    let main = file("main.tf");
    assert_eq!(main.matches("aws_vpc_security_group_ingress_rule").count(), 1);
    let rule = block(&main, "resource \"aws_vpc_security_group_ingress_rule\" \"clients\"");
    assert!(rule.contains(&"from_port = var.service_port".to_owned()));
    assert!(rule.contains(&"to_port = var.service_port".to_owned()));
    assert!(!main.contains("ingress {"), "a rule inside the group");
    assert!(block(&file("variables.tf"), "variable \"client_cidrs\"").contains(&"default = []".to_owned()));
}

#[test]
fn the_key_has_the_policy_of_adyton_and_the_role_has_no_right_to_it() {
    let main = file("main.tf");
    let key = block(&main, "resource \"aws_kms_key\" \"release\"");
    for line in ["policy = file(var.key_policy_file)", "prevent_destroy = true"] {
        assert!(key.contains(&line.to_owned()), "{line}");
    }
    assert!(!main.contains("kms:"), "rights to the key stand in its own policy and nowhere else");
    assert!(!main.contains("aws_iam_role_policy\"") && !main.contains("aws_kms_grant"));
    let attached: Vec<&str> = main.lines().filter(|line| line.contains(":policy/")).collect();
    assert!(attached.len() == 1 && attached[0].contains("AmazonSSMManagedInstanceCore"), "{attached:?}");
}

#[test]
fn the_first_start_writes_the_allocators_file_and_brings_nothing_that_is_measured() {
    let script = file("first-start.sh.tftpl");
    let shipped = fs::read_to_string(crate::shipped("systemd").join("allocator.yaml")).unwrap();
    for key in ["memory_mib", "cpu_count"] {
        let value = shipped.lines().find_map(|line| line.strip_prefix(&format!("{key}: "))).unwrap();
        assert!(
            file("variables.tf")
                .contains(&format!("{key}{} = {value}", " ".repeat("memory_mib".len() - key.len())))
        );
        assert!(script.contains(&format!("{key}: ${{{key}}}")));
    }
    assert!(!script.contains("curl") && !script.contains("wget") && !script.contains(".eif"));
    let checked = Command::new("bash")
        .arg("-n")
        .arg(crate::shipped("terraform/first-start.sh.tftpl"))
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", said(&checked));
}
