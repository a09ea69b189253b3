//! Words of a row: how each is shared, and rows of them as 64-bit lanes.

use zeroize::Zeroizing;

/// How one word of every row is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WordKind {
    /// 64 bits that XOR to the word.
    Xor,
    /// Summands mod 2^64.
    Add,
    /// 32 bits that XOR to the word. Two 32-bit words of a row share 8 bytes; a row with one of them left over wastes 4.
    Xor32,
    /// Summands mod 2^32.
    Add32,
}

impl WordKind {
    fn is_narrow(self) -> bool {
        matches!(self, Self::Xor32 | Self::Add32)
    }

    /// The bits of a word that carry into the next.
    fn carries(self) -> u64 {
        match self {
            Self::Xor | Self::Xor32 => 0,
            Self::Add => u64::MAX >> 1,
            Self::Add32 => u64::from(u32::MAX >> 1),
        }
    }
}

/// Where the words of a row are in its lanes.
///
/// All kinds are added by one rule: a sum of 64 bits whose carries stop at the bits that are 0 in a mask. A word of XORed bits
/// is one where every carry stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Lane and shift of each word, and the mask of its bits.
    slots: Vec<(usize, u32, u64)>,
    /// For each lane the bits that carry.
    carries: Vec<u64>,
}

impl Layout {
    /// Words in order; 32-bit words two by two in the lane of the first.
    pub fn new(words: &[WordKind]) -> Self {
        let (mut slots, mut carries) = (Vec::new(), Vec::<u64>::new());
        let mut half_free = None;
        for word in words {
            let narrow = word.is_narrow();
            let (lane, shift) = match half_free.take_if(|_| narrow) {
                Some(lane) => (lane, 32),
                None => {
                    carries.push(0);
                    (carries.len() - 1, 0)
                }
            };
            if narrow && shift == 0 {
                half_free = Some(lane);
            }
            carries[lane] |= word.carries() << shift;
            slots.push((lane, shift, if narrow { u64::from(u32::MAX) } else { u64::MAX }));
        }
        Self { slots, carries }
    }

    /// Words of a row.
    pub fn words(&self) -> usize {
        self.slots.len()
    }

    /// 8-byte lanes of a row.
    pub fn lanes(&self) -> usize {
        self.carries.len()
    }

    pub(crate) fn carries(&self) -> &[u64] {
        &self.carries
    }

    fn is_identity(&self) -> bool {
        self.slots.len() == self.carries.len()
    }

    /// Rows of words as rows of lanes; bits beyond a word's width are dropped.
    pub(super) fn pack(&self, words: Zeroizing<Vec<u64>>) -> Zeroizing<Vec<u64>> {
        if self.is_identity() {
            // A 32-bit word alone in its lane has random upper bits, which `unpack` drops.
            return words;
        }
        let rows = words.len() / self.words();
        let mut lanes = Zeroizing::new(vec![0; rows * self.lanes()]);
        for (words, lanes) in words.chunks_exact(self.words()).zip(lanes.chunks_exact_mut(self.lanes())) {
            for (word, (lane, shift, mask)) in words.iter().zip(&self.slots) {
                lanes[*lane] |= (word & mask) << shift;
            }
        }
        lanes
    }

    /// Rows of lanes as rows of words.
    pub(super) fn unpack(&self, mut lanes: Zeroizing<Vec<u64>>) -> Vec<u64> {
        if self.slots.iter().all(|(_, _, mask)| *mask == u64::MAX) {
            return std::mem::take(&mut lanes);
        }
        let mut words = vec![0; lanes.len() / self.lanes() * self.words()];
        for (words, lanes) in words.chunks_exact_mut(self.words()).zip(lanes.chunks_exact(self.lanes())) {
            for (word, (lane, shift, mask)) in words.iter_mut().zip(&self.slots) {
                *word = lanes[*lane] >> shift & mask;
            }
        }
        words
    }

