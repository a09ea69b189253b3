//! Stand-in for the oblivious PRF, for tests of what is built on it: the receiver is given the key, so nothing is hidden from
//! it. Outside of this crate's own tests it refuses to run.

use mpc_core::error::LocalFault;
use mpc_core::hash::PlacementHash;
use mpc_core::random::Domain;
use mpc_core::{Block, PartyId, Result, Session};

use crate::ot::Ot;

/// The function, at its sender.
pub struct Key(Block);

fn refuse(session: &Session) -> Result<()> {
    match cfg!(test) {
        true => Ok(()),
        false => Err(session.local(LocalFault::Other("the oblivious PRF is not built yet".into()))),
    }
}

/// The sender's part.
///
/// # Errors
/// `Local` always, but in tests.
pub async fn send(session: &mut Session, _: &mut Ot, to: PartyId, their_count: usize) -> Result<Key> {
    refuse(session)?;
    let mut session = session.step("oprf");
    let _: Vec<Block> = session.recv(to, their_count).await?;
    let mut key = [Block::ZERO];
    session.private_rng(Domain::Triple)?.fill(bytemuck::cast_slice_mut(&mut key));
    session.send(to, &key)?;
    Ok(Key(key[0]))
}

/// The function at `keys`.
///
/// # Errors
/// `Local` always, but in tests.
pub async fn receive(session: &mut Session, _: &mut Ot, from: PartyId, keys: &[Block]) -> Result<Vec<Block>> {
    refuse(session)?;
    let mut session = session.step("oprf");
    session.send(from, &vec![Block::ZERO; keys.len()])?;
    let key: Vec<Block> = session.recv(from, 1).await?;
    Ok(Key(key[0]).evaluate(keys))
}

impl Key {
    /// The function at `keys`.
    pub fn evaluate(&self, keys: &[Block]) -> Vec<Block> {
        let mut out = keys.to_vec();
        PlacementHash::new(self.0).hash(&mut out);
        out
    }
}
