//! The sender's tags, sorted, and what the receiver finds among them.
//!
//! A tag is the upper bits of a pseudo-random value. Its first u = ⌈log2 n⌉ bits are its bucket. Sorted tags travel as a bit string in
//! which bucket b of the i-th tag sets bit b + i, and as the remaining bits of each tag, packed (Elias, 1974; Fano, 1971): two
//! to three bits for a tag beside its remaining ones, less than a bit above what a sorted list must take. The lengths are public.
//!
//! Values are pseudo-random and everything here is local: time and memory access depend on them.

use mpc_core::Block;
use zeroize::Zeroizing;

use super::bits::{Reader, Writer};
use crate::parameters::psi::tag_bits;

/// The public lengths of a list of tags.
#[derive(Debug, Clone, Copy)]
pub(super) struct TagShape {
    /// Tags, one for each of the sender's items.
    tags: usize,
    bucket_bits: u32,
    /// Bits of a tag after its bucket; at most 64.
    rest_bits: u32,
}

/// Sorted tags as they travel.
pub(super) struct Tags {
    pub(super) buckets: Vec<u64>,
    pub(super) rests: Vec<u64>,
    /// Are two of them equal? Only the sender knows.
    pub(super) repeated: bool,
}

/// Buckets are handled 2^10 at a time: their tags, places and the receiver's values of them stay in the first-level cache.
const PART_BITS: u32 = 10;

impl TagShape {
    /// Between so many items of a sender and of a receiver, both at most 2^24 and not 0.
    pub(super) fn new(sender: usize, receiver: usize) -> Self {
        let bucket_bits = sender.next_power_of_two().ilog2();
        Self { tags: sender, bucket_bits, rest_bits: tag_bits(sender, receiver) - bucket_bits }
    }

    /// Words of the bit string of buckets.
    pub(super) fn bucket_words(&self) -> usize {
        (self.tags + (1 << self.bucket_bits)).div_ceil(64)
    }

    /// Words of the packed rests.
    pub(super) fn rest_words(&self) -> usize {
        (self.tags * self.rest_bits as usize).div_ceil(64)
    }

    fn tag(&self, value: Block) -> Tag {
        let rest = (value.0 << self.bucket_bits) >> (128 - self.rest_bits);
        Tag { bucket: upper(value, self.bucket_bits), rest: rest as u64 }
    }

    fn parts(&self) -> usize {
        1 << self.part_bits()
    }

    fn part_bits(&self) -> u32 {
        self.bucket_bits.saturating_sub(PART_BITS)
    }

    fn part_buckets(&self) -> usize {
        1 << (self.bucket_bits - self.part_bits())
    }

    /// Values and their places in order of parts, and where each part starts.
    fn partition(&self, values: &[Block]) -> (Zeroizing<Vec<Placed>>, Vec<usize>) {
        let mut starts = vec![0; self.parts() + 1];
        values.iter().for_each(|value| starts[upper(*value, self.part_bits()) as usize + 1] += 1);
        (1..starts.len()).for_each(|part| starts[part] += starts[part - 1]);
        let mut next = starts.clone();
        let mut placed = Zeroizing::new(vec![Placed::default(); values.len()]);
        for (place, value) in (0..).zip(values) {
            let next = &mut next[upper(*value, self.part_bits()) as usize];
            placed[*next] = Placed { tag: self.tag(*value), place };
            *next += 1;
        }
        (placed, starts)
    }

    /// The tags of these values, sorted: nothing of the values' order is left.
    pub(super) fn sorted(&self, values: &[Block]) -> Tags {
        assert_eq!(values.len(), self.tags, "one value for each tag");
        let (placed, starts) = self.partition(values);
        let mut buckets = vec![0; self.bucket_words()];
        let mut rests = Writer::new(self.rest_words());
        let mut sorter = Sorter::default();
        let (mut index, mut repeated) = (0, false);
        for part in starts.windows(2) {
            sorter.sort(&placed[part[0]..part[1]], self.part_buckets());
            repeated |= sorter.tags.windows(2).any(|pair| pair[0] == pair[1]);
            for tag in sorter.tags.iter() {
                let bit = tag.bucket as usize + index;
                buckets[bit / 64] |= 1 << (bit % 64);
                rests.push(tag.rest, self.rest_bits);
                index += 1;
            }
        }
        Tags { buckets, rests: rests.finish(), repeated }
    }

    /// What the receiver asks for, which may be made before the list is there.
    pub(super) fn asked(&self, values: &[Block]) -> Asked {
        let (placed, starts) = self.partition(values);
        Asked { shape: *self, placed, starts }
    }
}

/// The receiver's values in order of parts.
pub(super) struct Asked {
    shape: TagShape,
    placed: Zeroizing<Vec<Placed>>,
    starts: Vec<usize>,
}

