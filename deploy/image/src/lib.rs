//! The enclave image: writes one, reads one, and says what a Nitro machine will measure of it.
//!
//! Promises
//! - The same parts give the same bytes: no clock, no name and no order of a file system goes in.
//! - What [`eif::write`] writes, [`eif::read`] reads; a file that is damaged, cut or longer than it says is refused.
//! - Memory follows the file's real length, never a length that it announces.
//!
//! Does not: sign. An image's signature (PCR8) is added by AWS's own tools, over the registers printed here.
//!
//! Trusts: the parts that it is given. What it reads back is an allegation until it is measured.

pub mod bill;
pub mod eif;
pub mod measure;
pub mod ramdisk;
