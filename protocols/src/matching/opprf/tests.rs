use mpc_core::random::PrivateSeed;
use mpc_core::world::{Outcome, World};

use super::*;

const SEED: u64 = 20_261_122;

/// Points of the sender; the receiver asks at every second one.
const POINTS: usize = 200;
const BLOCKS: usize = 3;

fn prg(label: &'static str) -> Prg {
    PrivateSeed::new([23; 32]).prg(Domain::Test, &StepPath::root().child(label, 0))
}

fn points(label: &'static str, len: usize) -> Vec<Block> {
    let mut points = vec![Block::ZERO; len];
    prg(label).fill(bytemuck::cast_slice_mut(&mut points));
    points
}

/// What a sender of circuit-PSI programs: in each block the same secret for the two points of a bin, and beside it a small
/// number of each point's own.
fn value(point: usize, block: usize) -> Block {
    secret(point / 2, block) ^ Block(small(point, block))
}

fn secret(bin: usize, block: usize) -> Block {
    points("secrets", POINTS / 2 * BLOCKS)[bin * BLOCKS + block]
}

fn small(point: usize, block: usize) -> u128 {
    ((point * 5 + block * 3) % LIMIT as usize) as u128
}

/// Small numbers are below.
const LIMIT: u128 = 8;

/// A receiver that follows the protocol and keeps what it sees.
struct View {
    store: Okvs,
    encoded: Vec<Block>,
    /// The values at its own points.
    values: Vec<Block>,
}

fn run() -> Vec<Outcome<Option<View>>> {
    println!("seed {SEED}");
    let program = move |mut session: Session, (): ()| async move {
        let result = async {
            let mut ot = Ot::setup(&mut session).await?;
            let all = points("points", POINTS);
            if session.me() == PartyId(0) {
                look(&mut session, &mut ot, &all).await.map(Some)
            } else {
                let asked = POINTS / 2;
                super::program(&mut session, &mut ot, PartyId(0), (&all, asked), BLOCKS, value).await.map(|()| None)
            }
        };
        let result = result.await;
        (session, result)
    };
    World::new(2).seed(SEED).run(program, vec![(); 2])
}

/// As [`ask`], at every second point.
async fn look(session: &mut Session, ot: &mut Ot, all: &[Block]) -> Result<View> {
    let mut session = session.step("opprf");
    let asked: Vec<Block> = all.iter().copied().step_by(2).collect();
    let masks = oprf::receive(&mut session, ot, PartyId(1), &asked).await?;
    let seed: Vec<Bytes32> = session.recv(PartyId(1), 1).await?;
    let store = Okvs::new(POINTS, PublicSeed(seed[0])).expect("a listed size");
    let encoded: Vec<Block> = session.recv(PartyId(1), store.blocks() * BLOCKS).await?;
    let mut values = vec![Block::ZERO; asked.len() * BLOCKS];
    store.decode_into(&encoded, BLOCKS, &asked, &mut values);
    for block in 0..BLOCKS {
        let pads = stretch(&masks, block);
        values.iter_mut().skip(block).step_by(BLOCKS).zip(pads.iter()).for_each(|(value, pad)| *value ^= *pad);
    }
    Ok(View { store, encoded, values })
}

impl View {
    /// Tests offline whether a point that was not asked is programmed beside the receiver's own point of this bin: a guess of one
    /// block of its value would be its function's value, if that masked this block, and show the other blocks.
    fn betrays(&self, bin: usize, point: Block) -> bool {
        let mut masked = vec![Block::ZERO; BLOCKS];
        self.store.decode_into(&self.encoded, BLOCKS, &[point], &mut masked);
        let known = &self.values[bin * BLOCKS..][..BLOCKS];
        let fits = |guess: &[Block], block: usize| {
            let value = masked[block] ^ stretch(guess, block)[0];
            (value ^ known[block]).0 < LIMIT
        };
        // The numbers of both points are below the limit, a power of two, and so is their difference by XOR.
        (0..LIMIT).any(|difference| {
            (0..BLOCKS).any(|from| {
                let guess = [masked[from] ^ known[from] ^ Block(difference)];
                (0..BLOCKS).filter(|block| *block != from).any(|block| fits(&guess, block))
            })
        })
    }
}

#[test]
fn a_receiver_that_knows_one_block_of_a_value_cannot_test_points_it_did_not_ask() {
    let outcomes = run();
    let view = outcomes[0].result.as_ref().ok().and_then(Option::as_ref).expect("both are honest");
    let all = points("points", POINTS);
    for bin in 0..POINTS / 2 {
        let own: Vec<Block> = (0..BLOCKS).map(|block| value(2 * bin, block)).collect();
        assert!(view.values[bin * BLOCKS..][..BLOCKS] == own[..], "the receiver gets what was programmed");
    }
    let betrayed = (0..POINTS / 2).filter(|bin| view.betrays(*bin, all[2 * bin + 1])).count();
    assert_eq!(betrayed, 0, "programmed points that were found offline");
    let strangers = points("strangers", POINTS / 2);
    assert_eq!((0..POINTS / 2).filter(|bin| view.betrays(*bin, strangers[*bin])).count(), 0);
}

#[test]
fn no_block_s_mask_is_the_function_s_value_or_that_of_another_block() {
    let values = points("function", 100);
    let pads: Vec<Vec<Block>> = (0..5).map(|block| stretch(&values, block).to_vec()).collect();
    for block in 0..5 {
        assert!(pads[block].iter().zip(&values).all(|(pad, value)| pad != value), "block {block}");
        assert!((0..block).all(|other| pads[block].iter().zip(&pads[other]).all(|(a, b)| a != b)), "block {block}");
        // Nor does one mask make another.
        assert!((0..5).all(|other| stretch(&pads[block], other).iter().zip(&pads[other]).all(|(a, b)| a != b)));
    }
}
