//! Several passes and several keys: a patient of the receiver is the sender's too if any key of any pass is the same, and counts once.
//!
//! Each pass is a circuit-PSI of its own, with bins, OPRF, tags and masks of its own, up to the product. The receiver alone knows
//! which bin is which of its rows: it brings the shares of each pass into the order of its rows by a permutation that it owns. Then
//! the rows of all passes are about the same patients, and the sites compute on shares, with m_p the bit of pass p:
//! none_0 = 1, found_p = none_(p−1) ∧ m_p, none_p = none_(p−1) ⊕ found_p. The patient is the sender's unless none is left 1, and
//! its values are those of the first pass that found it, Σ found_p · values_p.
//!
//! A row may have several keys in a pass. The sender offers its values under each of them. The receiver asks for each of its own, and
//! the permutation brings its keys into layers: first a key of every row, then one further key of each of the rows that may have some,
//! and so on. These rows stand first in the table, so that row i of every layer is about patient i, and a layer is computed with like
//! a pass of so few rows. What it takes depends on the declared bound alone ([`super::table::Further`]).
//!
//! Two patients of the sender may be found for one of the receiver, in different passes or by different keys: the first pass decides,
//! and in a pass the first key. One patient of
//! the sender may be found for two of the receiver. Being found is no equivalence: of three sites the third's patient may be found at
//! both others, though these two do not find each other's. What counts is what the receiver's own patient is found by.
//!
//! # Source
//! Permutation: Mohassel–Sadeghian, How to Hide Circuits in MPC, Eurocrypt'13, §4, as in [`crate::correlation::Permutation`]. The
//! product after it: as in `payload`; a pass has one for the rows and, behind the first, one for the bit found_p.
//! # Deviations
//! Circuit-PSI takes the product of a row and its bit in the bins; here it is taken once, behind the permutation, by found_p
//! instead of m_p: what is permuted are the rows' summands, which are random where m_p is 0.
//! # Security
//! Semi-honest, dishonest majority. Nothing is opened. The receiver sees, behind OPRF and equality, masked rows only; the sender sees
//! OTs. How many bins and rows there are is public; which row is in which bin does not leave the receiver.

use mpc_core::{PartyId, Result, Session};
use zeroize::Zeroizing;

use super::align::Holder;
use super::circuit_psi::{Bins, Choices, Summands, answer, ask, plane};
use super::payload::times_member;
use super::table::{Entered, Shape};
use crate::correlation::{Layout, Permutation, WordKind};
use crate::ot::Ot;

/// The receiver's bins, for each pass, under a step of its own.
pub(super) fn bins(session: &mut Session, entered: &Entered) -> Result<Vec<Bins>> {
    (0..entered.shape.passes).map(|pass| Bins::new(&mut session.step("table"), entered, pass)).collect()
}

/// Where the sender's keys may be, for each pass, at the step of the receiver's [`bins`].
pub(super) fn choices(session: &mut Session, receiver: &Shape) -> Vec<Choices> {
    (0..receiver.passes).map(|_| Choices::new(&session.step("table"), receiver.keys())).collect()
}

/// The receiver's part with one sender: this side's shares, row by row of its own table. Rounds and bytes: [`crate::cost::align`].
pub(super) async fn receive(
    session: &mut Session,
    ot: &mut Ot,
    from: PartyId,
    bins: &[Bins],
    (receiver, sender): (&Shape, &Shape),
) -> Result<Holder> {
    let pair = Pair { with: from, receiver: session.me(), shape: *receiver, layout: sender.layout() };
    let mut found = Vec::with_capacity(bins.len());
    for bins in bins {
        let mut session = session.step("pass");
        let summands = ask(&mut session, ot, from, bins, sender).await?;
        let order = bins.in_order_of_places();
        found.extend(pair.in_layers(&mut session, ot, Some(&order), bins.len(), summands).await?);
    }
    let Summands { member, words } = pair.first_found(session, ot, found).await?;
    Ok(Holder::new(from, sender, plane(receiver.patients, member), &words))
}

/// The sender's part: its shares, row by row of the receiver's table.
pub(super) async fn send(
    session: &mut Session,
    ot: &mut Ot,
    to: PartyId,
    choices: &[Choices],
    (receiver, entered): (&Shape, &Entered),
) -> Result<Holder> {
    let pair = Pair { with: to, receiver: to, shape: *receiver, layout: entered.shape.layout() };
    let mut found = Vec::with_capacity(choices.len());
    for (pass, choices) in choices.iter().enumerate() {
        let mut session = session.step("pass");
        let summands = answer(&mut session, ot, to, choices, (entered, pass)).await?;
        found.extend(pair.in_layers(&mut session, ot, None, choices.bins, summands).await?);
    }
    let Summands { member, words } = pair.first_found(session, ot, found).await?;
    Ok(Holder::new(session.me(), &entered.shape, plane(receiver.patients, member), &words))
}

