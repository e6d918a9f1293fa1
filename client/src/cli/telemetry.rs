//! `adyton telemetry`: one release of a metric, as bars with their error bars.

use super::approve::{Connection, open};
use super::exit::Failure;
use super::show::{DIM, GREEN, RESET};
use crate::statistics::{Statistic, release};
use adyton_attestation::anchor::TrustAnchor;
use clap::Args;

/// Columns of a bar.
const WIDE: usize = 40;

#[derive(Debug, Args)]
pub(super) struct Telemetry {
    /// The metric, by its name in telemetry.toml.
    #[arg(value_name = "METRIC")]
    metric: String,
    /// What it may cost, in epsilon; less is noisier.
    #[arg(long, default_value = "0.25", value_parser = thousandths)]
    epsilon: u32,
    /// The declared purpose, on which the policy decides.
    #[arg(long, default_value = "telemetry")]
    purpose: String,
    #[command(flatten)]
    connection: Connection,
}

/// Thousandths of a decimal number.
fn thousandths(text: &str) -> Result<u32, String> {
    let wrong = || {
        "write epsilon as a number from 0.001 to 100, with at most three digits behind the point".to_owned()
    };
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 3 || part.len() > 3 || !digits(whole) || !digits(part) {
        return Err(wrong());
    }
    let milli: u32 = format!("{whole}{part:0<3}").parse().map_err(|_| wrong())?;
    if (1..=100_000).contains(&milli) { Ok(milli) } else { Err(wrong()) }
}

pub(super) async fn run(anchor: &TrustAnchor, asked: &Telemetry, json: bool) -> Result<(), Failure> {
    let open = open(anchor, &asked.connection, json).await?;
    let what = (asked.metric.as_str(), asked.purpose.as_str());
    let statistic = release(&open.session, open.token.as_deref(), what, asked.epsilon).await?;
    if json {
        println!("{}", serde_json::to_string(&statistic).map_err(Failure::internal)?);
    } else {
        show(&statistic);
    }
    Ok(())
}

fn show(statistic: &Statistic) {
    anstream::println!("{}", title(statistic));
    let label = statistic.rows.iter().map(|row| row.label.len()).max().unwrap_or(0);
    let most = statistic.rows.iter().map(|row| row.high).fold(1.0, f64::max);
    for row in &statistic.rows {
        let error = (row.high - row.low) / 2.0;
        let bar = bar(row.value, row.low, row.high, most);
        anstream::println!(
            "  {:<label$}  {GREEN}{bar}{RESET}  {:.1} {DIM}+- {error:.1}{RESET}",
            row.label,
            row.value
        );
    }
}

fn title(statistic: &Statistic) -> String {
    let [first, last] = statistic.days;
    let days = match last.saturating_sub(first) + 1 {
        1 => "of one day".to_owned(),
        days => format!("of {days} days"),
    };
    format!(
        "{}, {days}: epsilon {:.3} at delta {:e}; {:.3} of {:.3} are spent in this boot",
        statistic.metric, statistic.epsilon, statistic.delta, statistic.spent, statistic.budget
    )
}

/// A bar to the value, and between its ends a line: what is certain is full, what may be is light.
fn bar(value: f64, low: f64, high: f64, most: f64) -> String {
    let column = |at: f64| (at.clamp(0.0, most) / most * WIDE as f64).round() as usize;
    let (value, low, high) = (column(value), column(low), column(high));
    let sign = |at: usize| match at {
        at if at < low => '#',
        at if at < value => '=',
        at if at < high => '-',
        _ => ' ',
    };
    (0..WIDE).map(sign).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epsilon_is_read_in_thousandths() {
        for (text, milli) in [("0.25", 250), ("1", 1000), ("0.001", 1), ("100", 100_000), ("2.5", 2500)] {
            assert_eq!(thousandths(text), Ok(milli));
        }
        for wrong in ["0", "-1", "0.0001", "1e3", "nan", "inf", "", ".5", "101", "1.", "99999"] {
            assert_eq!(thousandths(wrong).is_ok(), wrong == "1.", "{wrong}");
        }
    }

    #[test]
    fn a_bar_shows_what_is_certain_and_what_may_be() {
        assert_eq!(
            bar(50.0, 25.0, 75.0, 100.0),
            format!("{}{}{}{}", "#".repeat(10), "=".repeat(10), "-".repeat(10), " ".repeat(10))
        );
        assert_eq!(bar(-5.0, -20.0, 10.0, 100.0), format!("----{}", " ".repeat(36)));
    }
}
