//! AND of shared bits with bit triples.

use mpc_core::bits::{beaver_and, xor_words};
use mpc_core::{PartyId, Result, Session};

use super::opening::{Opening, open};
use crate::correlation::{Group, Pool};

/// One AND of two columns of words, shared among a group.
pub(super) struct And {
    pub group: Group,
    pub left: Vec<u64>,
    pub right: Vec<u64>,
}

/// Several ANDs side by side, each within its group. One round (two with reduce-scatter); two bits for each AND to each other
/// member (less with reduce-scatter); one bit triple for each.
///
/// # Source
/// Beaver, Crypto'91; Goldreich–Micali–Wigderson, STOC'87, with triples.
pub(super) async fn and_all(s: &mut Session, pool: &mut Pool, ands: Vec<And>) -> Result<Vec<Vec<u64>>> {
    let mut triples = Vec::with_capacity(ands.len());
    let mut openings = Vec::with_capacity(ands.len());
    for And { group, left, right } in ands {
        let triple = pool.bit_triples(s, &group, left.len())?;
        let mut masked = left;
        xor_words(&mut masked, &triple.a);
        let mut masked_right = right;
        xor_words(&mut masked_right, &triple.b);
        masked.append(&mut masked_right);
        triples.push((is_first(s, &group), triple));
        openings.push(Opening::new(group, masked, xor_words));
    }
    let opened = open(s, openings).await?;
    let finish = |((first, mut triple), opened): ((bool, crate::correlation::BitTriples), Vec<u64>)| {
        let (d, e) = opened.split_at(triple.c.len());
        let mut c = std::mem::take(&mut triple.c);
        beaver_and(&mut c, &triple.a, &triple.b, d, e, first);
        c
    };
    Ok(triples.into_iter().zip(opened).map(finish).collect())
}

fn is_first(s: &Session, group: &[PartyId]) -> bool {
    group.first() == Some(&s.me())
}
