//! What constant-time code must not do, so that a check that reports nothing is noticed.

use std::hint::black_box;

use crate::secret;

/// By name.
pub const ALL: [(&str, fn()); 2] = [("canary: a branch on a secret", branch), ("canary: an index by a secret", index)];

fn branch() {
    let secret = black_box(secret(vec![3u64]));
    if secret[0] & 1 == 1 {
        one_way();
    } else {
        the_other();
    }
}

#[inline(never)]
fn one_way() {
    black_box(1);
}

#[inline(never)]
fn the_other() {
    black_box([2; 7]);
}

fn index() {
    let secret = black_box(secret(vec![3usize]));
    let table = black_box([7u8; 256]);
    black_box(table[secret[0] & 255]);
}