impl Asked {
    /// Where in the values a tag of the list is met, ascending. None when the list is not one of this shape.
    pub(super) fn matches(&self, tags: &Tags) -> Option<Vec<usize>> {
        let mut list = List::new(&self.shape, tags)?;
        let mut met = Zeroizing::new(vec![false; self.placed.len()]);
        for part in self.starts.windows(2) {
            list.next_part();
            for Placed { tag, place } in &self.placed[part[0]..part[1]] {
                met[*place as usize] = list.has(*tag);
            }
        }
        Some((0..met.len()).filter(|place| met[*place]).collect())
    }
}

#[inline(always)]
fn upper(value: Block, bits: u32) -> u32 {
    ((value.0 >> 96) as u32).checked_shr(32 - bits).unwrap_or(0)
}

#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, zeroize::Zeroize)]
struct Tag {
    bucket: u32,
    rest: u64,
}

#[derive(Clone, Copy, Default, zeroize::Zeroize)]
struct Placed {
    tag: Tag,
    place: u32,
}

/// Sorts one part after the other by counting; tags of one bucket are few.
#[derive(Default)]
struct Sorter {
    tags: Zeroizing<Vec<Tag>>,
    ends: Vec<usize>,
}

impl Sorter {
    fn sort(&mut self, part: &[Placed], buckets: usize) {
        let local = |tag: &Tag| tag.bucket as usize % buckets;
        self.ends.clear();
        self.ends.resize(buckets + 1, 0);
        part.iter().for_each(|placed| self.ends[local(&placed.tag) + 1] += 1);
        (1..=buckets).for_each(|bucket| self.ends[bucket] += self.ends[bucket - 1]);
        self.tags.resize(part.len(), Tag::default());
        for placed in part {
            let end = &mut self.ends[local(&placed.tag)];
            self.tags[*end] = placed.tag;
            *end += 1;
        }
        let mut start = 0;
        for end in &self.ends[..buckets] {
            if end - start > 1 {
                self.tags[start..*end].sort_unstable();
            }
            start = *end;
        }
    }
}

/// A received list, one part at a time.
struct List<'a> {
    shape: &'a TagShape,
    ones: Ones<'a>,
    rests: Reader<'a>,
    /// The first tag that is not of the parts so far, if there is one.
    pending: Option<u32>,
    /// Buckets before this part.
    first: u32,
    /// Where each bucket of the part starts among its tags, and where the last one ends.
    starts: Vec<u32>,
    part: Vec<u64>,
}

impl<'a> List<'a> {
    /// None when not exactly the list's tags are set, or one beyond the last bucket.
    fn new(shape: &'a TagShape, tags: &'a Tags) -> Option<Self> {
        let ones: usize = tags.buckets.iter().map(|word| word.count_ones() as usize).sum();
        let last = Ones::new(&tags.buckets).last_bucket();
        if ones != shape.tags || last >= 1 << shape.bucket_bits {
            return None;
        }
        let mut ones = Ones::new(&tags.buckets);
        let pending = ones.next();
        let (starts, part) = (vec![0; shape.part_buckets() + 1], Vec::new());
        Some(Self { shape, ones, rests: Reader::new(&tags.rests), pending, first: 0, starts, part })
    }

    fn next_part(&mut self) {
        let end = self.first + self.shape.part_buckets() as u32;
        self.starts.fill(0);
        self.part.clear();
        while let Some(bucket) = self.pending.filter(|bucket| *bucket < end) {
            self.part.push(self.rests.take(self.shape.rest_bits));
            self.starts[(bucket - self.first) as usize + 1] = self.part.len() as u32;
            self.pending = self.ones.next();
        }
        // An empty bucket ends where the one before it does.
        let mut end_before = 0;
        for end in &mut self.starts {
            end_before = end_before.max(*end);
            *end = end_before;
        }
        self.first = end;
    }

    /// Is this tag, of the current part, in the list?
    #[inline(always)]
    fn has(&self, tag: Tag) -> bool {
        let bucket = tag.bucket as usize % self.shape.part_buckets();
        let bucket = self.starts[bucket] as usize..self.starts[bucket + 1] as usize;
        self.part[bucket].contains(&tag.rest)
    }
}

/// The buckets of a bit string, one for each bit that is set.
struct Ones<'a> {
    words: &'a [u64],
    word: u64,
    next_word: usize,
    found: u32,
}

impl<'a> Ones<'a> {
    fn new(words: &'a [u64]) -> Self {
        Self { words, word: 0, next_word: 0, found: 0 }
    }

    fn last_bucket(&self) -> u32 {
        let Some(last) = self.words.iter().rposition(|word| *word != 0) else { return 0 };
        let ones: u32 = self.words.iter().map(|word| word.count_ones()).sum();
        (64 * last) as u32 + self.words[last].ilog2() + 1 - ones
    }
}

impl Iterator for Ones<'_> {
    type Item = u32;

    #[inline(always)]
    fn next(&mut self) -> Option<u32> {
        while self.word == 0 {
            self.word = *self.words.get(self.next_word)?;
            self.next_word += 1;
        }
        let bit = 64 * (self.next_word as u32 - 1) + self.word.trailing_zeros();
        self.word &= self.word - 1;
        let bucket = bit - self.found;
        self.found += 1;
        Some(bucket)
    }
}

#[cfg(test)]
mod tests;
