//! How a thread that computes for long lets others pass.

/// How long a computing thread may be left alone once it runs. Any ordinary thread has shorter turns than this (0.7 to 3 ms), and one
/// with shorter turns that wakes runs before one with longer turns, at once (Linux 6.12, `PREEMPT_SHORT`; sched(7),
/// `sched_runtime`).
#[cfg(target_os = "linux")]
const TURN_NS: u64 = 10_000_000;

/// Asks the scheduler to let any thread that wakes run before the one that calls this. A forward pass keeps every core busy for
/// milliseconds; what it computed is carried to the client by threads that work for microseconds, and they should not wait
/// for it.
///
/// It is a wish: where the kernel does not know it, or does not permit it, nothing changes.
pub fn give_way() {
    #[cfg(target_os = "linux")]
    long_turns();
}

#[cfg(target_os = "linux")]
fn long_turns() {
    let size = u32::try_from(size_of::<libc::sched_attr>()).unwrap_or(0);
    // SAFETY: all bytes zero is a value of this plain struct of integers.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes at most `size` bytes to `attributes`, which has as many. 0 is this thread.
    let read = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
    if read != 0 || attributes.sched_policy != libc::SCHED_OTHER.cast_unsigned() {
        return;
    }
    attributes.size = size;
    attributes.sched_runtime = TURN_NS;
    // SAFETY: the kernel reads `size` bytes of `attributes`. It changes how this thread is scheduled, nothing else.
    let _wish = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
}
