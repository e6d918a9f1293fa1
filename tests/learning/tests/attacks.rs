//! Small forms of the attacks of `make eval-learning`: each succeeds where the defence is off, and fails where it is on.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)] // a test that cannot go on ends

use adyton_learning_eval::attacks::inversion::{self, Defence};
use adyton_learning_eval::attacks::membership::{self, Training};
use adyton_learning_eval::attacks::poison;

#[test]
fn texts_are_read_from_sums_without_noise_and_not_with_it() {
    for (cohort, at_least) in [(1, 0.99), (8, 0.9)] {
        let found = |defence| inversion::found(cohort, 300, 32, defence, 1).unwrap();
        let (off, clip, noise) = (found(Defence::Off), found(Defence::Clip), found(Defence::Noise(4.0)));
        assert!(off >= at_least && clip >= at_least, "cohort {cohort}: {off} {clip}");
        assert!(noise <= 0.1, "cohort {cohort}: {noise}");
    }
}

#[test]
fn members_are_told_by_a_plain_model_and_not_by_a_released_one() {
    let plain = membership::found(24, Training::Plain, 2).unwrap();
    let released = membership::found(24, Training::Federated(1.0), 2).unwrap();
    assert!(plain > 0.12, "{plain}");
    assert!(released < 0.035, "{released}");
}

#[test]
fn liars_ruin_a_sum_without_a_clip_and_not_one_of_trimmed_groups() {
    let [off, _, trimmed] = poison::table(2, 2000).unwrap();
    assert!(off < 0.6, "{off}");
    assert!(trimmed > 0.8, "{trimmed}");
}
