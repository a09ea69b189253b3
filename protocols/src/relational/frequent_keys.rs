//! The keys that enough rows of all sites together have, and nothing about the others.

use mpc_core::error::LocalFault;
use mpc_core::{Bits, Result, Z64};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use super::{shape, sort};
use crate::engine::{Engine, Rows};
use crate::release::{Audience, Release};
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

/// Who puts in which rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// This party's number; not below `sites` at an analyst.
    pub me: usize,
    /// How many sites put in keys.
    pub sites: usize,
}

/// One key of a site and how many rows it has there.
pub type Counted = (Vec<u8>, u64);

/// The keys whose counts at all sites together reach the threshold, sorted; None at a party outside the audience of the
/// keys. `own` is this site's distinct keys with their counts (the analyst has none). `salt` is public, the same at all
/// parties and fresh for each session: derive it from the session's id. Opens `name/flags` to everybody and `name/keys`
/// to `audience`, both declared here.
///
/// N sites, N·m rows of ⌈max_key_bytes / 8⌉ + 2 numbers: one sort of w-bit fingerprints, equality of neighbours (w − 1
/// ANDs a row), N − 2 ANDs and N − 1 selections a row to add up a key's at most N rows, one comparison, one shuffle.
/// Rounds: sort + (6 + N − 2 + 1)·and + select + negative + b2a + shuffle + 2·reveal.
///
/// # Source
/// Sort, compare neighbours, open after a shuffle: as Asharov et al., CCS'22 (heavy hitters); sums over runs of at most
/// N rows instead of their prefix scan.
/// # Privacy
/// Flags are opened in an order that is uniform and unknown to all, so they say how many keys are frequent and no more;
/// then only flagged rows are opened, one for each frequent key, without its count. Unlike [`crate::key_union`] it
/// needs no released counts to be safe: which sites hold a key stays hidden, also from all others together, but for
/// what a key's being listed or not implies. To a site with k − d rows of a key, d ≥ 1, "listed" means that the others
/// have at least d of it, and "not listed" that they have fewer than d (with d = 1: none). The same for all but one site
/// together. Sealed to the analyst the list tells the sites only how many keys are frequent; who opens it to everyone
/// accepts both halves for every key some site has.
/// # Deviations
/// Rows are told apart by a fingerprint of w = σ + 2·⌈log2(N·m)⌉ bits, σ = 40, not by the whole key: two keys collide,
/// and are taken for one with both their counts, with probability at most (N·m)²/2^(w+1) ≤ 2^−(σ+1) for a salt chosen
/// after the keys. N·m of more than 2^28 rows (w > 96) are refused.
/// # Errors
/// `Local(Other)` when this site's keys are not distinct or beyond the limits, or when an opened key is no key (a site
/// deviated); as the engine's operations.
pub async fn frequent_keys<E: Engine>(
    e: &mut E,
    own: &[Counted],
    limits: Limits,
    seat: Seat,
    salt: &[u8; 32],
    (name, audience): (&str, Audience),
) -> Result<Option<Vec<Vec<u8>>>> {
    check(own, limits, seat).map_err(|why| e.fault(LocalFault::Other(why.into())))?;
    let (prints, rows) = put_in(e, own, limits, seat, salt);
    let (prints, mut rows) = sort::sort(e, prints, rows).await?;
    let counts = rows.columns.remove(COUNT);
    rows.bits = frequent(e, &prints, &counts, limits, seat.sites).await?;
    let rows = e.shuffle(rows).await?;
    let chosen = flagged(e, &rows.bits, &format!("{name}/flags")).await?;
    open_keys(e, &rows.gather(&chosen), limits, &format!("{name}/keys"), audience).await
}

