//! Circuit-PSI with payload: for each bin of the receiver, shares of whether the sender has the receiver's patient, and of the
//! sender's values for that patient, zero where it does not.
//!
//! The receiver puts its keys into bins. The sender has a random tag for each bin, and programs, for each of its keys in each of
//! its three bins, that bin's tag and its values minus a random row of that bin. The receiver asks one point in every bin; the bin's
//! patient is the sender's too if what it gets is the tag. That is an equality test on shares, and a product of its bit with the values.
//!
//! # Source
//! Pinkas, Schneider, Tkachenko, Yanai, Efficient Circuit-Based PSI with Linear Communication, Eurocrypt'19 (ePrint 2019/241), §5; the
//! OPPRF of Rindal–Schoppmann, Eurocrypt'21, §7; payload as in Pinkas et al. §5.4 with arithmetic shares.
//! # Security
//! Semi-honest, dishonest majority. The receiver's points are those of the cuckoo table, and random ones in empty bins; what it gets
//! at a point that was not programmed looks random and is the bin's tag with probability 2^-bits; what it gets at a programmed one
//! is random in every bit too, the unused ones included. OPRF, tags and rows are fresh for every pair.

use mpc_core::error::LocalFault;
use mpc_core::random::{Domain, PublicSeed};
use mpc_core::{Bits, Block, PartyId, Result, Session};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::align::Holder;
use super::cuckoo::{EMPTY, Hashes, Placement, place};
use super::table::{Entered, Shape, rows};
use super::{equality, opprf, payload};
use crate::correlation::sub;
use crate::ot::Ot;
use crate::parameters::matching::{CUCKOO_HASHES, tag_bits};

/// A receiver's keys in their bins, the same for all its senders. Wiped when dropped.
pub struct Bins {
    placement: Placement,
    points: Zeroizing<Vec<Block>>,
}

impl Bins {
    /// Places the keys of a pass of a table in [`rows`] bins, at a step of the session that its senders are at too: its name and the session
    /// give the public seed, after all keys are fixed.
    ///
    /// # Errors
    /// `Local` with probability below 2^-40, when the keys have no placement: nothing was sent, and another session has another seed.
    ///
    /// # Panics
    /// When there is no such pass.
    pub fn new(session: &mut Session, entered: &Entered, pass: usize) -> Result<Bins> {
        let (count, keys) = (rows(entered.shape.keys()), &entered.keys[pass]);
        let hashes = Hashes::new(seed(session), count);
        let choices = Zeroizing::new(hashes.bins(keys));
        let placement = place(&choices, count);
        let failed = || session.local(LocalFault::Other("the keys do not fit the bins of this session".into()));
        let placement = placement.ok_or_else(failed)?;
        let mut points = Zeroizing::new(vec![Block::ZERO; count]);
        session.private_rng(Domain::MatchingPoint)?.fill(bytemuck::cast_slice_mut(&mut points[..]));
        for (bin, (row, point)) in placement.keys.iter().zip(points.iter_mut()).enumerate() {
            if *row != EMPTY {
                *point = hashes.query(keys[*row as usize], index_of(&choices[*row as usize], bin));
            }
        }
        Ok(Bins { placement, points })
    }

    /// The place of the key that is in a bin, if one is: without further keys the row of the table.
    pub fn row(&self, bin: usize) -> Option<usize> {
        let row = self.placement.keys[bin];
        (row != EMPTY).then_some(row as usize)
    }

    /// The bins in the order of the keys' places, dummies too, and then the empty ones.
    pub(super) fn in_order_of_places(&self) -> Zeroizing<Vec<u32>> {
        let key = |bin: &u32| self.placement.keys[*bin as usize];
        let mut order: Zeroizing<Vec<u32>> = Zeroizing::new((0..self.len() as u32).collect());
        // EMPTY is the largest number there is.
        order.sort_unstable_by_key(key);
        order
    }

    /// How many bins.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Never.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }
}

fn index_of(choices: &[u32; CUCKOO_HASHES], bin: usize) -> usize {
    choices.iter().position(|choice| *choice as usize == bin).expect("a key is in one of its bins")
}

/// The seed of a step's bins.
fn seed(session: &Session) -> PublicSeed {
    let hash = Sha256::new().chain_update(b"consilium bins v1\0").chain_update(session.id().0);
    PublicSeed(hash.chain_update(session.path().as_str().as_bytes()).finalize().into())
}

/// Which bins the sender's keys may take, at the step of the receiver's [`Bins::new`].
pub struct Choices {
    hashes: Hashes,
    pub(super) bins: usize,
}

impl Choices {
    /// For a receiver of at most so many keys in a pass.
    pub fn new(session: &Session, keys: usize) -> Choices {
        let bins = rows(keys);
        Choices { hashes: Hashes::new(seed(session), bins), bins }
    }
}

/// Blocks of a value: the tag, of which the low bits are compared, beside the first word, then two words each; random bits
/// where a block has no word.
pub(crate) fn value_blocks(lanes: usize) -> usize {
    lanes / 2 + 1
}

/// What a site has before the product: a share of the bit, one for each bin, 64 to a word; and its summands of the rows of
/// words, which are the sender's where the bit is 1 and random where it is 0.
pub(super) struct Summands {
    pub member: Vec<u64>,
    pub words: Zeroizing<Vec<u64>>,
}

