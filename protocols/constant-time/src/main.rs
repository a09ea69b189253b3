//! Does control flow or a memory address depend on a secret? Run under valgrind's memcheck: what is secret is marked as
//! undefined, and memcheck reports every branch on it and every address made of it.
//!
//! Each routine must give no report; two canaries, which do what is forbidden, must give one. Valgrind has no AVX-512, so
//! it is the portable kernels, compiled for AVX2 and AES-NI, that are checked.
//!
//! # Source
//! Langley, ctgrind, 2010 (undefined memory stands for secrets).

mod canaries;
mod routines;

use std::ffi::c_void;
use std::process::ExitCode;

use crabgrind::memcheck::{MemState, mark_mem};
use crabgrind::{RunMode, count_errors, run_mode};

/// Marks a column as secret.
pub fn secret<T: Copy>(mut column: Vec<T>) -> Vec<T> {
    mark(&mut column, MemState::Undefined);
    column
}

/// Marks a result as public, so that printing or dropping it is no report.
pub fn public<T>(column: &mut [T]) {
    mark(column, MemState::Defined);
}

fn mark<T>(column: &mut [T], state: MemState) {
    let (address, bytes) = (column.as_mut_ptr().cast::<c_void>(), size_of_val(column));
    // This version of the crate has success and failure the wrong way round; that it marks, the canaries show.
    let _ = mark_mem(address, bytes, state);
}

/// Runs a routine and prints how many reports it gave. Is that what it should give?
fn check(name: &str, should_report: bool, routine: fn()) -> bool {
    let before = count_errors();
    routine();
    let reports = count_errors() - before;
    let good = (reports > 0) == should_report;
    println!("{} {name}: {reports} reports", if good { "good" } else { "BAD " });
    good
}

fn main() -> ExitCode {
    if matches!(run_mode(), RunMode::Native) {
        eprintln!("run this under valgrind: it marks memory by client requests");
        return ExitCode::FAILURE;
    }
    #[cfg(target_arch = "x86_64")]
    println!(
        "kernels: avx2 {}, aes {}, avx512f {}, vaes {}",
        is_x86_feature_detected!("avx2"),
        is_x86_feature_detected!("aes"),
        is_x86_feature_detected!("avx512f"),
        is_x86_feature_detected!("vaes")
    );
    let canaries = canaries::ALL.iter().map(|(name, canary)| check(name, true, *canary));
    let routines = routines::ALL.iter().map(|(name, routine)| check(name, false, *routine));
    // All of them run, also after one that is bad.
    let bad = canaries.chain(routines).filter(|good| !good).count();
    if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
