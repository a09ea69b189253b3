//! Random vector OLE over GF(2^128): the receiver gets random vectors A and C, the sender a random Δ and B, and C = A·Δ + B.
//!
//! Silent: the receiver has a noise vector e of length 2N that is zero but for one random element of GF(2^128) in each of t blocks.
//! The sender's trees give w of length 2N, the receiver's punctured trees v = w + e·Δ, where the products of the t elements with Δ
//! come from OTs (`ot/correlated.rs`). A public linear code compresses e, v and w to A, C and B; A looks random by dual LPN over
//! GF(2^128) ([`Lpn::vole`], which also says why the code must not be binary). The receiver compresses both in one sweep, the
//! sender in steps, between which its message leaves: the receiver does not wait for them.
//!
//! Below [`DIRECT_MAX`] elements all of them come from OTs: the smallest silent instance takes more bytes (432,128) and more time,
//! and there is no assumption besides OT.
//!
//! Every call draws a fresh Δ, and what it gives is taken apart by value: one vector serves once.
//!
//! | | receiver | sender |
//! |---|---|---|
//! | bytes, silent | 3072 + 512·t + 4·t·d | 512 + 32·t·d + 16·t |
//! | bytes, direct | 3072 + 512·n | 512 |
//!
//! with d = ⌈log2(2N/t)⌉ levels; a header for each message (three from the receiver, two of them when direct; two from the sender, one
//! when direct). Three rounds when silent, two when direct. For n = 1.4·10^6: 328 and 249 kB. Memory: 64 bytes
//! for each element at the receiver while it works and 32 after, 32 and 16 at the sender.
//!
//! Constant time: memory access and control flow depend on n and public seeds only.
//!
//! # Source
//! Boyle, Couteau, Gilboa, Ishai, Compressing Vector OLE, CCS'18 (ePrint 2019/273), §4; Boyle et al., CCS'19 (ePrint 2019/1159), Figure 3,
//! semi-honest; Schoppmann, Gascón, Reichert, Raykova, Distributed Vector-OLE, CCS'19, for the elements at the punctured leaves.
//! # Deviations
//! Elements of the noise are uniform, zero included, which happens with probability 2^-128. No check against a malicious party.

mod noise;

use mpc_core::error::LocalFault;
use mpc_core::random::{Domain, Prg, PublicSeed};
use mpc_core::{Block, PartyId, Result, Session, Z128};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::ot::Ot;
use crate::ot::correlated;
use crate::ot::silent::Public;
use crate::ot::silent::pprf::{Grown, Hidden, Leaf};
use crate::parameters::{Code, Lpn};
use noise::Shrinking;

/// The longest VOLE that is made of OTs alone: 393 kB.
pub const DIRECT_MAX: usize = 768;

/// What the receiver gets. Does not print; wiped when dropped.
pub struct Received {
    /// A, uniform.
    pub a: Vec<Block>,
    /// C = A·Δ + B.
    pub c: Vec<Block>,
}

impl Drop for Received {
    fn drop(&mut self) {
        self.a.zeroize();
        self.c.zeroize();
    }
}

/// What the sender gets. Does not print; wiped when dropped.
pub struct Sent {
    /// Δ, uniform.
    pub delta: Block,
    /// B.
    pub b: Vec<Block>,
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.delta.zeroize();
        self.b.zeroize();
    }
}

/// The receiver's side of a VOLE of `n` elements with `from`, which calls [`send`] at the same step with the same number.
///
/// # Errors
/// `Local` when `n` is above [`crate::parameters::VOLE_MAX_OUTPUTS`]; `Peer` with fault `Length` for a message of another length, and as
/// [`Session::recv`] says.
pub async fn receive(session: &mut Session, ot: &mut Ot, from: PartyId, n: usize) -> Result<Received> {
    receive_meanwhile(session, ot, from, n, || false).await
}

