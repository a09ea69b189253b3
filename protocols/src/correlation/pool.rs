//! The store of correlations: filled from a budget, each taken once.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};

use mpc_core::error::LocalFault;
use mpc_core::{Bits, PartyId, PowerOfTwo, Result, Session, Z64, Z128};
use zeroize::Zeroize;

use super::{
    Budget, Chains, Group, Permutation, Shuffle, WordKind, bit_triples, dabits, edabits, ring_triples, selections,
};
use crate::additive::demand::Link;
use crate::ot::{Extension, Ot};

/// One party's correlations.
#[derive(Default)]
pub(crate) struct Pool {
    /// As the budget says.
    pub chains: Chains,
    extension: Extension,
    ot: Option<Ot>,
    bit_triples: BTreeMap<Group, BitTriples>,
    /// An `OfRing<R>` for each ring, by its name.
    rings: BTreeMap<&'static str, Box<dyn Any + Send>>,
    edabits: BTreeMap<usize, EdaBits>,
    shuffles: VecDeque<(usize, Vec<WordKind>, Shuffle)>,
}

/// What there is for one ring.
#[derive(Default)]
struct OfRing<R: PowerOfTwo> {
    triples: RingTriples<R>,
    dabits: DaBits<R>,
    selections: Selections<R>,
}

impl Pool {
    /// With OTs that were set up before.
    pub fn over(ot: Ot, link: Link) -> Self {
        Self { extension: link.extension(), ot: Some(ot), ..Self::default() }
    }

    /// By which extension OTs are made, if they are not set up yet.
    pub fn choose(&mut self, link: Link) {
        self.extension = link.extension();
    }

    /// Makes everything a budget names, in an order that is the same at all sites. The base OTs are made once, and the first
    /// budget says by which extension.
    pub async fn fill(&mut self, session: &mut Session, budget: &Budget) -> Result<()> {
        self.chains = budget.chains;
        self.extension = budget.extension;
        if budget.is_empty() || !session.is_site() || session.parties().site_count() == 1 {
            return Ok(());
        }
        let mut s = session.step("preprocessing");
        // A member of several groups comes to the later ones when it is done with the others.
        s.wait_longer(budget.busy());
        let mut ot = match self.ot.take() {
            Some(ot) => ot,
            None => Ot::setup_with(&mut s, budget.extension).await?,
        };
        for (group, words) in &budget.bit_triples {
            // Also those outside the group take the step, so that it has the same number at all sites.
            let mut s = s.step("group");
            if group.contains(&s.me()) {
                let into = self.bit_triples.entry(group.clone()).or_default();
                bit_triples::fill(&mut s, &mut ot, group, *words, into).await?;
            }
        }
        self.fill_ring::<Z64>(&mut s, &mut ot, budget).await?;
        self.fill_ring::<Z128>(&mut s, &mut ot, budget).await?;
        for (rows, words) in &budget.shuffles {
            let shuffle = Permutation::shuffle(&mut s, &mut ot, *rows, words).await?;
            self.shuffles.push_back((*rows, words.clone(), shuffle));
        }
        self.ot = Some(ot);
        for (bits, words) in &budget.edabits {
            let made = edabits::make(&mut s, self, *bits, *words).await?;
            self.edabits.entry(*bits).or_default().append(made);
        }
        Ok(())
    }

    /// The OTs with all other sites; the base OTs are made now if no budget had them made.
    pub async fn ot(&mut self, session: &mut Session) -> Result<&mut Ot> {
        let ot = match self.ot.take() {
            Some(ot) => ot,
            None => Ot::setup_with(session, self.extension).await?,
        };
        Ok(self.ot.insert(ot))
    }

    async fn fill_ring<R: PowerOfTwo>(&mut self, s: &mut Session, ot: &mut Ot, budget: &Budget) -> Result<()> {
        let needed = |of: &BTreeMap<&'static str, usize>| of.get(R::NAME).copied().unwrap_or(0);
        let ring = self.of_ring::<R>();
        ring_triples::fill(s, ot, needed(&budget.ring_triples), &mut ring.triples).await?;
        dabits::fill(s, ot, needed(&budget.dabits), &mut ring.dabits).await?;
        selections::fill(s, ot, needed(&budget.selections), &mut ring.selections).await
    }