    /// `acc += values`, row by row.
    pub(crate) fn add_to(&self, acc: &mut [u64], values: &[u64]) {
        self.combine(acc, values, add);
    }

    /// `acc -= values`, row by row.
    pub(crate) fn sub_from(&self, acc: &mut [u64], values: &[u64]) {
        self.combine(acc, values, sub);
    }

    #[inline(always)]
    fn combine(&self, acc: &mut [u64], values: &[u64], operation: impl Fn(u64, u64, u64) -> u64) {
        let lanes = self.lanes().max(1);
        for (acc, values) in acc.chunks_exact_mut(lanes).zip(values.chunks_exact(lanes)) {
            for ((a, v), carries) in acc.iter_mut().zip(values).zip(&self.carries) {
                *a = operation(*a, *v, *carries);
            }
        }
    }
}

/// a + b, carrying out of the bits of `carries` only.
#[inline(always)]
pub(super) fn add(a: u64, b: u64, carries: u64) -> u64 {
    ((a & carries) + (b & carries)) ^ ((a ^ b) & !carries)
}

/// a − b, borrowing as [`add`] carries.
#[inline(always)]
pub(crate) fn sub(a: u64, b: u64, carries: u64) -> u64 {
    ((a | !carries) - (b & carries)) ^ ((a ^ !b) & !carries)
}

#[cfg(test)]
mod tests {
    use WordKind::*;

    use super::*;

    const A: u64 = 0xfedc_ba98_89ab_cdef;
    const B: u64 = 0x8765_4321_f0f1_f2f3;

    #[test]
    fn one_rule_adds_and_subtracts_every_kind() {
        for (a, b) in [(A, B), (B, A), (0, B), (u64::MAX, 1), (0, 1), (A, 0), (1 << 31, 1 << 31)] {
            assert_eq!((add(a, b, Xor.carries()), sub(a, b, Xor.carries())), (a ^ b, a ^ b));
            assert_eq!(add(a, b, Add.carries()), a.wrapping_add(b));
            assert_eq!(sub(a, b, Add.carries()), a.wrapping_sub(b));
            let mixed = Layout::new(&[Add32, Xor32]);
            let (low, high) = (a as u32, (a ^ b) >> 32 << 32);
            assert_eq!(add(a, b, mixed.carries[0]), high | u64::from(low.wrapping_add(b as u32)));
            assert_eq!(sub(a, b, mixed.carries[0]), high | u64::from(low.wrapping_sub(b as u32)));
            let twice = Layout::new(&[Add32, Add32]);
            let halves = |f: fn(u32, u32) -> u32| {
                u64::from(f((a >> 32) as u32, (b >> 32) as u32)) << 32 | u64::from(f(a as u32, b as u32))
            };
            assert_eq!(add(a, b, twice.carries[0]), halves(u32::wrapping_add));
            assert_eq!(sub(a, b, twice.carries[0]), halves(u32::wrapping_sub));
        }
    }

    #[test]
    fn narrow_words_share_a_lane_and_come_back_at_their_width() {
        for (words, lanes) in [
            (&[Xor, Add][..], 2),
            (&[Xor32, Add32], 1),
            (&[Add32, Xor, Xor32, Add], 3),
            (&[Add32, Add32, Add32], 2),
            (&[Xor32], 1),
            (&[], 0),
        ] {
            let layout = Layout::new(words);
            assert_eq!((layout.words(), layout.lanes()), (words.len(), lanes));
            let rows: Vec<u64> = (1..=3 * words.len() as u64).map(|i| i.wrapping_mul(A)).collect();
            let width =
                |(i, v): (usize, &u64)| if words[i % words.len()].is_narrow() { u64::from(*v as u32) } else { *v };
            let expected: Vec<u64> = rows.iter().enumerate().map(width).collect();
            assert_eq!(layout.unpack(layout.pack(Zeroizing::new(rows))), expected);
        }
    }
}
