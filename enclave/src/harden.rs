//! Gives up, before anything hostile is read, every right that the worker does not need.
//!
//! Promises (each shown by a test that tries what must fail)
//! - No file can be opened, made or removed: Landlock without a single rule.
//! - No socket that leads anywhere can be made, no program run, no process traced: trying kills the worker (SIGSYS).
//! - No process can be started, not even a copy of this one, which would outlive it with its sockets: threads only.
//! - No memory can be made executable. Every other system call that is not on the list fails with EPERM.
//! - No core dump; other processes of the same user cannot read its memory; it dies with its parent.
//!
//! Sources: seccomp(2), landlock(7), prctl(2).

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit, Signal};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use std::collections::BTreeMap;
use thiserror::Error;

/// Why a right could not be given up. The worker must not go on.
#[derive(Debug, Error)]
pub enum HardenError {
    /// A process attribute.
    #[error("process attributes: {0}")]
    Process(#[from] rustix::io::Errno),
    /// Landlock.
    #[error("landlock: {0}")]
    Landlock(#[from] landlock::RulesetError),
    /// A kernel without Landlock.
    #[error("this kernel does not enforce Landlock; start it with lsm=landlock (Linux 5.13 or later)")]
    NoLandlock,
    /// Seccomp.
    #[error("seccomp: {0}")]
    Seccomp(#[from] seccompiler::Error),
    /// Seccomp on an architecture that the lists are not written for.
    #[error("seccomp: {0}")]
    Backend(#[from] seccompiler::BackendError),
}

/// Locks this process down, for good. Call it before any thread is started.
///
/// # Errors
/// [`HardenError`] if any step fails.
pub fn lock_down() -> Result<(), HardenError> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    landlock_everything()?;
    // The kernel applies the strictest verdict of all filters; the last one forbids to add another.
    seccompiler::apply_filter_all_threads(&absent()?)?;
    seccompiler::apply_filter_all_threads(&killing()?)?;
    seccompiler::apply_filter_all_threads(&allowing()?)?;
    Ok(())
}

/// Denies the file system (required) and TCP, abstract sockets and signals (where the kernel knows how).
fn landlock_everything() -> Result<(), HardenError> {
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))?
        .handle_access(AccessNet::from_all(ABI::V4))?
        .scope(Scope::from_all(ABI::V6))?
        .create()?
        .restrict_self()?;
    if status.ruleset == RulesetStatus::NotEnforced { Err(HardenError::NoLandlock) } else { Ok(()) }
}

/// What nobody calls by accident. An attempt is an attack, and ends the worker; the sentinel sees SIGSYS.
const KILLING: &[i64] = &[
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_kexec_load,
    libc::SYS_add_key,
    libc::SYS_keyctl,
    libc::SYS_request_key,
    libc::SYS_open_by_handle_at,
];

/// What the worker needs: its sockets, memory, threads, time and randomness.
const ALLOWED: &[i64] = &[
    // Sockets and the memory files that it was given.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockopt,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_close,
    // Waiting for them.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_ppoll,
    // Memory. `mmap` and `mprotect` are below.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    // Threads.
    libc::SYS_clone3, // answered below
    libc::SYS_futex,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    // The engine's threads ask for longer turns and later ones; without a capability nobody gets more than his share by it.
    libc::SYS_sched_getattr,
    libc::SYS_sched_setattr,
    libc::SYS_getcpu,
    libc::SYS_membarrier,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    // Time and randomness.
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_getrandom,
];

/// Older calls that only x86-64 has and that its libc still makes.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[i64] = &[libc::SYS_epoll_wait, libc::SYS_poll, libc::SYS_arch_prctl];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[i64] = &[];

fn killing() -> Result<BpfProgram, HardenError> {
    let rules = KILLING.iter().map(|&call| (call, Vec::new())).collect();
    compile(rules, SeccompAction::Allow, SeccompAction::KillProcess)
}

fn allowing() -> Result<BpfProgram, HardenError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        ALLOWED.iter().chain(ALLOWED_HERE).map(|&call| (call, Vec::new())).collect();
    let not_executable = SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64);
    rules.insert(libc::SYS_mmap, vec![rule(2, not_executable.clone(), 0)?]);
    rules.insert(libc::SYS_mprotect, vec![rule(2, not_executable, 0)?]);
    // A thread shares everything with this process and ends with it; a process would not.
    let thread = SeccompCmpOp::MaskedEq(libc::CLONE_THREAD as u64);
    rules.insert(libc::SYS_clone, vec![rule(0, thread, libc::CLONE_THREAD as u64)?]);
    // Naming a thread, and nothing else that prctl can do.
    rules.insert(libc::SYS_prctl, vec![rule(0, SeccompCmpOp::Eq, libc::PR_SET_NAME as u64)?]);
    // A pair of Unix sockets leads nowhere but into this process; the runtime makes one for its signals.
    rules.insert(libc::SYS_socketpair, vec![rule(0, SeccompCmpOp::Eq, libc::AF_UNIX as u64)?]);
    rules.insert(libc::SYS_ioctl, vec![rule(1, SeccompCmpOp::Eq, libc::FIONBIO)?]);
    let duplicating = [libc::F_DUPFD_CLOEXEC, libc::F_GETFL, libc::F_SETFL, libc::F_GETFD, libc::F_SETFD];
    let fcntl: Result<Vec<_>, _> =
        duplicating.iter().map(|&command| rule(1, SeccompCmpOp::Eq, command as u64)).collect();
    rules.insert(libc::SYS_fcntl, fcntl?);
    compile(rules, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow)
}

/// What this kernel is made to seem not to have. `clone3` takes its flags in memory, where no filter can read them; libc then
/// uses `clone`, whose flags are an argument.
fn absent() -> Result<BpfProgram, HardenError> {
    let rules = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    compile(rules, SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS as u32))
}

fn rule(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, HardenError> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?;
    Ok(SeccompRule::new(vec![condition])?)
}

fn compile(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    listed: SeccompAction,
) -> Result<BpfProgram, HardenError> {
    let filter = SeccompFilter::new(rules, otherwise, listed, std::env::consts::ARCH.try_into()?)?;
    Ok(filter.try_into()?)
}