    fn of_ring<R: PowerOfTwo>(&mut self) -> &mut OfRing<R> {
        let ring = self.rings.entry(R::NAME).or_insert_with(|| Box::new(OfRing::<R>::default()));
        ring.downcast_mut().expect("a ring's name belongs to one type")
    }

    /// Triples for `words` words of bits, of the sites in `group`.
    pub fn bit_triples(&mut self, s: &Session, group: &[PartyId], words: usize) -> Result<BitTriples> {
        let have = self.bit_triples.get_mut(group).filter(|have| have.c.len() >= words);
        have.map(|have| have.take(words)).ok_or_else(|| short(s))
    }

    /// Triples for `len` elements.
    pub fn ring_triples<R: PowerOfTwo>(&mut self, s: &Session, len: usize) -> Result<RingTriples<R>> {
        let have = &mut self.of_ring::<R>().triples;
        if have.c.len() < len { Err(short(s)) } else { Ok(have.take(len)) }
    }

    /// daBits for `words` words.
    pub fn dabits<R: PowerOfTwo>(&mut self, s: &Session, words: usize) -> Result<DaBits<R>> {
        let have = &mut self.of_ring::<R>().dabits;
        if have.bits.len() < words { Err(short(s)) } else { Ok(have.take(words)) }
    }

    /// Selections for `words` words.
    pub fn selections<R: PowerOfTwo>(&mut self, s: &Session, words: usize) -> Result<Selections<R>> {
        let have = &mut self.of_ring::<R>().selections;
        if have.bits.len() < words { Err(short(s)) } else { Ok(have.take(words)) }
    }

    /// Random numbers of `bits` bits for `words` words of rows.
    pub fn edabits(&mut self, s: &Session, bits: usize, words: usize) -> Result<EdaBits> {
        let have = self.edabits.get_mut(&bits).filter(|have| have.numbers.len() >= words * 64);
        have.map(|have| have.take(words)).ok_or_else(|| short(s))
    }

    /// The next shuffle, which must be the one asked for.
    pub fn shuffle(&mut self, s: &Session, rows: usize, words: &[WordKind]) -> Result<Shuffle> {
        let next = self.shuffles.pop_front().filter(|(n, kinds, _)| (*n, kinds.as_slice()) == (rows, words));
        next.map(|(.., shuffle)| shuffle).ok_or_else(|| short(s))
    }
}

fn short(s: &Session) -> mpc_core::Error {
    s.local(LocalFault::Budget)
}

/// Shares of random a, b and a ∧ b, 64 to a word.
#[derive(Default)]
pub(crate) struct BitTriples {
    pub a: Vec<u64>,
    pub b: Vec<u64>,
    pub c: Vec<u64>,
}

impl BitTriples {
    pub fn push(&mut self, a: Vec<u64>, b: Vec<u64>, c: Vec<u64>) {
        append(&mut self.a, a);
        append(&mut self.b, b);
        append(&mut self.c, c);
    }

    fn take(&mut self, words: usize) -> Self {
        Self { a: cut(&mut self.a, words), b: cut(&mut self.b, words), c: cut(&mut self.c, words) }
    }
}

/// Shares of random a, b and a·b.
#[derive(Default)]
pub(crate) struct RingTriples<R: PowerOfTwo> {
    pub a: Vec<R>,
    pub b: Vec<R>,
    pub c: Vec<R>,
}

impl<R: PowerOfTwo> RingTriples<R> {
    pub fn push(&mut self, a: Vec<R>, b: Vec<R>, c: Vec<R>) {
        append_ring(&mut self.a, a);
        append_ring(&mut self.b, b);
        append_ring(&mut self.c, c);
    }

    fn take(&mut self, len: usize) -> Self {
        Self { a: cut_ring(&mut self.a, len), b: cut_ring(&mut self.b, len), c: cut_ring(&mut self.c, len) }
    }
}

/// Shares of random bits, as bits (64 to a word) and as numbers.
#[derive(Default)]
pub(crate) struct DaBits<R: PowerOfTwo> {
    pub bits: Vec<u64>,
    pub numbers: Vec<R>,
}

impl<R: PowerOfTwo> DaBits<R> {
    pub fn push(&mut self, bits: Bits, numbers: Vec<R>) {
        append(&mut self.bits, bits.into_words());
        append_ring(&mut self.numbers, numbers);
    }

    fn take(&mut self, words: usize) -> Self {
        Self { bits: cut(&mut self.bits, words), numbers: cut_ring(&mut self.numbers, words * 64) }
    }
}

