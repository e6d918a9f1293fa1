//! Attacks on what leaves a round. Each must succeed where the defence is off, or its failure elsewhere proves nothing.

pub mod inversion;
pub mod membership;
pub mod poison;

use anyhow::Result;

/// Prints the tables, of the sizes that the documentation has.
///
/// # Errors
/// If a round is refused.
pub fn print() -> Result<()> {
    println!("\n### Gradient inversion: texts of the cohort that are found among 1,000\n");
    println!(
        "| cohort | no clip, no noise | clip only | clip and noise (sigma 1) | sigma 4 | by guessing |\n|---|---|---|---|---|---|"
    );
    for cohort in [1, 8, 32] {
        let found = inversion::table(cohort, 1000, 320, 5)?;
        let [off, clipped, noised, more] = found.map(|share| format!("{:.1} %", 100.0 * share));
        println!("| {cohort} | {off} | {clipped} | {noised} | {more} | {:.1} % |", cohort as f64 / 10.0);
    }
    println!("\n### Membership inference: true positives at 1 % false positives\n");
    println!("| released model | true positives | bound by epsilon |\n|---|---|---|");
    for (what, found, bound) in membership::table(48)? {
        println!(
            "| {what} | {:.1} % | {} |",
            100.0 * found,
            bound.map_or("-".to_owned(), |b| format!("{:.1} %", 100.0 * b))
        );
    }
    println!("\n### Poisoning: balanced accuracy with liars among 20 participants\n");
    println!("| liars | no clip | clip | clip and trimmed groups |\n|---|---|---|---|");
    for liars in [0, 1, 2, 4] {
        let found = poison::table(liars, 4000)?.map(|accuracy| format!("{:.1} %", 100.0 * accuracy));
        println!("| {liars} | {} | {} | {} |", found[0], found[1], found[2]);
    }
    Ok(())
}
