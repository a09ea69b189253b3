//! The keys that enough rows of all sites together have, and nothing about the others.

use mpc_core::error::LocalFault;
use mpc_core::{Block, PartyId, Result, Z64};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::shape;
use crate::additive::Additive;
use crate::additive::demand::{self, Link};
use crate::engine::{Engine, Rows};
use crate::matching::{Further, PatientTable, Run, Segment, Shape, align, empty};
use crate::parameters::matching::MAX_PATIENTS;
use crate::share::{ArithShare, BitShare};

/// The public limits and rule of one exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most distinct keys of one site, m; every site's list is padded to it.
    pub max_keys: usize,
    /// Most bytes of one key.
    pub max_key_bytes: usize,
    /// One site's count of one key is below 2^`count_bits`.
    pub count_bits: usize,
    /// k: a key is frequent when its joint count is at least this. At least 1.
    pub threshold: u64,
}

/// One key of a site and how many rows it has there.
pub type Counted = (Vec<u8>, u64);

/// The keys whose counts at all sites together reach the threshold, sorted; None at a party outside the audience of the
/// keys. `own` is this site's distinct keys with their counts; whoever is not among the `holders` has none. `salt` is
/// public, the same at all parties and fresh for each session: derive it from the session's id. Opens `id/count` (stated to
/// everybody) and `id`, the keys. Makes the correlations it takes.
///
/// Among N holders with B bins each ([`crate::matching::rows`] of m): N·(N − 1) circuit-PSIs, half of them for k = 1;
/// N − 1 ANDs a bin, one more and a comparison if k > 1; one shuffle of N·B rows of ⌈(max_key_bytes + 1) / 8⌉ numbers
/// and a bit; N·B daBits. Rounds: align + comparison + ⌈log2(N + 1)⌉·and + shuffle + b2a + 2·reveal, and the
/// preparation.
///
/// # Source
/// Every holder's keys in its bins beside the others' counts: [`crate::matching::align()`]. A key is kept in the bin of
/// its first holder, so that it is kept once; opening after a shuffle as Asharov et al., CCS'22 (heavy hitters).
/// # Privacy
/// Flags are opened in an order that is uniform and unknown to all, so they say how many keys are frequent and no more;
/// then only flagged rows are opened, one for each frequent key, without its count. Unlike [`crate::key_union`] it
/// needs no released counts to be safe: which sites hold a key stays hidden, also from all others together, but for
/// what a key's being listed or not implies. To a site with k − d rows of a key, d ≥ 1, "listed" means that the others
/// have at least d of it, and "not listed" that they have fewer than d (with d = 1: none). The same for all but one site
/// together. Sealed to the analyst the list tells the sites only how many keys are frequent; who opens it to everyone
/// accepts both halves for every key some site has.
/// # Deviations
/// Keys are matched by hashes of 128 bits under the salt: among N·m keys chosen before it two have the same with
/// probability at most (N·m)²/2^129. A circuit-PSI takes one key for another with probability below 2^−40.
/// # Errors
/// `Local(Other)` when this site's keys are not distinct or beyond the limits, or when an opened key is no key (a site
/// deviated); as [`align()`] and the engine's operations.
pub async fn frequent_keys(
    engine: &mut Additive,
    own: &[Counted],
    holders: &[PartyId],
    (limits, salt, link): (Limits, &[u8; 32], Link),
    id: &str,
) -> Result<Option<Vec<Vec<u8>>>> {
    let (me, sites) = (engine.session().me(), engine.session().parties().site_count());
    let ours = |why: &str| LocalFault::Other(why.into());
    let exchange = Exchange::new(limits, sites, holders).map_err(|why| engine.fault(ours(why)))?;
    let table = exchange.table(me, own, salt).map_err(|why| engine.fault(ours(why)))?;
    let budget = demand::budget(sites, link, async |e| exchange.keys(e, &[], &exchange.empty(), id).await)?;
    engine.prepare(&budget).await?;
    let segments = align(engine, exchange.shapes(), exchange.runs(), table).await?;
    exchange.keys(engine, own, &segments, id).await
}

/// One exchange as all parties know it: who is matched, and what is done with the bins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    limits: Limits,
    holders: Vec<PartyId>,
    shapes: Vec<Shape>,
    runs: Vec<Run>,
}

