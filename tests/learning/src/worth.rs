//! Whether it is worth it: the guard after federated rounds, against what each organisation has alone and all have together.

use crate::dice::Dice;
use crate::plot::{self, Bar};
use crate::texts::{Text, Texts, load};
use crate::training::{accuracy, calibrated, federated, undefended, who};
use adyton_learning::round::head::{Example, Head};
use adyton_learning::round::{Policy, Unit};
use anyhow::Result;

/// Places and the bias.
const DIMENSION: u32 = 2049;
/// Of each source and label.
const MOST: usize = 900;
/// Share of texts that nobody trains on.
const HELD: usize = 4;
const DELTA: f64 = 1e-5;

/// What was measured.
#[derive(Debug)]
pub struct Row {
    /// How the head came about.
    pub what: String,
    /// Balanced accuracy on all sources.
    pub accuracy: f64,
    /// Noise and clip.
    pub remark: String,
}

/// Organisations whose data differ: four fifths of each one's texts are of one source of attacks and one of harmless texts.
pub fn organisations(texts: &[Text], count: usize, each: usize, dice: &mut Dice) -> Vec<Vec<Example>> {
    let mut pools: [Vec<(&str, Vec<&Example>)>; 2] = Default::default();
    for text in texts {
        let pool = &mut pools[usize::from(text.example.attack)];
        match pool.iter_mut().find(|(source, _)| *source == text.source) {
            Some((_, list)) => list.push(&text.example),
            None => pool.push((text.source, vec![&text.example])),
        }
    }
    let one = |at: usize, dice: &mut Dice| {
        let text = |n: usize, dice: &mut Dice| {
            let pool = &pools[n % 2];
            let own = if n.is_multiple_of(2) { at } else { at / 2 } % pool.len();
            let (_, list) = if dice.below(5) > 0 { &pool[own] } else { &pool[dice.below(pool.len())] };
            list[dice.below(list.len())].clone()
        };
        (0..each).map(|n| text(n, dice)).collect()
    };
    (0..count).map(|at| one(at, dice)).collect()
}

fn policy(count: usize, each: usize, epsilon: f64, unit: Unit) -> Result<Policy> {
    let (rounds, step, clip, groups) = match unit {
        Unit::Example { clip, .. } => (120, 30.0, clip * each as f64, 1),
        Unit::Participant => (10, 2.0, 2.0, 1),
    };
    calibrated(&Policy {
        dimension: DIMENSION,
        clip,
        sigma: 1.0,
        unit,
        cohort: 20,
        rounds,
        epochs: 2,
        step,
        groups,
        trim: 0,
        epsilon,
        delta: DELTA,
        participants: (0..count).map(who).collect(),
    })
}

fn by_example(count: usize, each: usize) -> Unit {
    let rate = 0.25;
    Unit::Example { clip: 0.5, rate, batch: (rate * (count * each) as f64) as u32 }
}

fn noised(
    organisations: &[Vec<Example>],
    held: &[Example],
    epsilon: f64,
    by: Unit,
    dice: &mut Dice,
) -> Result<Row> {
    let each = organisations.first().map_or(0, Vec::len);
    let policy = policy(organisations.len(), each, epsilon, by)?;
    let head = federated(&policy, organisations, &|_, _, _, _| None, dice)?;
    let unit = if by == Unit::Participant { "an organisation" } else { "an example" };
    Ok(Row {
        what: format!("federated, {} organisations, epsilon {epsilon} for {unit}", organisations.len()),
        accuracy: accuracy(&head, held),
        remark: format!("sigma {:.2}, {} rounds", policy.sigma, policy.rounds),
    })
}

fn alone(organisations: &[Vec<Example>], held: &[Example], dice: &mut Dice) -> Result<Row> {
    let mut all = Vec::new();
    for own in organisations {
        all.push(accuracy(&Head::new(DIMENSION).trained(own, 20, 0.5, dice)?, held));
    }
    let (worst, best) =
        (all.iter().fold(1.0f64, |a, b| a.min(*b)), all.iter().fold(0.0f64, |a, b| a.max(*b)));
    Ok(Row {
        what: format!("alone, mean of {} organisations", organisations.len()),
        accuracy: all.iter().sum::<f64>() / all.len() as f64,
        remark: format!("worst {:.1} %, best {:.1} %", 100.0 * worst, 100.0 * best),
    })
}

fn rows(texts: &Texts, dice: &mut Dice) -> Result<Vec<Row>> {
    let (held, given) = texts.all.split_at(texts.all.len() / HELD);
    let held: Vec<Example> = held.iter().map(|text| text.example.clone()).collect();
    let few = organisations(given, 20, 250, dice);
    let many = organisations(given, 400, 50, dice);
    let mut rows = vec![alone(&few, &held, dice)?];
    let pooled: Vec<Example> = few.iter().flatten().cloned().collect();
    let together = Head::new(DIMENSION).trained(&pooled, 20, 0.5, dice)?;
    let remark = "everybody's texts in one place".to_owned();
    rows.push(Row {
        what: "pooled, 20 organisations".to_owned(),
        accuracy: accuracy(&together, &held),
        remark,
    });
    let unbounded = policy(20, 250, 8.0, by_example(20, 250))?;
    let head = undefended(&unbounded, &few, &|_, _| (), dice)?;
    let remark = format!("no clip, no noise, {} rounds", unbounded.rounds);
    let what = "federated, 20 organisations, epsilon infinite".to_owned();
    rows.push(Row { what, accuracy: accuracy(&head, &held), remark });
    for epsilon in [8.0, 4.0, 1.0] {
        rows.push(noised(&few, &held, epsilon, by_example(20, 250), dice)?);
    }
    rows.push(noised(&few, &held, 8.0, Unit::Participant, dice)?);
    for epsilon in [8.0, 4.0, 1.0] {
        rows.push(noised(&many, &held, epsilon, Unit::Participant, dice)?);
    }
    Ok(rows)
}

/// Prints the table, and writes the plot.
///
/// # Errors
/// If a training is refused, or the plot cannot be written.
pub fn print(to: &std::path::Path) -> Result<()> {
    let mut dice = Dice::new(11);
    let texts = load(DIMENSION, MOST, &mut dice);
    let rows = rows(&texts, &mut dice)?;
    println!(
        "\n### What federated rounds are worth\n\nOf {}: {} texts, a quarter held back. Delta {DELTA}.\n",
        texts.origin,
        texts.all.len()
    );
    println!("| head | balanced accuracy | remark |\n|---|---|---|");
    for row in &rows {
        println!("| {} | {:.1} % | {} |", row.what, 100.0 * row.accuracy, row.remark);
    }
    let bars: Vec<Bar> =
        rows.iter().map(|row| Bar { label: row.what.clone(), value: 100.0 * row.accuracy }).collect();
    std::fs::write(to, plot::bars("Balanced accuracy of the guard, in percent", &bars, 50.0, 100.0))?;
    println!("\nPlot: {}", to.display());
    Ok(())
}
