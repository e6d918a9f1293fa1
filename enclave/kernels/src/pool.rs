//! A few threads that wait on their feet: a job starts and ends in less than a microsecond.
//!
//! Promises
//! - [`Pool::run`] returns only when every thread is done with the job, even if one of them panics.
//! - Which thread does which part never changes a result: parts are disjoint, and no part depends on another.
//! - Threads that have had nothing to do for a while sleep.
//!
//! Does not: share the machine politely while a job runs. A decode step is some hundred jobs of a few microseconds; to
//! sleep and be woken between two of them takes longer than either.

use crate::courtesy::give_way;
use std::any::Any;
use std::cell::UnsafeCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, Thread};

/// Turns of waiting before a thread stops waiting on its feet: about a millisecond, longer than the pause between two steps.
/// Fewer would be worse than many: whoever gives a core away gets it back after somebody else's whole time slice.
const SPINS: u32 = 40_000;

/// A job: called once in each thread, with the thread's number.
type Job<'a> = dyn Fn(usize) + Sync + 'a;

/// Threads for parallel work; the caller of [`Pool::run`] is one of them.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    wakers: Vec<Thread>,
    /// The next number of each thread's stretch.
    next: Vec<Apart>,
}

/// A counter in a cache line of its own.
#[derive(Default)]
#[repr(align(128))]
struct Apart(AtomicUsize);

struct Shared {
    /// The job under way. Written only while every thread waits for `round` to change.
    job: UnsafeCell<Option<*const Job<'static>>>,
    /// Counts jobs; a change starts one.
    round: AtomicUsize,
    /// Threads that are not done with the job.
    busy: AtomicUsize,
    asleep: AtomicUsize,
    over: AtomicBool,
    /// What a thread panicked with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `job` is written by the one caller of `run` (it has `&mut Pool`) while `busy` is 0, and read by threads between
// seeing `round` change and counting `busy` down; the release and acquire of those two order the accesses. What it points
// to is `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: as above; the pointer is used only inside `run`, which outlives every use.
unsafe impl Send for Shared {}

impl Pool {
    /// A pool of `threads` threads, the caller's included.
    ///
    /// # Errors
    /// If a thread cannot be had.
    pub fn new(threads: usize) -> io::Result<Pool> {
        let shared = Arc::new(Shared {
            job: UnsafeCell::new(None),
            round: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            asleep: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            panic: Mutex::new(None),
        });
        let next = (0..threads.max(1)).map(|_| Apart::default()).collect();
        let mut pool = Pool { shared, threads: Vec::new(), wakers: Vec::new(), next };
        for number in 1..threads.max(1) {
            let shared = Arc::clone(&pool.shared);
            let work = move || serve(&shared, number);
            pool.threads.push(thread::Builder::new().name(format!("kernel-{number}")).spawn(work)?);
        }
        pool.wakers = pool.threads.iter().map(|t| t.thread().clone()).collect();
        Ok(pool)
    }

    /// Threads, the caller's included.
    pub fn threads(&self) -> usize {
        self.threads.len() + 1
    }

    /// Calls `job` once in each thread, with numbers from 0. Returns when all are done.
    ///
    /// # Panics
    /// With what the job panicked with, once every thread is done.
    pub fn run(&mut self, job: &Job<'_>) {
        let shared = &*self.shared;
        if self.threads.is_empty() {
            return job(0);
        }
        let erased: *const Job<'_> = job;
        // SAFETY: only the lifetime changes. The pointer is taken out again below before `job`'s borrow ends.
        let erased = unsafe { std::mem::transmute::<*const Job<'_>, *const Job<'static>>(erased) };
        // SAFETY: `&mut self` makes this the only caller, and `busy` is 0: no thread reads.
        unsafe { *shared.job.get() = Some(erased) };
        shared.busy.store(self.threads.len(), Ordering::Relaxed);
        shared.round.fetch_add(1, Ordering::SeqCst);
        if shared.asleep.load(Ordering::SeqCst) > 0 {
            self.wakers.iter().for_each(Thread::unpark);
        }
        let own = catch_unwind(AssertUnwindSafe(|| job(0)));
        let mut waited = 0;
        while shared.busy.load(Ordering::Acquire) > 0 {
            if !pause(&mut waited) {
                // A thread that is needed has no core: there are fewer cores than threads.
                thread::yield_now();
            }
        }
        // SAFETY: `busy` is 0 again.
        unsafe { *shared.job.get() = None };
        if let Err(panic) = own {
            resume_unwind(panic);
        }
        if let Some(panic) = shared.panic.lock().ok().and_then(|mut panic| panic.take()) {
            resume_unwind(panic);
        }
    }

