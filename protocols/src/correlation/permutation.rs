//! Rows that stay shared are put into an order that one site knows, or, by one such permutation of each site, in an order
//! that nobody knows.
//!
//! What is prepared for a permutation π of one site, the owner, is a share translation: each other site j has random rows a_j
//! and b_j, the owner has π(a_j) − b_j. Then j sends x_j − a_j and keeps b_j; the owner adds what it gets to its own share,
//! permutes, and adds its differences. Everything the owner sees is masked by an a_j, and nobody else sees anything.
//!
//! # Source
//! Share translation and its use: Chase, Ghosh, Poburinnaya, Secret-Shared Shuffle, Asiacrypt'20, §3 (definition) and §4
//! (shuffle of several owners in turn). Made from switches, one OT per switch for each other site: Mohassel–Sadeghian, How to
//! Hide Circuits in MPC, Eurocrypt'13, §4 (oblivious switching network); network of Beauquier–Darrot, see [`super::waksman`].
//! # Deviations
//! A switch takes one word of correction, not two or four: its masks keep their sum, so that the difference on the lower
//! output is the negative of that on the upper. That is a correlated OT, in which the masking site draws h and the owner gets
//! h, or h + r1 − r0. For one choice h is a hash the owner knows and the correction is under a hash it does not know; for
//! the other, the correction is h + r1 − r0 under a hash it does know, with an h it does not. So whatever its choices, what the
//! owner sees is independent of the masks at the inputs, and the masking sites see only OTs. That the sum of all masks is kept
//! shows nothing new: the owner has π(a_j) − b_j, and with it their sum, in the definition too.
//! # Security
//! Semi-honest, dishonest majority. A shuffle's order is unknown to every coalition that leaves out one site. An owner knows
//! how each other site's share changed, π(x_j) − b_j, as in the source: what is opened later needs a fresh zero-share, as every
//! release has.
//! # Constant time
//! Memory accesses of the routing and of the owner's own permuting depend on its permutation: they happen at the one site that
//! may know it, as in the literature. All other work and all messages depend on public sizes only.

use std::ops::Range;

use mpc_core::error::LocalFault;
use mpc_core::random::{Domain, Prg};
use mpc_core::{PartyId, Result, Session};
use zeroize::Zeroizing;

use super::masks::{Expansion, MaskBuffer};
use super::switching::{Differences, Masks};
use super::waksman::{is_permutation, route, switch_count};
use super::words::{Layout, WordKind};
use crate::ot::{CALL_WORDS, Ot, Received};

/// One permutation of one site, prepared for `n` rows. Does not print; wiped when dropped.
pub struct Permutation {
    owner: PartyId,
    /// The sites that share the rows with the owner.
    others: Vec<PartyId>,
    rows: usize,
    layout: Layout,
    pub(super) part: Part,
}

pub(super) enum Part {
    /// The owner's: row `map[i]` comes to place i; π(a) − b, summed over the other sites.
    Owner { map: Zeroizing<Vec<u32>>, difference: Zeroizing<Vec<u64>> },
    /// Another site's a and b.
    Masking { first: Zeroizing<Vec<u64>>, last: Zeroizing<Vec<u64>> },
    /// A party that is no site has nothing.
    Outside,
}

/// A random permutation of each site in turn, prepared for rows. Does not print; wiped when dropped.
pub struct Shuffle {
    pub(super) permutations: Vec<Permutation>,
}

impl Permutation {
    /// Prepares one permutation, chosen by the site `owner`: row `map[i]` will come to place i. `map` is `Some` there and only
    /// there. `n` rows of these words.
    ///
    /// With S = [`switch_count`] (n) and L 8-byte lanes in a row, the owner sends 4·S bytes to each other site, which sends it
    /// 8·L·S bytes. Two rounds for each window of 2^22 OTs that the owner chooses in, which is one for 10^5 rows at three sites.
    /// An owner holds at most 64 MiB of OTs at a time.
    ///
    /// # Errors
    /// `Local` when `map` is no permutation of n rows, or is where it should not be; as [`Session::recv`] says.
    pub async fn owned(
        session: &mut Session,
        ot: &mut Ot,
        owner: PartyId,
        map: Option<&[u32]>,
        n: usize,
        words: &[WordKind],
    ) -> Result<Permutation> {
        let sites: Vec<PartyId> = session.parties().sites().collect();
        Self::owned_among(session, ot, (owner, &sites), map, n, words).await
    }

