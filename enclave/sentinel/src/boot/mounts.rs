//! The file systems: what the boot needs while it needs it, and a root that nobody can write.
//!
//! Promises
//! - Nothing that is mounted can hold a program that runs or one that changes its user; nothing but `/dev` can hold a device.
//! - After [`close`] there are the root, read-only, and `/dev`; `/proc` and `/sys` are gone, from the worker too.

use super::BootError;
use rustix::mount::{MountFlags, UnmountFlags, mount as mount_at, mount_remount, unmount};
use std::ffi::CStr;

const NO_PROGRAMS: MountFlags = MountFlags::NOSUID.union(MountFlags::NOEXEC);

/// Mounts what the boot reads.
///
/// # Errors
/// [`BootError::Mount`]
pub fn mount() -> Result<(), BootError> {
    let none: Option<&CStr> = None;
    let read_only = NO_PROGRAMS | MountFlags::NODEV | MountFlags::RDONLY;
    for (place, kind, flags) in
        [("/dev", "devtmpfs", NO_PROGRAMS), ("/proc", "proc", read_only), ("/sys", "sysfs", read_only)]
    {
        mount_at(kind, place, kind, flags, none).map_err(|e| BootError::Mount(place, e.into()))?;
    }
    Ok(())
}

/// Takes away what only the boot needed.
///
/// # Errors
/// [`BootError::Mount`]
pub fn close() -> Result<(), BootError> {
    for place in ["/proc", "/sys"] {
        unmount(place, UnmountFlags::empty()).map_err(|e| BootError::Mount(place, e.into()))?;
    }
    // The worker's program is here, so programs run; no device and no change of user does.
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    mount_remount("/", flags, "").map_err(|e| BootError::Mount("/", e.into()))
}
