//! The pool: every part once, panics that arrive, threads that sleep and wake.

use crate::Pool;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[test]
fn every_number_is_done_once() {
    for threads in 1..=4 {
        let mut pool = Pool::new(threads).unwrap();
        assert_eq!(pool.threads(), threads);
        for count in [0, 1, 2, 7, 100] {
            for grain in [0, 1, 3, 200] {
                let done: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                pool.each(count, grain, &|_, i| {
                    done[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(done.iter().all(|d| d.load(Ordering::Relaxed) == 1));
            }
        }
    }
}

#[test]
fn pieces_are_disjoint_and_scratch_is_the_threads_own() {
    let mut pool = Pool::new(3).unwrap();
    let mut data = vec![0; 1000];
    let ends: Vec<usize> = (0..=100).map(|i| i * 10).collect();
    let mut scratch = vec![0usize; 3];
    for _ in 0..200 {
        pool.pieces(&mut data, &ends, &mut scratch, &|index, piece, count| {
            piece.iter_mut().for_each(|value| *value += index);
            *count += 1;
        });
    }
    assert!(data.iter().enumerate().all(|(i, value)| *value == (i / 10 + 1) * 200));
    assert_eq!(scratch.iter().sum::<usize>(), 200 * 101);
}

#[test]
fn each_row_goes_to_one_thread() {
    let mut pool = Pool::new(3).unwrap();
    for (length, width) in [(0, 3), (3, 3), (300, 3), (301, 3), (5, 0)] {
        let mut data = vec![0; length];
        pool.rows(&mut data, width, &|index, row| row.iter_mut().for_each(|value| *value += index + 1));
        let rows = length / width.max(1) * width.min(1);
        assert!(data.iter().enumerate().all(|(i, value)| {
            let row = i / width.max(1);
            *value == if row < rows { row + 1 } else { 0 }
        }));
    }
}

#[test]
fn a_panic_of_any_thread_arrives_when_all_are_done() {
    let mut pool = Pool::new(3).unwrap();
    for guilty in 0..3 {
        let done = AtomicUsize::new(0);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.run(&|thread| {
                done.fetch_add(1, Ordering::Relaxed);
                assert!(thread != guilty, "told to");
            });
        }));
        assert!(caught.is_err());
        assert_eq!(done.load(Ordering::Relaxed), 3);
    }
    let done = AtomicUsize::new(0);
    pool.run(&|_| {
        done.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(done.load(Ordering::Relaxed), 3);
}

#[test]
fn threads_that_sleep_are_woken() {
    let mut pool = Pool::new(2).unwrap();
    let done = AtomicUsize::new(0);
    for pause in [0, 1, 5, 20, 60] {
        std::thread::sleep(Duration::from_millis(pause));
        pool.run(&|_| {
            done.fetch_add(1, Ordering::Relaxed);
        });
    }
    assert_eq!(done.load(Ordering::Relaxed), 10);
}

#[test]
#[should_panic(expected = "cuts out of order")]
fn cuts_out_of_order_are_refused() {
    Pool::new(1).unwrap().pieces(&mut [0; 4], &[3, 2], &mut [()], &|_, _, ()| {});
}