    /// The same for rows that some sites share, the owner among them; these call it. Others may, and have no part in it.
    ///
    /// # Errors
    /// As [`Permutation::owned`].
    pub(crate) async fn owned_among(
        session: &mut Session,
        ot: &mut Ot,
        (owner, sites): (PartyId, &[PartyId]),
        map: Option<&[u32]>,
        n: usize,
        words: &[WordKind],
    ) -> Result<Permutation> {
        if map.is_some() != (owner == session.me()) || !sites.contains(&owner) {
            return Err(session.local(LocalFault::Role("the owner, and nobody else, brings the permutation")));
        }
        if map.is_some_and(|map| map.len() != n || !is_permutation(map)) {
            return Err(session.local(LocalFault::Other(format!("this is no permutation of {n} rows"))));
        }
        let map = map.map(|map| Zeroizing::new(map.to_vec()));
        let mut session = session.step("permutation");
        let mut one = prepare(&mut session, ot, (&[owner], sites), map, n, words).await?;
        Ok(one.remove(0))
    }

    /// Prepares a shuffle: a random permutation of each site, for `n` rows of these words. A party that is no site has no
    /// part in it.
    ///
    /// Rounds as [`Permutation::owned`], all sites at once. With S and L as there, each site sends (4 + 8·L)·S bytes to each
    /// other site.
    ///
    /// # Errors
    /// As [`Permutation::owned`].
    pub async fn shuffle(session: &mut Session, ot: &mut Ot, n: usize, words: &[WordKind]) -> Result<Shuffle> {
        let owners: Vec<PartyId> = session.parties().sites().collect();
        let mut session = session.step("shuffle");
        let map = match session.is_site() {
            true => Some(Zeroizing::new(session.private_rng(Domain::Permutation)?.permutation(n))),
            false => None,
        };
        Ok(Shuffle { permutations: prepare(&mut session, ot, (&owners, &owners), map, n, words).await? })
    }

    /// This party's share of the rows in, row by row with one `u64` for each word; a share of the permuted rows out.
    ///
    /// One round: each other site sends 8·L·n bytes to the owner, L lanes to a row.
    ///
    /// # Errors
    /// `Local(Lengths)` when there are more or fewer rows than were prepared; as [`Session::recv`] says.
    pub async fn apply(self, session: &mut Session, rows: Vec<u64>) -> Result<Vec<u64>> {
        let one = Shuffle { permutations: vec![self] };
        one.apply(session, rows).await
    }

    async fn apply_to_lanes(self, session: &mut Session, mut rows: Zeroizing<Vec<u64>>) -> Result<Zeroizing<Vec<u64>>> {
        match self.part {
            Part::Outside => Ok(rows),
            Part::Masking { first, last } => {
                self.layout.sub_from(&mut rows, &first);
                session.send(self.owner, &rows)?;
                Ok(last)
            }
            Part::Owner { map, difference } => {
                for site in self.others {
                    let masked: Vec<u64> = session.recv(site, rows.len()).await?;
                    self.layout.add_to(&mut rows, &masked);
                }
                let mut out = Zeroizing::new(vec![0; rows.len()]);
                gather(&rows, &map, self.layout.lanes(), &mut out);
                self.layout.add_to(&mut out, &difference);
                Ok(out)
            }
        }
    }
}