/// Both sides of what comes behind the circuit-PSIs.
struct Pair {
    with: PartyId,
    receiver: PartyId,
    /// The receiver's.
    shape: Shape,
    /// The sender's.
    layout: Layout,
}

impl Pair {
    /// From bins into the order of the receiver's rows, layer by layer, which it alone brings.
    async fn in_layers(
        &self,
        session: &mut Session,
        ot: &mut Ot,
        order: Option<&[u32]>,
        bins: usize,
        summands: Summands,
    ) -> Result<Vec<Layer>> {
        let lanes = self.layout.lanes();
        let sites = [session.me(), self.with];
        let kinds = with_bit(&self.layout);
        let permutation = Permutation::owned_among(session, ot, (self.receiver, &sites), order, bins, &kinds).await?;
        let mut rows = vec![0; bins * (lanes + 1)];
        for (bin, row) in rows.chunks_exact_mut(lanes + 1).enumerate() {
            row[..lanes].copy_from_slice(&summands.words[bin * lanes..][..lanes]);
            row[lanes] = bit(&summands.member, bin);
        }
        let rows = Zeroizing::new(permutation.apply(session, rows).await?);
        let mut rows = rows.chunks_exact(lanes + 1);
        Ok(self.shape.layers().map(|count| Layer::take(&mut rows, count, lanes)).collect())
    }

    /// Of each row the first layer that found it: the bit that any did, and the product of its words with that layer's bit.
    async fn first_found(&self, session: &mut Session, ot: &mut Ot, layers: Vec<Layer>) -> Result<Summands> {
        let rows = self.shape.patients;
        let mut none = Zeroizing::new(vec![0; rows.div_ceil(64)]);
        let mut sum = Zeroizing::new(vec![0; rows * self.layout.lanes()]);
        self.flip(session, &mut none);
        for (at, Layer { rows, summands: Summands { member, words } }) in layers.into_iter().enumerate() {
            let mut session = session.step("first");
            // Before the first layer, which has all rows, nobody was found: that is no secret.
            let found = Zeroizing::new(match at {
                0 => member,
                _ => self.and(&mut session, ot, &none, (member, rows)).await?,
            });
            none.iter_mut().zip(found.iter()).for_each(|(none, found)| *none ^= found);
            let product = times_member(&mut session, ot, self.with, &found, words, &self.layout).await?;
            self.layout.add_to(&mut sum[..product.len()], &product);
        }
        self.flip(session, &mut none);
        Ok(Summands { member: none.to_vec(), words: sum })
    }

    /// Not: one side's share.
    fn flip(&self, session: &Session, bits: &mut [u64]) {
        if session.me() == self.receiver {
            bits.iter_mut().for_each(|word| *word = !*word);
        }
    }

    /// Products of the first shared bits: [`times_member`] with rows of one bit.
    async fn and(
        &self,
        session: &mut Session,
        ot: &mut Ot,
        a: &[u64],
        (b, rows): (Vec<u64>, usize),
    ) -> Result<Vec<u64>> {
        let b = Zeroizing::new(b);
        let words = Zeroizing::new((0..rows).map(|row| bit(&b, row)).collect());
        let product = times_member(session, ot, self.with, a, words, &one_bit()).await?;
        let mut bits = vec![0; rows.div_ceil(64)];
        product.iter().enumerate().for_each(|(row, word)| bits[row / 64] |= (word & 1) << (row % 64));
        Ok(bits)
    }
}

/// What one key of each of the first rows found.
struct Layer {
    rows: usize,
    summands: Summands,
}

impl Layer {
    /// The next rows, each of so many lanes and the bit.
    fn take<'a>(from: &mut impl Iterator<Item = &'a [u64]>, rows: usize, lanes: usize) -> Self {
        let (mut member, mut words) = (vec![0; rows.div_ceil(64)], Zeroizing::new(vec![0; rows * lanes]));
        for (at, row) in from.take(rows).enumerate() {
            words[at * lanes..][..lanes].copy_from_slice(&row[..lanes]);
            member[at / 64] |= (row[lanes] & 1) << (at % 64);
        }
        Self { rows, summands: Summands { member, words } }
    }
}

/// The lanes of a row and its bit.
pub(crate) fn with_bit(layout: &Layout) -> Vec<WordKind> {
    let kind = |carries: &u64| if *carries == 0 { WordKind::Xor } else { WordKind::Add };
    layout.carries().iter().map(kind).chain([WordKind::Xor]).collect()
}

fn one_bit() -> Layout {
    Layout::new(&[WordKind::Xor])
}

fn bit(bits: &[u64], at: usize) -> u64 {
    bits[at / 64] >> (at % 64) & 1
}