/// The receiver's part with one sender, whose table has this shape: this side's shares, in bins. Rounds and bytes are those of
/// [`crate::cost::align`].
///
/// # Errors
/// As [`Session::recv`] says.
pub async fn receive(session: &mut Session, ot: &mut Ot, from: PartyId, bins: &Bins, sender: &Shape) -> Result<Holder> {
    let mut session = session.step("circuit psi");
    let Summands { member, words } = ask(&mut session, ot, from, bins, sender).await?;
    let words = payload::times_member(&mut session, ot, from, &member, words, &sender.layout()).await?;
    Ok(Holder::new(from, sender, plane(bins.len(), member), &words))
}

/// The receiver's part before the product.
pub(super) async fn ask(
    session: &mut Session,
    ot: &mut Ot,
    from: PartyId,
    bins: &Bins,
    sender: &Shape,
) -> Result<Summands> {
    let (lanes, count) = (sender.layout().lanes(), bins.len());
    let bits = tag_bits(count);
    let mut tags = Zeroizing::new(vec![0; count]);
    let mut words = Zeroizing::new(vec![0; count * lanes]);
    let take = |bin: usize, block: usize, value: Block| {
        let halves = [value.0 as u64, (value.0 >> 64) as u64];
        let first_lane = match block {
            0 => {
                tags[bin] = low(halves[0], bits);
                words[bin * lanes..].iter_mut().take(lanes.min(1)).for_each(|word| *word = halves[1]);
                return;
            }
            _ => 2 * block - 1,
        };
        words[bin * lanes + first_lane..(bin + 1) * lanes].iter_mut().zip(halves).for_each(|(word, half)| *word = half);
    };
    let points = (&bins.points[..], CUCKOO_HASHES * sender.padded_keys());
    opprf::ask(session, ot, from, points, value_blocks(lanes), take).await?;
    let member = equality::equal(session, ot, from, &tags, bits).await?;
    Ok(Summands { member, words })
}

/// The sender's part: its shares, in the receiver's bins.
///
/// # Errors
/// As [`receive`].
///
/// # Panics
/// When there is no such pass.
pub async fn send(
    session: &mut Session,
    ot: &mut Ot,
    to: PartyId,
    choices: &Choices,
    (entered, pass): (&Entered, usize),
) -> Result<Holder> {
    let mut session = session.step("circuit psi");
    let (shape, me) = (&entered.shape, session.me());
    let Summands { member, words } = answer(&mut session, ot, to, choices, (entered, pass)).await?;
    let words = payload::times_member(&mut session, ot, to, &member, words, &shape.layout()).await?;
    Ok(Holder::new(me, shape, plane(choices.bins, member), &words))
}

/// The sender's part before the product.
pub(super) async fn answer(
    session: &mut Session,
    ot: &mut Ot,
    to: PartyId,
    choices: &Choices,
    (entered, pass): (&Entered, usize),
) -> Result<Summands> {
    let (layout, count, keys) = (entered.shape.layout(), choices.bins, &entered.keys[pass]);
    let lanes = layout.lanes();
    let bits = tag_bits(count);
    let mut prg = session.private_rng(Domain::MatchingTarget)?;
    let [mut tags, mut unused] = [0; 2].map(|_| Zeroizing::new(vec![0; count]));
    let mut words = Zeroizing::new(vec![0; count * lanes]);
    // Whole blocks are random: bits that mean nothing would tell the receiver a programmed value if they were always zero.
    prg.fill_words(&mut tags);
    prg.fill_words(&mut unused);
    prg.fill_words(&mut words);
    let bins = Zeroizing::new(choices.hashes.bins(keys));
    let points = points(&choices.hashes, keys);
    let value = |point: usize, block: usize| {
        let (place, bin) = (point / CUCKOO_HASHES, bins[point / CUCKOO_HASHES][point % CUCKOO_HASHES] as usize);
        let row = entered.shape.row(place);
        let word = |lane: usize| match lane < lanes {
            true => sub(entered.words[row * lanes + lane], words[bin * lanes + lane], layout.carries()[lane]),
            false => unused[bin],
        };
        let halves = if block == 0 { [tags[bin], word(0)] } else { [word(2 * block - 1), word(2 * block)] };
        Block(u128::from(halves[0]) | u128::from(halves[1]) << 64)
    };
    opprf::program(session, ot, to, (&points, count), value_blocks(lanes), value).await?;
    drop((bins, points, unused));
    tags.iter_mut().for_each(|tag| *tag = low(*tag, bits));
    let member = equality::equal(session, ot, to, &tags, bits).await?;
    Ok(Summands { member, words })
}

/// All points of a sender, three for each key.
fn points(hashes: &Hashes, keys: &[Block]) -> Zeroizing<Vec<Block>> {
    let of = |key: &Block| std::array::from_fn::<_, CUCKOO_HASHES, _>(|index| hashes.query(*key, index));
    Zeroizing::new(keys.iter().flat_map(of).collect())
}

fn low(word: u64, bits: usize) -> u64 {
    word & (u64::MAX >> (64 - bits))
}

pub(super) fn plane(rows: usize, words: Vec<u64>) -> Bits {
    Bits::from_words(rows, 1, words)
}

#[cfg(test)]
mod tests;