impl Shuffle {
    /// Shares in, shares out, as [`Permutation::apply`]: all sites' permutations one after the other. The order of the rows
    /// is uniform, and unknown to all coalitions that leave out a site.
    ///
    /// One round for each site; 8·L·n bytes from each site to each other site.
    ///
    /// # Errors
    /// As [`Permutation::apply`].
    pub async fn apply(self, session: &mut Session, rows: Vec<u64>) -> Result<Vec<u64>> {
        let rows = Zeroizing::new(rows);
        let Some(Permutation { layout, rows: n, .. }) = self.permutations.first() else {
            return Err(session.local(LocalFault::Role("a shuffle needs a site")));
        };
        let (layout, expected) = (layout.clone(), n * layout.words());
        if rows.len() != expected {
            return Err(session.local(LocalFault::Lengths { left: rows.len(), right: expected }));
        }
        let mut lanes = layout.pack(rows);
        for permutation in self.permutations {
            lanes = permutation.apply_to_lanes(&mut session.step("permute"), lanes).await?;
        }
        Ok(layout.unpack(lanes))
    }
}

/// Switches of the longest call of a window.
fn longest(window: &[Range<usize>]) -> usize {
    window.iter().map(|call| call.len()).max().unwrap_or(0)
}

fn gather(rows: &[u64], map: &[u32], lanes: usize, out: &mut [u64]) {
    for (from, out) in map.iter().zip(out.chunks_exact_mut(lanes.max(1))) {
        out.copy_from_slice(&rows[*from as usize * lanes..][..lanes]);
    }
}

/// OTs the owner chooses in, over all other sites, before it waits for their corrections: 64 MiB of rows. Within a window all
/// messages are under way at once.
const WINDOW_OTS: usize = 1 << 22;

/// OTs of one call for rows of one or two lanes; its masks and corrections take 4 MiB each, and no more for longer rows.
const CALL_OTS: usize = 64 * CALL_WORDS;

/// Calls start at whole tiles of the OT extension.
const TILE_OTS: usize = 8192;

/// The switches of a network for `n` rows in windows of calls.
pub(crate) fn schedule(n: usize, lanes: usize, sites: usize) -> Vec<Vec<Range<usize>>> {
    let count = if lanes == 0 { 0 } else { switch_count(n) };
    let call = (2 * CALL_OTS / lanes.max(2) / TILE_OTS * TILE_OTS).max(TILE_OTS);
    let calls: Vec<_> = (0..count).step_by(call).map(|start| start..count.min(start + call)).collect();
    let window = (WINDOW_OTS / call / (sites - 1).max(1)).max(1);
    calls.chunks(window).map(<[_]>::to_vec).collect()
}

/// Permutations of all `owners` at once, of rows that `sites` share; `map` is this party's own, if it is an owner.
async fn prepare(
    session: &mut Session,
    ot: &mut Ot,
    (owners, sites): (&[PartyId], &[PartyId]),
    map: Option<Zeroizing<Vec<u32>>>,
    rows: usize,
    words: &[WordKind],
) -> Result<Vec<Permutation>> {
    let layout = Layout::new(words);
    let apart_from = |one: PartyId| sites.iter().copied().filter(|site| *site != one).collect::<Vec<_>>();
    let permutation =
        |owner, part| Permutation { owner, others: apart_from(owner), rows, layout: layout.clone(), part };
    if !sites.contains(&session.me()) {
        return Ok(owners.iter().map(|owner| permutation(*owner, Part::Outside)).collect());
    }
    let me = session.me();
    let partners = apart_from(me);
    let mut mover = map.as_deref().map(|map| Mover::new(session, &partners, map, &layout));
    let mut prg = session.private_rng(Domain::PermutationMask)?;
    let others = owners.iter().filter(|owner| **owner != me);
    let mut maskers: Vec<Masker> = others.map(|owner| Masker::new(session, *owner, rows, &layout, &mut prg)).collect();
    for window in schedule(rows, layout.lanes(), sites.len()) {
        let mut session = session.step("switches");
        let ots = window.iter().map(|call| call.len().next_multiple_of(64)).sum();
        ot.prepare(&mut session, &partners, ots).await?;
        let chosen = mover.as_ref().map(|mover| mover.choose(&mut session, ot, &window)).transpose()?;
        for masker in &mut maskers {
            masker.offer(&mut session, ot, &window).await?;
        }
        if let (Some(mover), Some(chosen)) = (&mut mover, chosen) {
            mover.collect(&mut session, &window, chosen).await?;
        }
    }
    let mut parts: Vec<_> = maskers.into_iter().map(|m| permutation(m.owner, m.into_part())).collect();
    if let (Some(mover), Some(map)) = (mover, map) {
        // Owners are in party order, and so are the other sites' parts.
        let at = parts.partition_point(|part| part.owner < me);
        parts.insert(at, permutation(me, Part::Owner { map, difference: mover.differences.rows }));
    }
    Ok(parts)
}

