//! Counting shared bits that stand 64 to a word, side by side for many instances.

use mpc_core::{Bits, Result};
use zeroize::Zeroizing;

use crate::engine::Engine;
use crate::share::BitShare;

/// An engine's AND for many pairs at once, and how many words each of them had.
pub(super) struct Ands<'e, E> {
    pub e: &'e mut E,
    pub words: Vec<usize>,
}

impl<'e, E: Engine> Ands<'e, E> {
    pub fn new(e: &'e mut E) -> Self {
        Self { e, words: Vec::new() }
    }

    /// The products of all pairs, in one `and`.
    async fn all(&mut self, pairs: &[(BitShare, BitShare)]) -> Result<Vec<BitShare>> {
        let joined = |of: fn(&(BitShare, BitShare)) -> &BitShare| {
            let words: Vec<u64> = pairs.iter().flat_map(|pair| of(pair).bits().words().iter().copied()).collect();
            BitShare::new(Bits::from_words(64 * words.len(), 1, words))
        };
        let (left, right) = (joined(|pair| &pair.0), joined(|pair| &pair.1));
        self.words.push(left.bits().words().len());
        let product = self.e.and(&left, &right).await?;
        let mut rest = product.bits().words();
        let cut = |(a, _): &(BitShare, BitShare)| {
            let (own, others) = rest.split_at(a.bits().words().len());
            rest = others;
            BitShare::new(Bits::from_words(a.rows(), a.width(), own.to_vec()))
        };
        Ok(pairs.iter().map(cut).collect())
    }
}

/// The product of each list, none of them empty: log2 of the longest rounds, one AND less than there are factors.
pub(super) async fn products<E: Engine>(
    ands: &mut Ands<'_, E>,
    mut lists: Vec<Vec<BitShare>>,
) -> Result<Vec<BitShare>> {
    while lists.iter().any(|list| list.len() > 1) {
        let counts: Vec<usize> = lists.iter().map(|list| list.len() / 2).collect();
        let mut pairs = Vec::new();
        for (list, count) in lists.iter_mut().zip(&counts) {
            // What stays in a list is its odd factor.
            pairs.extend((0..*count).filter_map(|_| list.pop().zip(list.pop())));
        }
        let mut done = ands.all(&pairs).await?.into_iter();
        lists.iter_mut().zip(counts).for_each(|(list, count)| list.extend(done.by_ref().take(count)));
    }
    Ok(lists.into_iter().flatten().collect())
}

/// One bit for each instance: has it at least so many ones? In every word, rows 64·i to 64·i + 63 are instance i's. About one AND for
/// each bit; log1.5 of the number of words rounds, then three for each halving of 64 lanes, and one for each bit of the count.
pub(super) async fn at_least<E: Engine>(
    ands: &mut Ands<'_, E>,
    words: Vec<BitShare>,
    instances: usize,
    least: u64,
) -> Result<BitShare> {
    let most = 64 * words.len() as u64;
    if most < least {
        return Ok(BitShare::zeros(instances, 1));
    }
    // The count and this make 2^top or more if the count is enough; 2^(top + 1) they never make.
    let top = (u64::BITS - most.leading_zeros()) as usize;
    let more = (1 << top) - least;
    let mut planes = Planes::new(words, top, instances);
    loop {
        let jobs = planes.full();
        if !jobs.is_empty() {
            planes.add(ands, jobs).await?;
        } else if planes.lanes > 1 {
            planes.fold();
            if planes.lanes == 1 {
                planes.constant(ands.e, more);
            }
        } else if let Some(job) = planes.half() {
            planes.add(ands, vec![job]).await?;
        } else {
            return Ok(planes.top());
        }
    }
}

/// Planes of bits, by the power of two that a one stands for; every instance has so many lanes.
struct Planes {
    by_weight: Vec<Vec<BitShare>>,
    lanes: usize,
    instances: usize,
}

/// Two or three planes of a weight.
struct Job {
    weight: usize,
    a: BitShare,
    b: BitShare,
    /// None is zero.
    c: Option<BitShare>,
}

impl Planes {
    fn new(words: Vec<BitShare>, top: usize, instances: usize) -> Self {
        let mut by_weight: Vec<Vec<BitShare>> = (0..=top).map(|_| Vec::new()).collect();
        by_weight[0] = words;
        Self { by_weight, lanes: 64, instances }
    }

    /// All weights' planes by threes. Of the top only the parity is asked for, which needs no adder.
    fn full(&mut self) -> Vec<Job> {
        let top = self.by_weight.len() - 1;
        let mut jobs = Vec::new();
        for (weight, planes) in self.by_weight[..top].iter_mut().enumerate() {
            while planes.len() >= 3
                && let (Some(a), Some(b)) = (planes.pop(), planes.pop())
            {
                jobs.push(Job { weight, a, b, c: planes.pop() });
            }
        }
        jobs
    }

