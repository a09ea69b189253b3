use mpc_core::random::{Domain, PrivateSeed};
use mpc_core::step::StepPath;

use super::*;

const SEED: u8 = 41;

fn random(label: &'static str, len: usize) -> Vec<Block> {
    println!("seed {SEED}, stream {label}");
    let mut blocks = vec![Block::ZERO; len];
    let mut prg = PrivateSeed::new([SEED; 32]).prg(Domain::Test, &StepPath::root().child(label, 0));
    prg.fill(bytemuck::cast_slice_mut(&mut blocks));
    blocks
}

#[test]
fn exactly_the_common_values_are_met_at_every_pair_of_sizes() {
    let all = random("met", 200_000);
    for (n, m) in [(1, 1), (1, 5000), (2, 3), (3, 2), (10, 100_000), (100_000, 10), (1025, 1023), (70_000, 65_536)] {
        let shape = TagShape::new(n, m);
        // Every third of the receiver's values is the sender's, as far as these reach.
        let (sent, own) = all.split_at(n);
        let own: Vec<Block> = (0..m).map(|i| if i % 3 == 0 && i / 3 < n { sent[i / 3] } else { own[i] }).collect();
        let common: Vec<usize> = (0..m).filter(|i| i % 3 == 0 && i / 3 < n).collect();
        let tags = shape.sorted(sent);
        assert_eq!((tags.buckets.len(), tags.rests.len()), (shape.bucket_words(), shape.rest_words()));
        assert_eq!(shape.asked(&own).matches(&tags), Some(common), "{n} and {m}");
    }
}

#[test]
fn a_list_does_not_depend_on_the_order_of_its_values() {
    let mut values = random("order", 5000);
    // Tags of one bucket, to be sorted by their rests.
    (0..100).for_each(|i| values[i].0 = values[i].0 >> 30 | 5 << 98);
    let shape = TagShape::new(5000, 5000);
    let tags = shape.sorted(&values);
    values.reverse();
    let reversed = shape.sorted(&values);
    assert!(tags.buckets == reversed.buckets && tags.rests == reversed.rests);
}

#[test]
fn values_that_agree_in_all_but_the_last_bit_of_a_tag_are_different() {
    let shape = TagShape::new(1000, 1000);
    let values = random("bit", 1000);
    let last = 128 - tag_bits(1000, 1000);
    let others: Vec<Block> = values.iter().map(|value| Block(value.0 ^ 1 << last)).collect();
    let same: Vec<Block> = values.iter().map(|value| Block(value.0 ^ 1 << (last - 1))).collect();
    let tags = shape.sorted(&values);
    assert_eq!(shape.asked(&others).matches(&tags), Some(vec![]));
    assert_eq!(shape.asked(&same).matches(&tags), Some((0..1000).collect()));
}

#[test]
fn a_list_of_equal_sets_takes_62_bits_an_item_at_2_to_the_20() {
    let shape = TagShape::new(1 << 20, 1 << 20);
    assert_eq!(64 * (shape.bucket_words() + shape.rest_words()), 62 << 20);
}

#[test]
fn a_list_with_too_many_or_too_few_tags_or_one_beyond_the_last_bucket_is_refused() {
    let shape = TagShape::new(1000, 10);
    let values = random("refused", 1000);
    let changed = |change: fn(&mut Vec<u64>)| {
        let mut tags = shape.sorted(&values);
        change(&mut tags.buckets);
        shape.asked(&values[..10]).matches(&tags)
    };
    assert!(changed(|_| ()).is_some());
    assert!(changed(|buckets| buckets[0] = !buckets[0]).is_none() || shape.tags % 64 == 32);
    assert!(changed(|buckets| buckets.fill(0)).is_none());
    assert!(changed(|buckets| buckets.fill(u64::MAX)).is_none());
    assert!(
        changed(|buckets| {
            // The last tag moves to the very end of the last word, which is beyond the last bucket.
            let last = buckets.iter().rposition(|word| *word != 0).expect("tags");
            buckets[last] ^= 1 << buckets[last].ilog2();
            *buckets.last_mut().expect("words") |= 1 << 63;
        })
        .is_none()
    );
}