/// The same with work to do in parts while the sender grows its trees: `work` is called until it says that nothing is left.
///
/// # Errors
/// As [`receive`].
pub async fn receive_meanwhile(
    session: &mut Session,
    ot: &mut Ot,
    from: PartyId,
    n: usize,
    mut work: impl FnMut() -> bool,
) -> Result<Received> {
    let mut session = session.step("vole");
    let mut noise = session.private_rng(Domain::VoleNoise)?;
    if n <= DIRECT_MAX {
        let a = elements(&mut noise, n);
        let c = correlated::answer(&mut session, ot, from).await?.multiply(&mut session, &a)?;
        while work() {}
        return Ok(Received { a, c });
    }
    let public = public(&session, from, session.me(), n)?;
    let hidden = Hidden::new(public.shape, &mut noise);
    let values = Zeroizing::new(elements(&mut noise, public.shape.trees));
    let masks = ot.receiver(from).choose_masks(&mut session, hidden.choices())?;
    let mut products = correlated::answer(&mut session, ot, from).await?;
    let shifts = Zeroizing::new(products.multiply(&mut session, &values)?);
    session.let_send(TURNS).await;
    while work() {
        session.let_send(TURNS).await;
    }
    let message: Vec<Block> = session.recv(from, public.shape.message_blocks()).await?;
    let leaves = hidden.leaves(&public.doubling, &masks, &message, &shifts);
    let mut both = noise::compress_both(&public.code, &hidden, &values, leaves);
    while both.step() {}
    Ok(both.finish(n))
}

/// The sender's side of a VOLE of `n` elements with `to`, which calls [`receive`] at the same step with the same number.
///
/// # Errors
/// As [`receive`].
pub async fn send(session: &mut Session, ot: &mut Ot, to: PartyId, n: usize) -> Result<Sent> {
    let mut session = session.step("vole");
    let delta = Zeroizing::new(elements(&mut session.private_rng(Domain::VoleDelta)?, 1));
    let asked = correlated::ask(&mut session, ot, to, delta[0])?;
    if n <= DIRECT_MAX {
        let b = asked.finish(&mut session, ot).await?.multiply(&mut session, n).await?;
        return Ok(Sent { delta: delta[0], b });
    }
    let public = public(&session, session.me(), to, n)?;
    // Grown while the receiver's choices travel.
    let grown = Grown::new(public.shape, &public.doubling, &mut session.private_rng(Domain::VoleRoots)?);
    let [zero, one] = ot.sender(to).offer_masks(&mut session, public.shape.ots() / 64).await?;
    let mut products = asked.finish(&mut session, ot).await?;
    let shifts = Zeroizing::new(products.multiply(&mut session, public.shape.trees).await?);
    session.send(to, &grown.message(&zero, &one, &shifts))?;
    // The receiver compresses while we do: our message leaves between the steps.
    let mut leaves = Shrinking::new(&public.code, grown.into_leaves());
    session.let_send(TURNS).await;
    while leaves.step() {
        session.let_send(TURNS).await;
    }
    Ok(Sent { delta: delta[0], b: leaves.finish(n) })
}

/// Turns of the network between two steps of computing: what came is taken, what is queued leaves as far as the other side's window
/// lets it.
const TURNS: usize = 2;

fn elements(prg: &mut Prg, count: usize) -> Vec<Block> {
    (0..count).map(|_| Block(prg.element::<Z128>().0)).collect()
}

/// Trees and code of this call. Their seed is public but not chosen by either: the session's id contains a nonce of each.
fn public(session: &Session, sender: PartyId, receiver: PartyId, n: usize) -> Result<Public> {
    let refused = || session.local(LocalFault::Other(format!("no reviewed parameters for a VOLE of {n} elements")));
    let lpn = Lpn::vole(n, Code::ExpandConvolute7).ok_or_else(refused)?;
    let seed = Sha256::new()
        .chain_update(b"consilium vole v1\0")
        .chain_update(session.id().0)
        .chain_update([sender.0, receiver.0])
        .chain_update(session.path().as_str().as_bytes())
        .finalize();
    Ok(Public::new(&lpn, Leaf::Element, PublicSeed(seed.into())))
}

#[cfg(test)]
mod tests;
