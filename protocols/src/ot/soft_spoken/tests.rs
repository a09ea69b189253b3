//! Sums of OTs: OTs of the sums of choices, under masks that nothing else has.

use std::collections::BTreeSet;

use mpc_core::world::World;
use mpc_core::{Block, Result, Session};

use super::super::{Extension, Ot};
use super::*;
use crate::parameters::Code;

const SEED: u64 = 20_261_123;

/// Words of a part, of which there are three.
const WORDS: usize = 2;
const CHOICES: [u64; 3 * WORDS] =
    [0, u64::MAX, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, 0x5555_aaaa_3333_cccc, 0x8000_0000_0000_0001];

fn part(at: usize) -> Range<usize> {
    64 * WORDS * at..64 * WORDS * (at + 1)
}

/// What is summed up; the last two are the same, and so are their rows.
fn sums() -> [Parts; 6] {
    [(part(0), None), (part(1), None), (part(0), Some(part(1))), (part(1), Some(part(2)))]
        .into_iter()
        .chain([(part(0), Some(part(2))), (part(0), Some(part(2)))])
        .collect::<Vec<_>>()
        .try_into()
        .unwrap()
}

/// What site 1 chose of each sum, or what site 0 offers: for choice zero, for choice one.
type Masks = Vec<Vec<Block>>;

/// The tweaks of each sum with others between them, or the same for all of them.
#[derive(Clone, Copy)]
enum Numbered {
    AsTaken,
    Planted,
}

async fn masks(session: &mut Session, extension: Extension, numbered: Numbered) -> Result<Masks> {
    let mut ot = Ot::setup_with(session, extension).await?;
    let others = session.other_sites();
    ot.prepare(session, &others, 2 * 64 * CHOICES.len()).await?;
    let (with, is_receiver) = (others[0], session.me().0 == 1);
    let mut all = Masks::new();
    let tweaks = |ot: &mut Ot| match is_receiver {
        true => ot.receiver(with).tweaks(WORDS * sums().len()),
        false => ot.sender(with).tweaks(WORDS * sums().len()),
    };
    // Two calls: their sums have nothing in common either.
    for _ in 0..2 {
        let mut call = session.step("call");
        let mut numbers;
        if is_receiver {
            let received = ot.receiver(with).choose(&mut call, &CHOICES)?;
            numbers = tweaks(&mut ot);
            let mut joined = received.none();
            for sum in sums() {
                let mut chosen = Vec::new();
                joined.join(&received, &sum, &mut numbers);
                joined.hash_into(&mut chosen);
                all.push(chosen);
                replant(&mut numbers, numbered);
            }
        } else {
            let offered = ot.sender(with).offer(&mut call, CHOICES.len()).await?;
            numbers = tweaks(&mut ot);
            let mut joined = offered.none();
            for sum in sums() {
                let (mut zero, mut one) = (Vec::new(), Vec::new());
                joined.join(&offered, &sum, &mut numbers);
                joined.hash_into(&mut zero, &mut one);
                all.extend([zero, one]);
                replant(&mut numbers, numbered);
            }
        }
    }
    Ok(all)
}

fn replant(numbers: &mut Tweaks, numbered: Numbered) {
    if matches!(numbered, Numbered::Planted) {
        numbers.0.start -= 64 * WORDS as u64;
    }
}

/// The receiver's and the sender's.
fn run(extension: Extension, numbered: Numbered) -> [Masks; 2] {
    println!("seed {SEED}, {extension:?}");
    let program = move |mut session: Session, (): ()| async move {
        let result = masks(&mut session, extension, numbered).await;
        (session, result)
    };
    let mut outcomes = World::new(2).seed(SEED).run(program, vec![(); 2]).into_iter();
    let [sender, receiver] = [(); 2].map(|()| outcomes.next().unwrap().result.expect("both are honest"));
    [receiver, sender]
}

fn extensions() -> [Extension; 2] {
    [Extension::SoftSpoken, Extension::Silent { batch: 1 << 14, code: Code::ExpandConvolute7 }]
}

/// Masks that occur more than once.
fn repeated(masks: &Masks) -> usize {
    let all = || masks.iter().flatten().map(|mask| mask.0);
    all().count() - all().collect::<BTreeSet<u128>>().len()
}

#[test]
fn a_sum_of_ots_is_an_ot_of_the_sum_of_their_choices() {
    for extension in extensions() {
        let [chosen, offered] = run(extension, Numbered::AsTaken);
        let bit = |row: usize| CHOICES[row / 64] >> (row % 64) & 1;
        for (at, chosen) in chosen.iter().enumerate() {
            let (a, b) = &sums()[at % sums().len()];
            for (row, mask) in chosen.iter().enumerate() {
                let choice = (bit(a.start + row) ^ b.as_ref().map_or(0, |b| bit(b.start + row))) as usize;
                let masks = [0, 1].map(|choice| offered[2 * at + choice][row]);
                assert!(*mask == masks[choice] && *mask != masks[1 - choice], "row {row} of sum {at}");
            }
        }
    }
}

#[test]
fn no_mask_serves_two_sums_even_of_the_same_ots() {
    for extension in extensions() {
        let [chosen, offered] = run(extension, Numbered::AsTaken);
        assert_eq!([repeated(&chosen), repeated(&offered)], [0, 0]);
        // With the numbers of another sum the last two of each call would have the same masks.
        let [chosen, offered] = run(extension, Numbered::Planted);
        let same = 2 * 64 * WORDS;
        assert_eq!([repeated(&chosen), repeated(&offered)], [same, 2 * same]);
    }
}

/// The numbers of what is made and of what is passed over, in one direction and in those split off from it.
#[test]
fn no_row_and_no_sum_has_a_number_of_another() {
    println!("seed {SEED}");
    let program = |mut session: Session, (): ()| async move {
        let result = async {
            let mut ot = Ot::setup(&mut session).await?;
            let with = session.other_sites()[0];
            let mut beside = ot.split(&mut session)?;
            let mut numbers = Vec::new();
            for words in [1, 2, 3, 127, 1] {
                for ot in [&mut ot, &mut beside] {
                    let receiver = ot.receiver(with).soft_spoken();
                    let received = receiver.choose(&mut session, &vec![0; words])?;
                    numbers.push(received.0.first..received.0.first + 64 * words as u64);
                    numbers.push(receiver.tweaks(words).0);
                    numbers.push(receiver.tweaks(2 * words).0);
                }
            }
            Ok(numbers)
        };
        let numbers = result.await;
        (session, numbers)
    };
    for outcome in World::new(2).seed(SEED).run(program, vec![(); 2]) {
        let mut numbers: Vec<Range<u64>> = outcome.result.expect("both are honest");
        numbers.sort_by_key(|numbers| numbers.start);
        assert_eq!(numbers.len(), 30);
        assert!(numbers.windows(2).all(|two| two[0].end <= two[1].start), "{numbers:?}");
    }
}
