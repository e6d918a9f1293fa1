//! The sentinel's own rights: of all that root may do, what it needs for the worker and for its own end.
//!
//! Promises
//! - Four capabilities remain, and no program that is started can have another: to signal the worker, to start it as another user,
//!   and to end the machine.
//! - No core is dumped, and no other process reads this one's memory.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities};
use std::io;

/// What the sentinel keeps.
const KEPT: CapabilitySet = CapabilitySet::KILL
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SYS_BOOT);

/// Gives up the rest, for good. Call it before any thread is started.
///
/// # Errors
/// What the kernel says.
pub fn give_up() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    // By name: the type's "all" has bits that are no capability.
    for (_, capability) in CapabilitySet::all().iter_names() {
        if !KEPT.contains(capability) {
            remove_capability_from_bounding_set(capability)?;
        }
    }
    let sets = CapabilitySets { effective: KEPT, permitted: KEPT, inheritable: CapabilitySet::empty() };
    Ok(set_capabilities(None, sets)?)
}