    /// The two planes of the lowest weight that has two.
    fn half(&mut self) -> Option<Job> {
        let top = self.by_weight.len() - 1;
        let (weight, planes) = self.by_weight[..top].iter_mut().enumerate().find(|(_, planes)| planes.len() == 2)?;
        let (a, b) = planes.pop().zip(planes.pop())?;
        Some(Job { weight, a, b, c: None })
    }

    /// Adders side by side: the sum stays, the carry (a ⊕ c) ∧ (b ⊕ c) ⊕ c goes one up.
    async fn add<E: Engine>(&mut self, ands: &mut Ands<'_, E>, jobs: Vec<Job>) -> Result<()> {
        let with = |x: &BitShare, c: &Option<BitShare>| c.as_ref().map_or_else(|| x.plane(0), |c| x.xor(c));
        let pairs: Vec<_> = jobs.iter().map(|job| (with(&job.a, &job.c), with(&job.b, &job.c))).collect();
        let products = ands.all(&pairs).await?;
        for (Job { weight, a, b, c }, product) in jobs.into_iter().zip(products) {
            self.by_weight[weight].push(with(&a.xor(&b), &c));
            self.by_weight[weight + 1].push(with(&product, &c));
        }
        Ok(())
    }

    /// The upper half of every instance's lanes becomes planes of their own.
    fn fold(&mut self) {
        self.lanes /= 2;
        let (half, rows) = (self.lanes, self.instances * self.lanes);
        for planes in &mut self.by_weight {
            *planes = planes.iter().flat_map(|plane| [0, half].map(|shift| halves(plane, half, shift, rows))).collect();
        }
    }

    /// Adds a number everybody knows to every instance's count, which has one lane.
    fn constant<E: Engine>(&mut self, e: &mut E, number: u64) {
        for (_, planes) in self.by_weight.iter_mut().enumerate().filter(|(bit, _)| number >> bit & 1 == 1) {
            planes.push(e.not(&BitShare::zeros(self.instances, 1)));
        }
    }

    /// The top bit of every sum.
    fn top(self) -> BitShare {
        let none = BitShare::zeros(self.instances, 1);
        self.by_weight.last().into_iter().flatten().fold(none, |sum, plane| sum.xor(plane))
    }
}

/// Of every 2·half bits, `half` from bit `shift` on.
fn halves(plane: &BitShare, half: usize, shift: usize, rows: usize) -> BitShare {
    let squeezed = |words: &[u64]| {
        let part = |at: usize| words.get(at).map_or(0, |word| squeeze(word >> shift, half));
        part(0) | part(1) << 32
    };
    BitShare::new(Bits::from_words(rows, 1, plane.bits().words().chunks(2).map(squeezed).collect()))
}

/// The low half of every 2·half bits, one after the other.
fn squeeze(word: u64, half: usize) -> u64 {
    let low = |bits: usize| u64::MAX / ((1 << bits) + 1);
    let (mut word, mut bits) = (word & low(half), half);
    while bits < 32 {
        word = (word | word >> bits) & low(2 * bits);
        bits *= 2;
    }
    word
}

/// One bit: is none of these 1? log2 of the rows rounds, one AND a row.
pub(super) async fn none<E: Engine>(ands: &mut Ands<'_, E>, bits: &BitShare) -> Result<BitShare> {
    let (rows, mut words) = (bits.rows(), Zeroizing::new(bits.bits().words().to_vec()));
    if rows % 64 != 0
        && let Some(last) = words.last_mut()
    {
        *last &= (1 << (rows % 64)) - 1;
    }
    let factor = |word: u64| BitShare::new(Bits::from_words(64, 1, vec![word]));
    let factors = words.iter().map(|word| ands.e.not(&factor(*word))).collect();
    let mut all = products(ands, vec![factors]).await?.remove(0);
    for half in [32, 16, 8, 4, 2, 1] {
        let [low, high] = [0, half].map(|shift| halves(&all, half, shift, half));
        all = ands.all(&[(low, high)]).await?.remove(0);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squeezed_are_the_low_halves() {
        let word = 0x0123_4567_89ab_cdef_u64;
        assert_eq!(squeeze(word, 32), 0x89ab_cdef);
        assert_eq!(squeeze(word, 16), 0x4567_cdef);
        assert_eq!(squeeze(word, 8), 0x2367_abef);
        assert_eq!(squeeze(word, 4), 0x1357_9bdf);
        let bits = (0..32).map(|at| (word >> (2 * at) & 1) << at).sum::<u64>();
        assert_eq!(squeeze(word, 1), bits);
    }
}