/// What a site does with its own network.
struct Mover<'a> {
    layout: &'a Layout,
    differences: Differences,
    others: Vec<(PartyId, Expansion)>,
}

impl<'a> Mover<'a> {
    fn new(session: &Session, others: &[PartyId], map: &[u32], layout: &'a Layout) -> Self {
        let me = session.me();
        let others = others.iter().map(|site| (*site, Expansion::new(session, *site, me)));
        let bits = Zeroizing::new(route(map));
        let rows = Zeroizing::new(vec![0; map.len() * layout.lanes()]);
        Self { layout, differences: Differences { bits, rows }, others: others.collect() }
    }

    /// Chooses in the OTs of a window with every other site; for each call, for each site.
    fn choose(&self, session: &mut Session, ot: &mut Ot, window: &[Range<usize>]) -> Result<Vec<Vec<Received>>> {
        let one_call = |call: &Range<usize>| {
            let bits = &self.differences.bits[call.start / 64..call.end.div_ceil(64)];
            self.others.iter().map(|(site, _)| ot.receiver(*site).choose(session, bits)).collect()
        };
        window.iter().map(one_call).collect()
    }

    /// Receives the corrections and goes through the window's switches.
    async fn collect(
        &mut self,
        session: &mut Session,
        window: &[Range<usize>],
        chosen: Vec<Vec<Received>>,
    ) -> Result<()> {
        let mut masks = MaskBuffer::new(longest(window), self.layout.lanes());
        let mut sums = Zeroizing::new(Vec::with_capacity(masks.words.capacity()));
        for (call, chosen) in window.iter().zip(chosen) {
            let len = call.len() * self.layout.lanes();
            sums.clear();
            sums.resize(len, 0);
            for ((site, expansion), chosen) in self.others.iter().zip(chosen) {
                chosen.hash_into(&mut masks.blocks);
                masks.expand(expansion, call);
                drop(chosen);
                let corrections: Vec<u64> = session.recv(*site, len).await?;
                self.differences.collect(self.layout, call.start, &masks.words, &corrections, &mut sums);
            }
            self.differences.pass(self.layout, call.clone(), &sums);
        }
        Ok(())
    }
}

/// What a site does with another site's network.
struct Masker<'a> {
    owner: PartyId,
    layout: &'a Layout,
    first: Zeroizing<Vec<u64>>,
    masks: Masks,
    expansion: Expansion,
}

impl<'a> Masker<'a> {
    fn new(session: &Session, owner: PartyId, rows: usize, layout: &'a Layout, prg: &mut Prg) -> Self {
        let mut first = Zeroizing::new(vec![0; rows * layout.lanes()]);
        prg.fill(bytemuck::cast_slice_mut(&mut first));
        let masks = Masks { rows: first.clone() };
        Self { owner, layout, first, masks, expansion: Expansion::new(session, session.me(), owner) }
    }

    /// Goes through the window's switches and sends their corrections.
    async fn offer(&mut self, session: &mut Session, ot: &mut Ot, window: &[Range<usize>]) -> Result<()> {
        let lanes = self.layout.lanes();
        let (mut zero, mut one) = (MaskBuffer::new(longest(window), lanes), MaskBuffer::new(longest(window), lanes));
        for call in window {
            let offered = ot.sender(self.owner).offer(session, call.len().div_ceil(64)).await?;
            offered.hash_into(&mut zero.blocks, &mut one.blocks);
            zero.expand(&self.expansion, call);
            one.expand(&self.expansion, call);
            self.masks.pass(self.layout, call.clone(), &zero.words, &mut one.words);
            session.send(self.owner, &one.words)?;
        }
        Ok(())
    }

    fn into_part(self) -> Part {
        Part::Masking { first: self.first, last: self.masks.rows }
    }
}