/// Shares of random bits as bits and as numbers, of random y, and of bit·y.
#[derive(Default)]
pub(crate) struct Selections<R: PowerOfTwo> {
    pub bits: Vec<u64>,
    pub numbers: Vec<R>,
    pub y: Vec<R>,
    pub products: Vec<R>,
}

impl<R: PowerOfTwo> Selections<R> {
    pub fn push(&mut self, bits: Bits, numbers: Vec<R>, y: Vec<R>, products: Vec<R>) {
        append(&mut self.bits, bits.into_words());
        append_ring(&mut self.numbers, numbers);
        append_ring(&mut self.y, y);
        append_ring(&mut self.products, products);
    }

    fn take(&mut self, words: usize) -> Self {
        Self {
            bits: cut(&mut self.bits, words),
            numbers: cut_ring(&mut self.numbers, words * 64),
            y: cut_ring(&mut self.y, words * 64),
            products: cut_ring(&mut self.products, words * 64),
        }
    }
}

/// Shares of random numbers of some bits, as numbers and as bits: `planes[j]` holds bit j of each.
#[derive(Default)]
pub(crate) struct EdaBits {
    pub numbers: Vec<Z64>,
    pub planes: Vec<Vec<u64>>,
}

impl EdaBits {
    fn append(&mut self, mut more: EdaBits) {
        append_ring(&mut self.numbers, std::mem::take(&mut more.numbers));
        self.planes.resize_with(more.planes.len(), Vec::new);
        let planes = std::mem::take(&mut more.planes);
        self.planes.iter_mut().zip(planes).for_each(|(plane, more)| append(plane, more));
    }

    fn take(&mut self, words: usize) -> Self {
        Self {
            numbers: cut_ring(&mut self.numbers, words * 64),
            planes: self.planes.iter_mut().map(|plane| cut(plane, words)).collect(),
        }
    }
}

/// Moves a batch in. A vector that grows would leave an unwiped copy behind, so it grows by hand.
fn append(to: &mut Vec<u64>, mut more: Vec<u64>) {
    if to.is_empty() {
        *to = more;
        return;
    }
    if to.capacity() - to.len() < more.len() {
        let mut larger = Vec::with_capacity(2 * (to.len() + more.len()));
        larger.extend_from_slice(to);
        to.zeroize();
        *to = larger;
    }
    to.extend_from_slice(&more);
    more.zeroize();
}

fn append_ring<R: PowerOfTwo>(to: &mut Vec<R>, mut more: Vec<R>) {
    if to.is_empty() {
        *to = more;
        return;
    }
    if to.capacity() - to.len() < more.len() {
        let mut larger = Vec::with_capacity(2 * (to.len() + more.len()));
        larger.extend_from_slice(to);
        R::wipe(to);
        *to = larger;
    }
    to.extend_from_slice(&more);
    R::wipe(&mut more);
}

/// Takes the last ones out, and wipes what it leaves.
fn cut(from: &mut Vec<u64>, count: usize) -> Vec<u64> {
    let at = from.len() - count;
    if at == 0 {
        return std::mem::take(from);
    }
    let taken = from[at..].to_vec();
    from[at..].zeroize();
    from.truncate(at);
    taken
}

fn cut_ring<R: PowerOfTwo>(from: &mut Vec<R>, count: usize) -> Vec<R> {
    let at = from.len() - count;
    if at == 0 {
        return std::mem::take(from);
    }
    let taken = from[at..].to_vec();
    R::wipe(&mut from[at..]);
    from.truncate(at);
    taken
}

macro_rules! wiped {
    ($name:ident: $($words:ident),*; $($columns:ident),*) => {
        impl<R: PowerOfTwo> Drop for $name<R> {
            fn drop(&mut self) {
                $(self.$words.zeroize();)*
                $(R::wipe(&mut self.$columns);)*
            }
        }
    };
}

wiped!(RingTriples: ; a, b, c);
wiped!(DaBits: bits; numbers);
wiped!(Selections: bits; numbers, y, products);

impl Drop for BitTriples {
    fn drop(&mut self) {
        [&mut self.a, &mut self.b, &mut self.c].into_iter().for_each(Zeroize::zeroize);
    }
}

impl Drop for EdaBits {
    fn drop(&mut self) {
        self.numbers.zeroize();
        self.planes.iter_mut().for_each(Zeroize::zeroize);
    }
}