fn check(own: &[Counted], limits: Limits, seat: Seat) -> std::result::Result<(), &'static str> {
    let mut keys: Vec<&[u8]> = own.iter().map(|(key, _)| key.as_slice()).collect();
    keys.sort_unstable();
    if own.len() > limits.max_keys || seat.me >= seat.sites && !own.is_empty() {
        return Err("more keys than the plan allows this party");
    }
    if keys.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("a key is named twice");
    }
    if keys.iter().any(|key| key.len() > limits.max_key_bytes) {
        return Err("a key is longer than the plan allows");
    }
    if limits.threshold == 0 || limits.threshold >> 62 != 0 || total_bits(limits, seat.sites) > 62 {
        return Err("a threshold is 1 to 2^62, a joint count has at most 62 bits");
    }
    if seat.sites.checked_mul(limits.max_keys).is_none_or(|rows| print_bits(rows) > MAX_PRINT_BITS) {
        return Err("more rows than fingerprints tell apart");
    }
    if own.iter().any(|(_, count)| *count == 0 || *count >> limits.count_bits != 0) {
        return Err("a count is 0 or greater than the plan allows");
    }
    Ok(())
}

/// Bits of a joint count.
fn total_bits(limits: Limits, sites: usize) -> usize {
    limits.count_bits + (usize::BITS - sites.leading_zeros()) as usize
}

/// Every site's rows in its own block, the rest zero: fingerprints, and the columns count, length, words of the key.
/// Padding is all zero; its count keeps it from ever being frequent.
fn put_in<E: Engine>(e: &mut E, own: &[Counted], limits: Limits, seat: Seat, salt: &[u8; 32]) -> (BitShare, Rows) {
    let all = seat.sites * limits.max_keys;
    let first = seat.me * limits.max_keys;
    let width = print_bits(all);
    let (mut low, mut high) = (vec![0; all], vec![0; all]);
    let mut columns = vec![vec![Z64(0); all]; KEY + limits.max_key_bytes.div_ceil(WORD)];
    for (row, (key, count)) in (first..).zip(own) {
        let print = fingerprint(key, salt);
        (low[row], high[row]) = (print as u64, (print >> 64) as u64);
        columns[COUNT][row] = Z64(*count);
        columns[LENGTH][row] = Z64(key.len() as u64);
        for (column, word) in columns[KEY..].iter_mut().zip(key.chunks(WORD)) {
            let mut bytes = [0; WORD];
            bytes[..word.len()].copy_from_slice(word);
            column[row] = Z64(u64::from_le_bytes(bytes));
        }
    }
    let rows =
        Rows { bits: BitShare::zeros(all, 0), columns: columns.into_iter().map(|column| e.input(column)).collect() };
    let parts = [
        e.input_bits(Bits::from_column(&low, width.min(64))),
        e.input_bits(Bits::from_column(&high, width.saturating_sub(64))),
    ];
    low.zeroize();
    high.zeroize();
    (BitShare::beside(&[&parts[0], &parts[1]]), rows)
}

/// Bits of a fingerprint, w, among so many rows.
fn print_bits(rows: usize) -> usize {
    STATISTICAL_BITS + 2 * rows.max(1).next_power_of_two().ilog2() as usize
}

/// Its lowest bits are used. The salt stands first: who chooses keys cannot know it.
fn fingerprint(key: &[u8], salt: &[u8; 32]) -> u128 {
    let digest =
        Sha256::new().chain_update(b"consilium key fingerprint v1\0").chain_update(salt).chain_update(key).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    u128::from_le_bytes(bytes)
}

/// One bit for each row: is it the first of its key, and is the key's joint count at least the threshold? Rows are
/// sorted.
async fn frequent<E: Engine>(
    e: &mut E,
    prints: &BitShare,
    counts: &ArithShare<Z64>,
    limits: Limits,
    sites: usize,
) -> Result<BitShare> {
    let rows = prints.rows();
    let same = same_as_next(e, prints).await?;
    let totals = totals_of_runs(e, &same, counts, sites).await?;
    let threshold = vec![Z64(limits.threshold); rows];
    let threshold_bits = 64 - limits.threshold.leading_zeros() as usize;
    let bits = total_bits(limits, sites).max(threshold_bits) + 1;
    let rare = e.less_than_public(&totals, &threshold, bits).await?;
    let often = e.not(&rare);
    // The first row of all follows nothing.
    let with_none = shape::beneath(&[&BitShare::zeros(1, 1), &same]);
    let follows = with_none.gather(&(0..rows).collect::<Vec<_>>());
    let first = e.not(&follows);
    e.and(&first, &often).await
}

