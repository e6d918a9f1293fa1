//! Statistics that leave with noise in them: by the command of an analyst, within the budget, and with their entries in the log.

use crate::support::{ask, audited, entries, plan, question, session};
use adyton_tests::world::{Plan, World};
use serde_json::{Value, json};

const DECLARED: &str = "[budget]\nepsilon = 1.2\ndelta = 0.000001\n\
    [[metric]]\nname = \"answers\"\nof = \"answers\"\nshape = \"count\"\nper_day = 1\n\
    [[metric]]\nname = \"purposes\"\nof = \"purpose\"\nshape = \"histogram\"\nbins = [\"general\", \"other\"]\nper_day = 1\n";

fn telemetry(world: &World, arguments: &[&str]) -> std::process::Output {
    let mut command = world.client().unwrap();
    command.args(["--json", "telemetry"]).args(arguments).arg("--reference").arg(world.reference_file());
    command.args(["--enclave", world.address(), "--token-file"]).arg(world.path("token")).output().unwrap()
}

fn of<'a>(entries: &'a [Value], kind: &str) -> Vec<&'a Value> {
    entries.iter().filter(|entry| entry["kind"] == kind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_analyst_has_figures_with_noise_until_the_budget_is_spent() {
    let world = audited(Plan { policy: vec![("telemetry.toml", DECLARED.to_owned())], ..plan() });
    ask(&world, &session(&world).await, &question(4)).await.unwrap();
    let as_role = |role: &str| {
        let token = world.token(&[role], 0, 0, 3600).unwrap();
        std::fs::write(world.path("token"), token).unwrap();
    };
    as_role("chat");
    let refused = telemetry(&world, &["purposes"]);
    assert!(!refused.status.success() && refused.stdout.is_empty(), "{refused:?}");
    as_role("analyst");
    let unknown = telemetry(&world, &["prompts"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no_such_metric"), "{unknown:?}");
    let shown = telemetry(&world, &["purposes", "--epsilon", "0.5"]);
    assert!(shown.status.success(), "{shown:?}");
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&shown["number"], shown["rows"].as_array().unwrap().len()), (&json!(1), 2), "{shown}");
    let wide = |row: &Value| row["high"].as_f64().unwrap() - row["low"].as_f64().unwrap();
    assert!(shown["rows"].as_array().unwrap().iter().all(|row| wide(row) > 10.0), "{shown}");
    // Until there is nothing left.
    let mut released = 1;
    let last = loop {
        let more = telemetry(&world, &["answers", "--epsilon", "0.5"]);
        if !more.status.success() || released > 20 {
            break more;
        }
        released += 1;
    };
    assert!(String::from_utf8_lossy(&last.stderr).contains("budget_exhausted"), "{last:?}");
    let entries = entries(&world);
    let spent = of(&entries, "spent");
    assert_eq!(spent.len(), released, "each release has its price in the log");
    assert!(!of(&entries, "unspent").is_empty());
}
