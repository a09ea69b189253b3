//! Differences counted over half the pairs of sites: see [`super::Form::Telescoped`].
//!
//! In the bins of site j the sites i < j are senders, whose bits the two share; its own it knows. For a pair of sets A and B a bin adds
//! [A ≠ B by what the sites up to j say] − [A ≠ B by what those before j say]: over the bins in which a patient is, this telescopes to
//! what all its sites say. Sets that are said are the OR of bits, by products among the sites that hold a share
//! (`correlation/held.rs`); a XOR is no message; ones become numbers among those sites too. In the first site's bins nothing is shared, and it
//! counts alone.
//!
//! OTs for each bin of three sites: fourteen for a set (three in the second site's bins, eleven in the third's), eight of them of a number, whose sums are
//! those of a pair of sets (`correlation/ones.rs`): it takes eight messages of a number's bytes, mostly two. In the other form it is thirty for a set, and
//! three more pairs of sites are matched.

use std::collections::BTreeSet;

use mpc_core::{PartyId, Result, Z32};
use zeroize::Zeroize;

use super::Check;
use crate::additive::demand;
use crate::correlation::held::{Held, Sites, Work};
use crate::correlation::ones::Difference;
use crate::matching::Segment;
use crate::relational::patients::{Flagged, When, padded_bits};

/// By how many patients the sets of each pair differ, those that may be equal behind the others, and last how many the sets have of which it is
/// asked whether they are shown: this site's summands mod 2^32, which no number of bins comes near.
pub(super) async fn counts(
    work: &mut (impl Work + Send),
    check: &Check,
    segments: &[Segment],
    flagged: &[Flagged],
) -> Result<Vec<Z32>> {
    let mut views = said(work, check, segments).await?;
    for Flagged { receiver, set, when, held, bits } in flagged {
        let by = held.clone().unwrap_or_else(|| (0..segments.len()).map(|site| PartyId(site as u8)).collect());
        let view = views.iter_mut().find(|view| (view.receiver, view.when) == (*receiver, *when));
        let place = view.and_then(|view| view.sets.get_mut(*set));
        *place.ok_or_else(|| demand::fault(super::NO_SET))? = Held { by, words: bits.bits().words().to_vec() };
    }
    let pairs = check.ledgered.all(segments.len());
    let sized = check.ledgered.sized();
    let (times, width) = (views.iter().map(|view| view.when).collect::<Vec<_>>(), check.ledgered.sets);
    let of_view = |view: usize| {
        let differ = pairs.iter().map(move |(new, old)| (view * width + new, Some(view * width + old)));
        differ.chain(sized.iter().map(move |set| (view * width + set, None)))
    };
    let differences: Vec<Difference> = (0..views.len()).flat_map(of_view).collect();
    let columns: Vec<Held> = views.into_iter().flat_map(|view| view.sets).collect();
    let mut counts = vec![Z32(0); pairs.len() + sized.len()];
    let mut ones = work.ones(&columns, &differences, check.count_bits()).await?;
    for (when, ones) in times.iter().zip(ones.chunks(counts.len())) {
        for (count, ones) in counts.iter_mut().zip(ones) {
            *count = match when {
                When::After => Z32(count.0.wrapping_add(ones.0)),
                When::Before => Z32(count.0.wrapping_sub(ones.0)),
            };
        }
    }
    ones.zeroize();
    Ok(counts)
}

/// About how many OTs a bin takes at all sites together, for each set and for each pair; the first site's take none. The sums of OTs, which are hashed and
/// answered as OTs are and not extended, count as one each.
pub(super) fn ots(sites: usize) -> (usize, usize) {
    let of_numbers = |receiver: usize| receiver * (receiver + 1);
    let of_set = |receiver: usize| {
        let Ors { by, levels, .. } = Ors::new(receiver);
        let of = |(left, right): &(usize, usize)| by[*left].len() * by[*right].len() - (&by[*left] & &by[*right]).len();
        levels.iter().flatten().map(of).sum::<usize>() + of_numbers(receiver)
    };
    ((1..sites).map(of_set).sum(), (1..sites).map(of_numbers).sum())
}

/// The sets as is known in a receiver's bins at a time.
struct View {
    receiver: PartyId,
    when: When,
    sets: Vec<Held>,
}