    /// Calls `work` for each number below `count` from all threads, `grain` numbers at a time. Each thread goes through a
    /// stretch of its own, so that memory is read in one direction, and then helps with those of the others.
    pub fn each(&mut self, count: usize, grain: usize, work: &(dyn Fn(usize, usize) + Sync)) {
        let (threads, grain) = (self.threads(), grain.max(1));
        let stretch = count.div_ceil(threads).next_multiple_of(grain);
        let next = std::mem::take(&mut self.next);
        next.iter().enumerate().for_each(|(i, next)| next.0.store(i * stretch, Ordering::Relaxed));
        self.run(&|thread| {
            for turn in 0..threads {
                let of = (thread + turn) % threads;
                let end = count.min((of + 1) * stretch);
                loop {
                    let start = next[of].0.fetch_add(grain, Ordering::Relaxed);
                    if start >= end {
                        break;
                    }
                    (start..end.min(start + grain)).for_each(|i| work(thread, i));
                }
            }
        });
        self.next = next;
    }

    /// Gives each row of `data`, `width` long, to one thread. A single row is done by the caller at once.
    pub fn rows<T: Send>(&mut self, data: &mut [T], width: usize, work: &(dyn Fn(usize, &mut [T]) + Sync)) {
        let count = data.len().checked_div(width).unwrap_or(0);
        if count <= 1 {
            return data
                .chunks_exact_mut(width.max(1))
                .take(count)
                .enumerate()
                .for_each(|(i, row)| work(i, row));
        }
        let data = Spread(data.as_mut_ptr());
        self.each(count, 1, &|_, i| {
            // SAFETY: `count` rows of `width` lie inside `data`, which stays borrowed until `each` returns; rows are
            // disjoint, and `each` gives every number to one thread once.
            work(i, unsafe { std::slice::from_raw_parts_mut(data.at(i * width), width) });
        });
    }

    /// Cuts `data` at `ends` (rising, the last its length at most) and gives each piece to one thread, with a scratch
    /// value of that thread.
    ///
    /// # Panics
    /// If `ends` do not rise, pass the end of `data`, or there are fewer scratch values than threads.
    pub fn pieces<T: Send, S: Send>(
        &mut self,
        data: &mut [T],
        ends: &[usize],
        scratch: &mut [S],
        work: &(dyn Fn(usize, &mut [T], &mut S) + Sync),
    ) {
        assert!(ends.is_sorted() && ends.last().is_none_or(|end| *end <= data.len()), "cuts out of order");
        assert!(scratch.len() >= self.threads(), "a thread without scratch");
        let (data, scratch) = (Spread(data.as_mut_ptr()), Spread(scratch.as_mut_ptr()));
        self.each(ends.len(), 1, &|thread, i| {
            let start = if i == 0 { 0 } else { ends[i - 1] };
            // SAFETY: the ends rise and lie inside `data`, so pieces are disjoint and inside; `each` gives every number
            // to one thread once. `data` stays borrowed until `each` returns.
            let piece = unsafe { std::slice::from_raw_parts_mut(data.at(start), ends[i] - start) };
            // SAFETY: `thread` is below the number of threads, each number belongs to one running thread, and it works
            // on one piece at a time.
            let scratch = unsafe { &mut *scratch.at(thread) };
            work(i, piece, scratch);
        });
    }
}

/// A pointer that threads share to reach disjoint parts.
pub(crate) struct Spread<T>(pub(crate) *mut T);

impl<T> Spread<T> {
    /// The element at `index`, which must be inside the allocation or its end.
    pub(crate) fn at(&self, index: usize) -> *mut T {
        self.0.wrapping_add(index)
    }
}

// SAFETY: the pointer alone does nothing; each use says why its part belongs to one thread.
unsafe impl<T: Send> Sync for Spread<T> {}

fn serve(shared: &Shared, number: usize) {
    give_way();
    let mut seen = 0;
    loop {
        let mut waited = 0;
        while shared.round.load(Ordering::Acquire) == seen {
            if !pause(&mut waited) {
                sleep(shared, seen);
                waited = 0;
            }
        }
        seen = seen.wrapping_add(1);
        if shared.over.load(Ordering::Acquire) {
            return;
        }
        // SAFETY: `round` changed, so the job was written before, and it stays until `busy` is counted down below.
        let job = unsafe { *shared.job.get() };
        let done = catch_unwind(AssertUnwindSafe(|| {
            if let Some(job) = job {
                // SAFETY: `run` keeps the job borrowed until `busy` is 0.
                unsafe { (*job)(number) }
            }
        }));
        if let Err(panic) = done
            && let Ok(mut first) = shared.panic.lock()
        {
            first.get_or_insert(panic);
        }
        shared.busy.fetch_sub(1, Ordering::Release);
    }
}

/// Waits a little. False when that has been long enough.
fn pause(waited: &mut u32) -> bool {
    *waited = waited.saturating_add(1);
    std::hint::spin_loop();
    *waited < SPINS
}

/// Sleeps until the round changes.
fn sleep(shared: &Shared, seen: usize) {
    // Counted before the round is looked at again, as `run` changes the round before it looks at the count.
    shared.asleep.fetch_add(1, Ordering::SeqCst);
    while shared.round.load(Ordering::SeqCst) == seen {
        thread::park();
    }
    shared.asleep.fetch_sub(1, Ordering::SeqCst);
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        self.shared.round.fetch_add(1, Ordering::SeqCst);
        self.wakers.iter().for_each(Thread::unpark);
        for thread in self.threads.drain(..) {
            let _ended = thread.join();
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({} threads)", self.threads())
    }
}
