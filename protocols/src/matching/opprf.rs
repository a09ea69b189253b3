//! An oblivious programmable PRF of wide outputs: the sender sets the function's values at its points, the receiver learns the
//! function at its own points, and neither learns the other's. Elsewhere the function looks random.
//!
//! The receiver gets F(y) of an oblivious PRF for its points y; the sender, who has F, encodes its values, masked by F at its points, in
//! an oblivious key-value store and sends that.
//!
//! # Source
//! Rindal–Schoppmann, VOLE-PSI, Eurocrypt'21 (ePrint 2021/266), §7 (OPPRF of OPRF and OKVS); Pinkas, Schneider, Tkachenko,
//! Yanai, Eurocrypt'19, for its use in circuit-PSI.
//! # Deviations
//! Values are longer than F: each block, the first too, is masked by a hash of F(y) under a public key of the block's own, which is a
//! pseudo-random generator if AES is an ideal cipher. F(y) itself masks nothing: whoever can guess one block of a value, as all
//! values of a bin share what is subtracted from them, would have F(y) and with it a test of the guess, and of y. Long values go
//! in passes of several blocks, so that memory stays bounded; a store's keys are the same in all.

use std::ops::Range;

use mpc_core::error::LocalFault;
use mpc_core::hash::PlacementHash;
use mpc_core::random::{Domain, Prg, PublicSeed};
use mpc_core::step::StepPath;
use mpc_core::wire::Bytes32;
use mpc_core::{Block, PartyId, Result, Session};
use zeroize::Zeroizing;

use super::okvs::Okvs;
use super::oprf;
use crate::ot::Ot;

/// Blocks of a store under way at once: 64 MiB of values.
const PASS_BLOCKS: usize = 1 << 22;

/// The blocks of a value, in passes.
pub(crate) fn passes(points: usize, blocks: usize) -> impl Iterator<Item = Range<usize>> {
    let width = (PASS_BLOCKS / points.max(1)).clamp(1, 16);
    (0..blocks).step_by(width).map(move |start| start..blocks.min(start + width))
}

/// Sets block b of the value at point i to `value(i, b)`. The points are distinct; `to` asks at `their_points`.
///
/// The OPRF, and then one message of 32 bytes and one of 16 bytes for each of the store's blocks and each of the value's.
///
/// # Errors
/// As [`Session::recv`] says; `Local` when the store has no reviewed size, or no placement under several seeds.
pub(super) async fn program(
    session: &mut Session,
    ot: &mut Ot,
    to: PartyId,
    (points, their_points): (&[Block], usize),
    blocks: usize,
    value: impl Fn(usize, usize) -> Block,
) -> Result<()> {
    let mut session = session.step("opprf");
    let key = oprf::send(&mut session, ot, to, their_points).await?;
    let masks = Zeroizing::new(key.evaluate(points));
    drop(key);
    let mut prg = session.private_rng(Domain::MatchingSeed)?;
    let mut store = None;
    for pass in passes(points.len(), blocks) {
        let values = masked(&masks, pass.clone(), &value);
        let (encoded, is_first) = match &store {
            Some(store) => (encode(store, points, &values, pass.len(), &mut prg), false),
            None => (first(&mut store, points, &values, pass.len(), &mut prg), true),
        };
        let (Some(encoded), Some(Store { seed, .. })) = (encoded, &store) else {
            return Err(session.local(LocalFault::Other("a key-value store of these keys cannot be made".into())));
        };
        if is_first {
            session.send(to, &[seed.0])?;
        }
        session.send(to, &encoded)?;
    }
    Ok(())
}

/// The function at our points: hands on block b at point i as `take(i, b, block)`. `from` programs `their_points` points of `blocks`
/// blocks.
///
/// # Errors
/// As [`Session::recv`] says; `Local` when the store has no reviewed size.
pub(super) async fn ask(
    session: &mut Session,
    ot: &mut Ot,
    from: PartyId,
    (points, their_points): (&[Block], usize),
    blocks: usize,
    mut take: impl FnMut(usize, usize, Block),
) -> Result<()> {
    let mut session = session.step("opprf");
    let masks = Zeroizing::new(oprf::receive(&mut session, ot, from, points).await?);
    let seed: Vec<Bytes32> = session.recv(from, 1).await?;
    let store = Okvs::new(their_points, PublicSeed(seed[0]));
    let store =
        store.ok_or_else(|| session.local(LocalFault::Other("no reviewed size of a key-value store".into())))?;
    for pass in passes(their_points, blocks) {
        let encoded: Vec<Block> = session.recv(from, store.blocks() * pass.len()).await?;
        let mut values = Zeroizing::new(vec![Block::ZERO; points.len() * pass.len()]);
        store.decode_into(&encoded, pass.len(), points, &mut values);
        drop(encoded);
        for (at, block) in pass.clone().enumerate() {
            let pads = stretch(&masks, block);
            let column = values.iter().skip(at).step_by(pass.len());
            column.zip(pads.iter()).enumerate().for_each(|(point, (value, pad))| take(point, block, *value ^ *pad));
        }
    }
    Ok(())
}

struct Store {
    okvs: Okvs,
    seed: PublicSeed,
}

/// Seeds that are tried: a store fails once in 2^40.
const SEEDS: usize = 4;

/// Finds a seed under which the keys can be placed.
fn first(
    store: &mut Option<Store>,
    points: &[Block],
    values: &[Block],
    width: usize,
    prg: &mut Prg,
) -> Option<Vec<Block>> {
    for _ in 0..SEEDS {
        let mut seed = [0; 32];
        prg.fill(&mut seed);
        let next = Store { okvs: Okvs::new(points.len(), PublicSeed(seed))?, seed: PublicSeed(seed) };
        if let Some(encoded) = encode(&next, points, values, width, prg) {
            *store = Some(next);
            return Some(encoded);
        }
    }
    None
}

fn encode(store: &Store, points: &[Block], values: &[Block], width: usize, prg: &mut Prg) -> Option<Vec<Block>> {
    store.okvs.encode(points, values, width, prg)
}

/// These blocks of all values under their masks, point by point.
fn masked(masks: &[Block], pass: Range<usize>, value: impl Fn(usize, usize) -> Block) -> Zeroizing<Vec<Block>> {
    let width = pass.len();
    let mut values = Zeroizing::new(vec![Block::ZERO; masks.len() * width]);
    for (at, block) in pass.enumerate() {
        let pads = stretch(masks, block);
        let column = values.iter_mut().skip(at).step_by(width);
        column.zip(pads.iter()).enumerate().for_each(|(point, (out, pad))| *out = *pad ^ value(point, block));
    }
    values
}

/// What masks block number `block` of each value, of F at its point. No block's mask says what F is or what another's mask is.
fn stretch(values_of_f: &[Block], block: usize) -> Zeroizing<Vec<Block>> {
    let mut pads = Zeroizing::new(values_of_f.to_vec());
    let mut number = [0; 32];
    number[..8].copy_from_slice(&(block as u64).to_le_bytes());
    let mut key = [0; 16];
    PublicSeed(number).prg(Domain::MatchingStretch, &StepPath::root()).fill(&mut key);
    PlacementHash::new(Block::from_le_bytes(key)).replace(&mut pads);
    pads
}

#[cfg(test)]
mod tests;
