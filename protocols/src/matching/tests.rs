//! Equality and payload between two sites, on what both put together.

use mpc_core::random::{Domain, Prg, PrivateSeed};
use mpc_core::step::StepPath;
use mpc_core::world::World;
use mpc_core::{Result, Session};
use zeroize::Zeroizing;

use super::{equality, payload};
use crate::correlation::{Layout, WordKind};
use crate::ot::{Extension, Ot};
use crate::parameters::Code;

mod align;

const SEED: u64 = 20_261_122;

fn prg(label: &'static str) -> Prg {
    PrivateSeed::new([SEED as u8; 32]).prg(Domain::Test, &StepPath::root().child(label, 0))
}

fn random(label: &'static str, len: usize) -> Vec<u64> {
    let mut words = vec![0; len];
    prg(label).fill_words(&mut words);
    words
}

const SILENT: Extension = Extension::Silent { batch: 1 << 14, code: Code::ExpandConvolute7 };

/// What a site brings to a step with the other one.
#[derive(Clone)]
enum Step {
    Equality { tags: Vec<u64>, bits: usize },
    Payload { member: Vec<u64>, words: Vec<u64>, layout: Layout },
}

impl Step {
    async fn run(self, session: &mut Session, extension: Extension) -> Result<Vec<u64>> {
        let mut ot = Ot::setup_with(session, extension).await?;
        let with = session.other_sites()[0];
        match self {
            Step::Equality { tags, bits } => equality::equal(session, &mut ot, with, &tags, bits).await,
            Step::Payload { member, words, layout } => {
                let words = Zeroizing::new(words);
                let product = payload::times_member(session, &mut ot, with, &member, words, &layout).await?;
                Ok(product.to_vec())
            }
        }
    }
}

/// Both sites' shares.
fn shares(extension: Extension, steps: [Step; 2]) -> [Vec<u64>; 2] {
    println!("seed {SEED}, {extension:?}");
    let program = move |mut session: Session, step: Step| async move {
        let result = step.run(&mut session, extension).await;
        (session, result)
    };
    let mut outcomes = World::new(2).seed(SEED).run(program, steps.to_vec()).into_iter();
    std::array::from_fn(|_| outcomes.next().and_then(|o| o.result.ok()).expect("both are honest"))
}

fn bit(words: &[u64], row: usize) -> bool {
    words[row / 64] >> (row % 64) & 1 == 1
}

fn equal_rows(extension: Extension, bits: usize, tags: [&[u64]; 2]) -> Vec<bool> {
    let [a, b] = shares(extension, tags.map(|tags| Step::Equality { tags: tags.to_vec(), bits }));
    (0..tags[0].len()).map(|row| bit(&a, row) != bit(&b, row)).collect()
}

fn tags(rows: usize, bits: usize) -> Vec<u64> {
    random("tags", rows).into_iter().map(|tag| tag >> (64 - bits)).collect()
}

#[test]
fn tags_are_equal_only_if_every_bit_is() {
    for bits in [1, 6, 41, 62, 63] {
        // For each bit a row that differs there alone, and one where nothing, or everything, does.
        let ours = tags(bits + 2, bits);
        let flips = (0..bits).map(|bit| 1 << bit).chain([0, u64::MAX >> (64 - bits)]);
        let theirs: Vec<u64> = ours.iter().zip(flips).map(|(tag, flip)| tag ^ flip).collect();
        let expected: Vec<bool> = ours.iter().zip(&theirs).map(|(a, b)| a == b).collect();
        assert_eq!(expected.iter().filter(|equal| **equal).count(), 1);
        assert_eq!(equal_rows(Extension::SoftSpoken, bits, [&ours, &theirs]), expected, "{bits} bits");
    }
}

