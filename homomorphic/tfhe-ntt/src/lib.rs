//! Nothing: `fhe-math` calls the crate of this name only under a feature that is off here.