impl Exchange {
    /// Among so many sites, of which the holders may have keys.
    ///
    /// # Errors
    /// What is wrong with the limits, in words.
    pub fn new(limits: Limits, sites: usize, holders: &[PartyId]) -> std::result::Result<Self, &'static str> {
        if limits.threshold == 0 || limits.threshold >> 62 != 0 || total_bits(limits, sites) > 62 {
            return Err("a threshold is 1 to 2^62, a joint count has at most 62 bits");
        }
        if limits.max_keys > MAX_PATIENTS {
            return Err("more keys than the reviewed sizes");
        }
        let mut holders = holders.to_vec();
        holders.sort_unstable();
        holders.dedup();
        if holders.is_empty() || holders.iter().any(|holder| holder.index() >= sites) {
            return Err("holders of keys are sites");
        }
        let of = |patients, numbers| Shape { patients, numbers, bits: 0, passes: 1, further: Further::NONE };
        let shape = |site: usize| match holders.iter().any(|holder| holder.index() == site) {
            true => of(limits.max_keys, usize::from(counts(limits))),
            false => of(0, 0),
        };
        let shapes = (0..sites).map(shape).collect();
        Ok(Self { limits, shapes, runs: runs(&holders, counts(limits)), holders })
    }

    /// What every site enters, by site.
    pub fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// Whose bins there are, and who is matched with them.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Bins that nobody knows anything in.
    pub fn empty(&self) -> Vec<Segment> {
        empty(&self.shapes, &self.runs)
    }

    /// What a party enters: its keys in this order, hashed, and their counts. Nothing if it holds no keys.
    ///
    /// # Errors
    /// What is wrong with the keys, in words.
    pub fn table(
        &self,
        me: PartyId,
        own: &[Counted],
        salt: &[u8; 32],
    ) -> std::result::Result<Option<PatientTable>, &'static str> {
        let holds = self.holders.contains(&me);
        if own.len() > self.limits.max_keys || !holds && !own.is_empty() {
            return Err("more keys than the plan allows this party");
        }
        if own.iter().any(|(key, _)| key.len() > self.limits.max_key_bytes) {
            return Err("a key is longer than the plan allows");
        }
        if own.iter().any(|(_, count)| *count == 0 || *count >> self.limits.count_bits != 0) {
            return Err("a count is 0 or greater than the plan allows");
        }
        let mut keys: Vec<&[u8]> = own.iter().map(|(key, _)| key.as_slice()).collect();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("a key is named twice");
        }
        let number = own.iter().map(|(_, count)| Z64(*count)).collect::<Vec<_>>();
        let numbers = if counts(self.limits) { vec![number] } else { Vec::new() };
        let keys = vec![own.iter().map(|(key, _)| Some(hash(key, salt))).collect()];
        Ok(holds.then(|| PatientTable {
            keys,
            further: Vec::new(),
            numbers,
            bits: mpc_core::Bits::zeros(own.len(), 0),
        }))
    }

    /// The frequent keys, from the bins of [`align()`].
    ///
    /// # Errors
    /// As [`frequent_keys`].
    pub async fn keys<E: Engine>(
        &self,
        e: &mut E,
        own: &[Counted],
        segments: &[Segment],
        id: &str,
    ) -> Result<Option<Vec<Vec<u8>>>> {
        let bits = self.kept(e, segments).await?;
        let columns = self.key_columns(own, segments).into_iter().map(|column| e.input(column)).collect();
        let rows = e.shuffle(Rows { bits, columns }).await?;
        let chosen = flagged(e, &rows.bits, &format!("{id}/count")).await?;
        self.open(e, &rows.gather(&chosen), id).await
    }

    /// One bit for each bin: has it a key that no holder before has, and that enough rows have?
    async fn kept<E: Engine>(&self, e: &mut E, segments: &[Segment]) -> Result<BitShare> {
        let first: Vec<BitShare> = segments.iter().map(|segment| self.first(e, segment)).collect();
        let mut wanted = shape::beneath(&first.iter().collect::<Vec<_>>());
        if counts(self.limits) {
            let often = self.often(e, segments).await?;
            wanted = BitShare::beside(&[&wanted, &often]);
        }
        shape::all(e, &wanted).await
    }

    /// A bit for each holder: of the receiver, has it a key here; of those before it, have they not; 1 of all others.
    fn first<E: Engine>(&self, e: &mut E, segment: &Segment) -> BitShare {
        let all = e.not(&BitShare::zeros(segment.rows, 1));
        let bit = |site: &PartyId| {
            let member = segment.holders.iter().find(|holder| holder.site == *site).map(|holder| &holder.member);
            match member {
                Some(member) if *site == segment.receiver => member.plane(0),
                Some(member) if *site < segment.receiver => e.not(member),
                _ => all.plane(0),
            }
        };
        let bits: Vec<BitShare> = self.holders.iter().map(bit).collect();
        BitShare::beside(&bits.iter().collect::<Vec<_>>())
    }

    /// One bit for each bin: is its key's joint count at least the threshold?
    async fn often<E: Engine>(&self, e: &mut E, segments: &[Segment]) -> Result<BitShare> {
        let mut totals = Vec::with_capacity(segments.len());
        for segment in segments {
            let counts: Vec<_> = segment.holders.iter().flat_map(|holder| &holder.numbers).collect();
            totals.push(shape::fold(e, &ArithShare::concat(&counts), segment.rows)?);
        }
        let totals = ArithShare::concat(&totals.iter().collect::<Vec<_>>());
        let threshold = vec![Z64(self.limits.threshold); totals.len()];
        let threshold_bits = 64 - self.limits.threshold.leading_zeros() as usize;
        let bits = total_bits(self.limits, self.holders.len()).max(threshold_bits) + 1;
        let rare = e.less_than_public(&totals, &threshold, bits).await?;
        Ok(e.not(&rare))
    }

    /// The words of this site's own keys in its own bins, zeros elsewhere: a key's bytes, then a 1, then zeros.
    fn key_columns(&self, own: &[Counted], segments: &[Segment]) -> Vec<Vec<Z64>> {
        let all = segments.iter().map(|segment| segment.rows).sum();
        let mut columns = vec![vec![Z64(0); all]; (self.limits.max_key_bytes + 1).div_ceil(WORD)];
        let mut first = 0;
        for segment in segments {
            for (bin, row) in segment.places.taken() {
                let ended = Zeroizing::new([own[row].0.as_slice(), &[END]].concat());
                for (column, word) in columns.iter_mut().zip(ended.chunks(WORD)) {
                    let mut bytes = [0; WORD];
                    bytes[..word.len()].copy_from_slice(word);
                    column[first + bin] = Z64(u64::from_le_bytes(bytes));
                }
            }
            first += segment.rows;
        }
        columns
    }

    async fn open<E: Engine>(&self, e: &mut E, rows: &Rows, id: &str) -> Result<Option<Vec<Vec<u8>>>> {
        let count = rows.len();
        let columns = ArithShare::concat(&rows.columns.iter().collect::<Vec<_>>());
        let permit = e.permit(id, columns.len())?;
        let Some(opened) = e.reveal(columns, permit).await? else { return Ok(None) };
        let key = |row: usize| {
            let words = opened.iter().skip(row).step_by(count);
            let mut bytes: Vec<u8> = words.flat_map(|word| word.0.to_le_bytes()).collect();
            bytes.truncate(bytes.iter().rposition(|byte| *byte != 0)? + 1);
            let end = bytes.pop()?;
            (end == END && bytes.len() <= self.limits.max_key_bytes).then_some(bytes)
        };
        let keys: Option<Vec<Vec<u8>>> = (0..count).map(key).collect();
        let no_key = || e.fault(LocalFault::Other("an opened key is no key: a site deviated".into()));
        let mut keys = keys.ok_or_else(no_key)?;
        keys.sort_unstable();
        Ok(Some(keys))
    }
}