#[test]
fn equality_is_that_of_the_tags_for_any_number_of_rows_and_both_extensions() {
    for (rows, extension) in [
        (0, Extension::SoftSpoken),
        (1, Extension::SoftSpoken),
        (64, Extension::SoftSpoken),
        (65, Extension::SoftSpoken),
        (107, SILENT),
        (70_001, Extension::SoftSpoken),
    ] {
        let ours = tags(rows, 58);
        let others = random("others", rows);
        let mix = |(tag, other): (&u64, &u64)| if other & 1 == 0 { *tag } else { tag ^ (1 << (other >> 1 & 31)) };
        let theirs: Vec<u64> = ours.iter().zip(&others).map(mix).collect();
        let expected: Vec<bool> = others.iter().map(|other| other & 1 == 0).collect();
        assert_eq!(equal_rows(extension, 58, [&ours, &theirs]), expected, "{rows} rows");
    }
}

/// Sixteen values of four bits should be equally frequent.
fn look_uniform(words: &[u64]) {
    let mut counts = [0u32; 16];
    words.iter().flat_map(|word| (0..16).map(move |at| word >> (4 * at) & 15)).for_each(|v| counts[v as usize] += 1);
    let expected = words.len() as f64;
    let chi: f64 = counts.iter().map(|c| (f64::from(*c) - expected).powi(2) / expected).sum();
    // 15 degrees of freedom: 56 is beyond 2^-19.
    assert!(chi < 56.0, "chi-square {chi}");
}

#[test]
fn a_site_s_own_shares_of_equality_look_uniform_when_all_tags_are_equal_and_when_none_is() {
    let ours = tags(1 << 16, 60);
    let others: Vec<u64> = ours.iter().map(|tag| tag ^ 4).collect();
    for theirs in [&ours, &others] {
        let steps = [&ours, theirs].map(|tags| Step::Equality { tags: tags.to_vec(), bits: 60 });
        shares(Extension::SoftSpoken, steps).iter().for_each(|share| look_uniform(share));
    }
}

fn payload_rows(extension: Extension, kinds: &[WordKind], rows: usize) -> [Vec<u64>; 4] {
    let layout = Layout::new(kinds);
    let members = [random("member 0", rows.div_ceil(64)), random("member 1", rows.div_ceil(64))];
    let words = [random("words 0", rows * kinds.len()), random("words 1", rows * kinds.len())];
    let step = |site: usize| Step::Payload {
        member: members[site].clone(),
        words: words[site].clone(),
        layout: layout.clone(),
    };
    let [a, b] = shares(extension, [step(0), step(1)]);
    let add = |kinds: &[WordKind], x: &[u64], y: &[u64]| -> Vec<u64> {
        let sum = |(i, (x, y)): (usize, (&u64, &u64))| match kinds[i % kinds.len()] {
            WordKind::Add => x.wrapping_add(*y),
            _ => x ^ y,
        };
        x.iter().zip(y).enumerate().map(sum).collect()
    };
    let joined = add(kinds, &a, &b);
    let is_member = |row: usize| bit(&members[0], row) != bit(&members[1], row);
    let whole = add(kinds, &words[0], &words[1]);
    let expected = whole.iter().enumerate().map(|(i, word)| if is_member(i / kinds.len()) { *word } else { 0 });
    [joined, expected.collect(), a, b]
}

#[test]
fn rows_of_members_are_kept_and_all_others_become_zero() {
    use WordKind::{Add, Xor};
    for kinds in [&[Add][..], &[Xor], &[Xor, Add], &[Add, Add, Xor], &[Add, Xor, Add, Xor, Add]] {
        for (rows, extension) in [(1, Extension::SoftSpoken), (107, SILENT), (20_000, Extension::SoftSpoken)] {
            let [joined, expected, ..] = payload_rows(extension, kinds, rows);
            assert!(joined == expected, "{kinds:?}, {rows} rows");
            assert!(rows < 107 || (expected.contains(&0) && expected.iter().any(|word| *word != 0)));
        }
    }
}

#[test]
fn a_site_s_own_shares_of_a_payload_look_uniform() {
    let [_, _, a, b] = payload_rows(Extension::SoftSpoken, &[WordKind::Add, WordKind::Xor, WordKind::Add], 1 << 14);
    look_uniform(&a);
    look_uniform(&b);
}
