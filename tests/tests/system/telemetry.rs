//! Statistics that leave with noise in them: by the command of an analyst, within the budget, and with their entries in the log.

use crate::support::{audited, body, entries, plan, session};
use adyton_tests::world::World;
use serde_json::{Value, json};

const DECLARED: &str = "[budget]\nepsilon = 1.2\ndelta = 0.000001\n\
    [[metric]]\nname = \"answers\"\nof = \"answers\"\nshape = \"count\"\nper_day = 1\n\
    [[metric]]\nname = \"purposes\"\nof = \"purpose\"\nshape = \"histogram\"\nbins = [\"general\", \"other\"]\nper_day = 1\n";

fn telemetry(world: &World, arguments: &[&str]) -> std::process::Output {
    let mut command = world.client().unwrap();
    command.args(["--json", "telemetry"]).args(arguments).arg("--reference").arg(world.reference_file());
    command.args(["--enclave", world.address(), "--token-file"]).arg(world.path("token")).output().unwrap()
}
