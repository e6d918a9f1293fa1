//! That the shipped model is whole, what it tells apart, and that no text is too much for it.

use super::*;
use proptest::prelude::*;

#[test]
fn the_shipped_weights_are_read_and_written_alike() {
    let bytes = include_bytes!("../../data/injection.bin");
    let model = Model::read(bytes).unwrap();
    assert_eq!(model.write(), bytes);
    assert!(bytes.len() < 1_000_000);
    let mut wrong = bytes.to_vec();
    wrong[0] ^= 1;
    assert_eq!(Model::read(&wrong).err(), Some(model::ModelError::Malformed));
    assert_eq!(Model::read(&bytes[1..]).err(), Some(model::ModelError::Malformed));
    let mut wrong = bytes.to_vec();
    wrong[12..16].copy_from_slice(&f32::NAN.to_le_bytes());
    assert_eq!(Model::read(&wrong).err(), Some(model::ModelError::NotANumber));
}

proptest! {
    #[test]
    fn any_text_has_a_score(text in "\\PC{0,2000}|[a-z ]{0,3000}|[\u{300}-\u{36f}a]{0,300}") {
        let score = score(&text);
        prop_assert!(score.value.is_finite());
        prop_assert_eq!(score, super::score(&text));
    }
}