/// Does it matter how many rows a key has? Every key has one.
fn counts(limits: Limits) -> bool {
    limits.threshold > 1
}

/// Every holder's bins: against all other holders if they are to count, else against those before it. The senders begin
/// behind the receiver, so that receivers need not wait for each other.
fn runs(holders: &[PartyId], counting: bool) -> Vec<Run> {
    let others = |at: usize| {
        let behind = if counting { &holders[at + 1..] } else { &holders[..0] };
        [behind, &holders[..at]].concat()
    };
    holders.iter().enumerate().map(|(at, receiver)| (*receiver, others(at))).collect()
}

/// Bits of a joint count.
fn total_bits(limits: Limits, sites: usize) -> usize {
    limits.count_bits + (usize::BITS - sites.leading_zeros()) as usize
}

/// What a key is matched by. The salt stands first: who chooses keys cannot know it.
fn hash(key: &[u8], salt: &[u8; 32]) -> Block {
    let digest = Sha256::new().chain_update(b"consilium key hash v1\0").chain_update(salt).chain_update(key).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Block(u128::from_le_bytes(bytes))
}

/// The rows whose flag is set, after the shuffle.
async fn flagged<E: Engine>(e: &mut E, flags: &BitShare, id: &str) -> Result<Vec<usize>> {
    let flags = e.b2a::<Z64>(flags).await?;
    let permit = e.permit(id, flags.len())?;
    let flags = e.reveal(flags, permit).await?;
    let flags = flags.ok_or_else(|| e.fault(LocalFault::Other("flags are opened to everybody".into())))?;
    Ok((0..flags.len()).filter(|row| flags[*row] == Z64(1)).collect())
}

/// Bytes of a key in one number.
const WORD: usize = 8;
/// Stands behind a key, so that zeros at its end are its own.
const END: u8 = 1;