/// Has the next row the same fingerprint? The last row has none.
async fn same_as_next<E: Engine>(e: &mut E, prints: &BitShare) -> Result<BitShare> {
    let rows = prints.rows();
    let pairs = rows.saturating_sub(1);
    let upper = prints.gather(&(0..pairs).collect::<Vec<_>>());
    let lower = prints.gather(&(1..=pairs).collect::<Vec<_>>());
    let agreeing = e.not(&upper.xor(&lower));
    let same = shape::all(e, &agreeing).await?;
    Ok(shape::beneath(&[&same, &BitShare::zeros(rows - pairs, 1)]))
}

/// Every row's count and those of the following rows of the same key; a key has one row at each site at most.
async fn totals_of_runs<E: Engine>(
    e: &mut E,
    same: &BitShare,
    counts: &ArithShare<Z64>,
    sites: usize,
) -> Result<ArithShare<Z64>> {
    let rows = counts.len();
    let padded_counts = ArithShare::concat(&[counts, &ArithShare::zeros(1)]);
    let padded_same = shape::beneath(&[same, &BitShare::zeros(1, 1)]);
    let ahead = |by: usize| (0..rows).map(|row| (row + by).min(rows)).collect::<Vec<_>>();
    let mut reached = same.planes(0..1);
    let (mut choices, mut candidates) = (Vec::new(), Vec::new());
    for by in 1..sites {
        if by > 1 {
            reached = e.and(&reached, &padded_same.gather(&ahead(by - 1))).await?;
        }
        choices.push(reached.planes(0..1));
        candidates.push(padded_counts.gather(&ahead(by)));
    }
    if choices.is_empty() {
        return Ok(counts.slice(0..rows));
    }
    let choices = shape::beneath(&choices.iter().collect::<Vec<_>>());
    let candidates = ArithShare::concat(&candidates.iter().collect::<Vec<_>>());
    let chosen = e.select(&choices, &candidates).await?;
    let others = shape::fold(e, &chosen, rows)?;
    e.add(counts, &others)
}

/// The rows whose flag is set, after the shuffle.
async fn flagged<E: Engine>(e: &mut E, flags: &BitShare, name: &str) -> Result<Vec<usize>> {
    let flags = e.b2a::<Z64>(flags).await?;
    e.declare(Release::of::<Z64>(name, flags.len(), Audience::Everyone));
    let flags = e.reveal(flags, name).await?;
    let flags = flags.ok_or_else(|| e.fault(LocalFault::Other("flags are opened to everybody".into())))?;
    Ok((0..flags.len()).filter(|row| flags[*row] == Z64(1)).collect())
}

async fn open_keys<E: Engine>(
    e: &mut E,
    rows: &Rows,
    limits: Limits,
    name: &str,
    audience: Audience,
) -> Result<Option<Vec<Vec<u8>>>> {
    let count = rows.len();
    let columns = ArithShare::concat(&rows.columns.iter().collect::<Vec<_>>());
    e.declare(Release::of::<Z64>(name, columns.len(), audience));
    let Some(opened) = e.reveal(columns, name).await? else { return Ok(None) };
    let key = |row: usize| {
        let words = opened.iter().skip(row).step_by(count);
        let bytes: Vec<u8> = words.clone().skip(1).flat_map(|word| word.0.to_le_bytes()).collect();
        let length = usize::try_from(words.clone().next()?.0).ok()?;
        let rest_is_zero = bytes.get(length..)?.iter().all(|byte| *byte == 0);
        (length <= limits.max_key_bytes && rest_is_zero).then(|| bytes[..length].to_vec())
    };
    let keys: Option<Vec<Vec<u8>>> = (0..count).map(key).collect();
    let mut keys = keys.ok_or_else(|| e.fault(LocalFault::Other("an opened key is no key: a site deviated".into())))?;
    keys.sort_unstable();
    Ok(Some(keys))
}

/// σ: keys are merged with probability below 2^-σ.
const STATISTICAL_BITS: usize = 40;
const MAX_PRINT_BITS: usize = 96;
/// Bytes of a key in one number.
const WORD: usize = 8;
/// The columns of a row. The count goes before the shuffle.
const COUNT: usize = 0;
const LENGTH: usize = 1;
const KEY: usize = 2;
