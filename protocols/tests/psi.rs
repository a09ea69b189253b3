//! Set intersection of two sites: its answer, its cost, and what it makes of bad sets and bad messages.

use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

use mpc_core::error::{LocalFault, PeerFault};
use mpc_core::random::{Domain, PrivateSeed};
use mpc_core::step::StepPath;
use mpc_core::transport::memory::Link;
use mpc_core::transport::tamper::Change;
use mpc_core::wire::Bytes32;
use mpc_core::world::{Net, Outcome, World};
use mpc_core::{Block, Error, PartyId, Session};
use protocols::cost::{self, SiteCost};
use protocols::matching::ecdh;
use protocols::matching::psi::{self, Method};
use protocols::ot::Ot;

const SEED: u64 = 20_261_122;
const SENDER: PartyId = PartyId(0);
const RECEIVER: PartyId = PartyId(1);
const METHODS: [Method; 2] = [Method::DiffieHellman, Method::Vole];

/// Sets of these sizes with so many keys in common, in no order.
fn sets(sender: usize, receiver: usize, common: usize) -> [Vec<Block>; 2] {
    println!("seed {SEED}, {sender} and {receiver} keys, {common} common");
    let mut prg = PrivateSeed::new([SEED as u8; 32]).prg(Domain::Test, &StepPath::root());
    let mut all = vec![Block::ZERO; sender + receiver - common];
    prg.fill(bytemuck::cast_slice_mut(&mut all));
    let mut shuffled = |keys: &[Block]| -> Vec<Block> {
        prg.permutation(keys.len()).into_iter().map(|place| keys[place as usize]).collect()
    };
    [shuffled(&all[..sender]), shuffled(&all[sender - common..])]
}

/// What a party came to.
#[derive(Debug)]
struct Ran {
    positions: Vec<usize>,
    /// Without the base OTs.
    cost: SiteCost,
    /// Frames of the matching, by their numbers in the session.
    frames: Range<usize>,
}

fn run(world: &World, method: Method, sets: [Vec<Block>; 2]) -> Vec<Outcome<Ran>> {
    let [sender, receiver] = [0, 1].map(|party: usize| sets[party].len());
    let program = move |mut session: Session, keys: Vec<Block>| async move {
        let result = async {
            let mut ot = Ot::setup(&mut session).await?;
            let before = session.stats();
            let positions = if session.me() == SENDER {
                psi::send(&mut session, &mut ot, method, RECEIVER, &keys, receiver).await?;
                Vec::new()
            } else {
                psi::receive(&mut session, &mut ot, method, SENDER, &keys, sender).await?
            };
            let after = session.stats();
            let cost = SiteCost { rounds: after.rounds - before.rounds, bytes: after.bytes() - before.bytes() };
            let frames = before.messages() as usize..after.messages() as usize;
            Ok(Ran { positions, cost, frames })
        };
        let result = result.await;
        (session, result)
    };
    world.run(program, sets.into())
}

fn common(sets: &[Vec<Block>; 2]) -> Vec<usize> {
    let sender: HashSet<u128> = sets[0].iter().map(|key| key.0).collect();
    (0..sets[1].len()).filter(|place| sender.contains(&sets[1][*place].0)).collect()
}

const SIZES: [(usize, usize, usize); 10] = [
    (0, 0, 0),
    (0, 5, 0),
    (5, 0, 0),
    (1, 1, 0),
    (1, 1, 1),
    (10, 300, 7),
    (300, 10, 7),
    (100, 100, 100),
    (64, 65, 0),
    (120, 90, 33),
];

#[test]
fn the_receiver_learns_exactly_the_common_keys_and_the_sender_none() {
    for (method, (n, m, both)) in METHODS.into_iter().flat_map(|method| SIZES.map(|sizes| (method, sizes))) {
        let sets = sets(n, m, both);
        let expected = common(&sets);
        let outcomes = run(&World::new(2).seed(SEED), method, sets);
        let [sender, receiver] = [0, 1].map(|party| outcomes[party].result.as_ref().expect("both are honest"));
        assert_eq!(receiver.positions, expected, "{method:?} {n} {m}");
        assert_eq!((receiver.positions.len(), sender.positions.len()), (both, 0), "{method:?} {n} {m}");
    }
}

#[test]
fn sets_of_thousands_are_matched_by_silent_vole_at_its_cost() {
    for (n, m, both) in [(5000, 3000, 1500), (3, 70_000, 2), (70_000, 3, 1)] {
        let sets = sets(n, m, both);
        let expected = common(&sets);
        let outcomes = run(&World::new(2).seed(SEED), Method::Vole, sets);
        let [sender, receiver] = [0, 1].map(|party| outcomes[party].result.as_ref().expect("both are honest"));
        assert_eq!((receiver.positions.len(), &receiver.positions), (both, &expected), "{n} {m}");
        let predicted = cost::psi(Method::Vole, n as u64, m as u64);
        assert_eq!((sender.cost.bytes, receiver.cost), (predicted.0.bytes, predicted.1), "{n} {m}");
    }
}

#[test]
fn costs_are_what_sessions_count() {
    for (method, (n, m, both)) in METHODS.into_iter().flat_map(|method| SIZES.map(|sizes| (method, sizes))) {
        let (sender, receiver) = cost::psi(method, n as u64, m as u64);
        let outcomes = run(&World::new(2).seed(SEED), method, sets(n, m, both));
        let counted = |party: usize| outcomes[party].result.as_ref().expect("both are honest").cost;
        // The sender of the last message does not see the round it makes.
        assert_eq!((counted(0).bytes, counted(1)), (sender.bytes, receiver), "{method:?} {n} {m}");
    }
}