/// How what sites say is put together in a receiver's bins: what the senders say two by two, and then what the receiver does.
struct Ors {
    /// Who holds each column: those of the senders, the receiver's own, then what is made of earlier ones.
    by: Vec<Sites>,
    /// Of which columns the next ones are made, level by level.
    levels: Vec<Vec<(usize, usize)>>,
    before: Option<usize>,
    after: usize,
}

impl Ors {
    fn new(receiver: usize) -> Self {
        let party = |site: usize| PartyId(site as u8);
        let by = (0..=receiver).map(|site| BTreeSet::from([party(site), party(receiver)])).collect();
        let mut ors = Self { by, levels: Vec::new(), before: None, after: receiver };
        let mut left: Vec<usize> = (0..receiver).collect();
        while left.len() > 1 {
            ors.levels.push(Vec::new());
            left = left.chunks(2).map(|pair| if let [a, b] = pair { ors.or(*a, *b) } else { pair[0] }).collect();
        }
        if let Some(before) = left.pop() {
            ors.before = Some(before);
            ors.levels.push(Vec::new());
            ors.after = ors.or(before, receiver);
        }
        ors
    }

    /// One more column, at the last level.
    fn or(&mut self, a: usize, b: usize) -> usize {
        self.by.push(&self.by[a] | &self.by[b]);
        self.levels.last_mut().expect("a level was begun").push((a, b));
        self.by.len() - 1
    }
}

/// The sets that are said, as all receivers see them after they say it themselves and before; the others are empty.
async fn said(work: &mut (impl Work + Send), check: &Check, segments: &[Segment]) -> Result<Vec<View>> {
    let sets = check.said_sets();
    let ors: Vec<Ors> = segments.iter().map(|segment| Ors::new(segment.receiver.index())).collect();
    let mut columns = Vec::with_capacity(segments.len());
    for (segment, ors) in segments.iter().zip(&ors) {
        columns.push(entered(check, segment, ors, &sets)?);
    }
    for level in 0..ors.iter().map(|ors| ors.levels.len()).max().unwrap_or(0) {
        let of_segment = |(at, ors): (usize, &Ors)| {
            ors.levels.get(level).into_iter().flatten().map(|job| (at, *job)).collect::<Vec<_>>()
        };
        let jobs: Vec<(usize, (usize, usize))> = ors.iter().enumerate().flat_map(of_segment).collect();
        let pairs: Vec<(&Held, &Held)> =
            jobs.iter().map(|(at, (a, b))| (&columns[*at][*a], &columns[*at][*b])).collect();
        let products = work.and_all(&pairs).await?;
        for ((at, (a, b)), product) in jobs.into_iter().zip(products) {
            let any = columns[at][a].xor(&columns[at][b]).xor(&product);
            columns[at].push(any);
        }
    }
    let mut views = Vec::new();
    for ((segment, ors), columns) in segments.iter().zip(&ors).zip(&columns) {
        let times = [(When::After, Some(ors.after)), (When::Before, ors.before)];
        for (when, column) in times.into_iter().filter_map(|(when, column)| Some((when, column?))) {
            views.push(view(check, segment, when, (&sets, &columns[column])));
        }
    }
    Ok(views)
}

/// What each holder says, of all these sets.
fn entered(check: &Check, segment: &Segment, ors: &Ors, sets: &[usize]) -> Result<Vec<Held>> {
    let of_site = |site: usize| {
        let holder = segment.holders.iter().find(|holder| holder.site.index() == site);
        let holder = holder.ok_or_else(|| demand::fault(NO_HOLDER))?;
        let mut words = Vec::with_capacity(sets.len() * segment.rows.div_ceil(64));
        for set in sets {
            words.extend_from_slice(padded_bits(&holder.bits, check.column(*set, site)).bits().words());
        }
        Ok(Held { by: ors.by[site].clone(), words })
    };
    (0..=segment.receiver.index()).map(of_site).collect()
}

fn view(check: &Check, segment: &Segment, when: When, (sets, all): (&[usize], &Held)) -> View {
    let stride = segment.rows.div_ceil(64);
    let mut of: Vec<Held> = (0..check.ledgered.sets).map(|_| Held::zeros(stride)).collect();
    for (place, set) in sets.iter().enumerate() {
        of[*set] = Held { by: all.by.clone(), words: all.words[place * stride..][..stride].to_vec() };
    }
    View { receiver: segment.receiver, when, sets: of }
}

const NO_HOLDER: &str = "a site that was not matched";