#[test]
fn equal_sets_of_a_million_take_less_than_231_bits_an_item_in_all() {
    let (sender, receiver) = cost::psi(Method::Vole, 1 << 20, 1 << 20);
    let bits = (8 * (sender.bytes + receiver.bytes)) as f64 / f64::from(1 << 20);
    println!("{bits:.2} bits an item");
    assert!(bits < 231.0, "{bits}");
}

#[test]
fn diffie_hellman_is_chosen_for_a_handful_of_keys_only() {
    assert_eq!([(1, 1), (4, 4), (10, 2)].map(|(n, m)| psi::choose(n, m)), [Method::DiffieHellman; 3]);
    let large = [(5, 5), (10, 1 << 20), (1 << 20, 1), (usize::MAX, usize::MAX)];
    assert_eq!(large.map(|(n, m)| psi::choose(n, m)), [Method::Vole; 4]);
}

#[test]
fn real_connections_give_the_same() {
    for method in METHODS {
        let sets = sets(50, 60, 20);
        let expected = common(&sets);
        let outcomes = run(&World::new(2).seed(SEED).over(Net::Quic), method, sets);
        assert_eq!(outcomes[1].result.as_ref().expect("both are honest").positions, expected, "{method:?}");
    }
}

#[test]
fn a_key_that_occurs_twice_is_an_error_of_its_own_site() {
    for (method, party) in METHODS.into_iter().flat_map(|method| [(method, 0), (method, 1)]) {
        let mut sets = sets(40, 40, 10);
        sets[party][7] = sets[party][30];
        let outcomes = run(&World::new(2).seed(SEED), method, sets);
        let error = outcomes[party].result.as_ref().expect_err("a key occurs twice");
        let Error::Local { fault: LocalFault::Other(text), .. } = error else { panic!("{error:?}") };
        assert!(text.contains("twice"), "{text}");
        assert!(outcomes[1 - party].result.is_err(), "the other site is told");
    }
}

/// What the sender says of requests that a receiver sends in place of points.
fn refused(request: Bytes32) -> Option<Error> {
    let program = move |mut session: Session, (): ()| async move {
        let result = async {
            if session.me() == SENDER {
                return ecdh::send(&mut session, RECEIVER, 3).await.map(drop);
            }
            session.step("ecdh").send(SENDER, &[request; 3])
        };
        let result = result.await;
        (session, result)
    };
    World::new(2).seed(SEED).run(program, vec![(); 2]).swap_remove(0).result.err()
}

#[test]
fn the_neutral_point_and_encodings_of_no_point_are_the_peers_fault() {
    for request in [[0; 32], [0xff; 32]] {
        let error = refused(request);
        let named = matches!(error, Some(Error::Peer { party: RECEIVER, fault: PeerFault::NonCanonical("point"), .. }));
        assert!(named, "{error:?}");
    }
}

fn tampered(method: Method, by: PartyId, frame: usize, change: Change) -> Vec<Outcome<Ran>> {
    let link = Link { latency: Duration::from_millis(1), bits_per_second: 0 };
    let world = World::new(2).seed(SEED).over(Net::Simulated(link)).deadline(Duration::from_millis(300));
    run(&world.tamper(by, frame, change), method, sets(20, 30, 10))
}

/// Each frame that each party sends in the matching.
fn each_frame(method: Method) -> Vec<(PartyId, usize)> {
    let honest = run(&World::new(2).seed(SEED), method, sets(20, 30, 10));
    let frames = |(party, outcome): (usize, Outcome<Ran>)| {
        outcome.result.expect("both are honest").frames.map(move |frame| (PartyId(party as u8), frame))
    };
    honest.into_iter().enumerate().flat_map(frames).collect()
}

#[test]
fn a_message_of_another_length_is_its_senders_fault() {
    for method in METHODS {
        for (by, frame) in each_frame(method) {
            for change in [Change::Truncate, Change::Extend] {
                let outcomes = tampered(method, by, frame, change);
                let error = outcomes[1 - by.index()].result.as_ref().expect_err("the length is wrong");
                let named = matches!(error, Error::Peer { party, fault: PeerFault::Length { .. }, .. } if *party == by);
                assert!(named, "{method:?}, frame {frame} of {by}: {error:?}");
            }
        }
    }
}

#[test]
fn a_flipped_bit_is_noticed_or_changes_only_the_result() {
    let mut noticed = 0;
    for method in METHODS {
        for (by, frame) in each_frame(method) {
            for byte in [0, 7, 100, 1001] {
                let outcomes = tampered(method, by, frame, Change::FlipBody(byte));
                match &outcomes[1 - by.index()].result {
                    Ok(ran) => assert!(ran.positions.len() <= 10 && ran.positions.iter().all(|place| *place < 30)),
                    Err(Error::Peer { party, fault: PeerFault::NonCanonical(_), .. }) => {
                        assert_eq!(*party, by);
                        noticed += 1;
                    }
                    Err(error) => panic!("{method:?}, frame {frame} of {by}: {error:?}"),
                }
            }
        }
    }
    println!("noticed: {noticed}");
    assert!(noticed > 0, "half of all strings are no points");
}
