//! Set intersection of two sites: its answer, its cost, and what it makes of bad sets and bad messages.

use std::collections::HashSet;
use std::time::Duration;

use mpc_core::error::{LocalFault, PeerFault};
use mpc_core::random::{Domain, PrivateSeed};
use mpc_core::step::StepPath;
use mpc_core::transport::memory::Link;
use mpc_core::transport::tamper::Change;
use mpc_core::world::{Net, Outcome, World};
use mpc_core::{Block, Error, PartyId, Session};
use protocols::cost::{self, SiteCost};
use protocols::matching::psi::{self, Method};

const SEED: u64 = 20_261_122;
const SENDER: PartyId = PartyId(0);
const RECEIVER: PartyId = PartyId(1);
const METHODS: [Method; 1] = [Method::DiffieHellman];

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

/// The result, and what it alone cost.
type Ran = (Vec<usize>, SiteCost);

fn run(world: &World, method: Method, sets: [Vec<Block>; 2]) -> Vec<Outcome<Ran>> {
    let [sender, receiver] = [0, 1].map(|party: usize| sets[party].len());
    let program = move |mut session: Session, keys: Vec<Block>| async move {
        let result = async {
            let before = session.stats();
            let positions = if session.me() == SENDER {
                psi::send(&mut session, method, RECEIVER, &keys, receiver).await?;
                Vec::new()
            } else {
                psi::receive(&mut session, method, SENDER, &keys, sender).await?
            };
            let after = session.stats();
            Ok((positions, SiteCost { rounds: after.rounds - before.rounds, bytes: after.bytes() - before.bytes() }))
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
        assert_eq!((receiver.0.len(), &receiver.0, &sender.0), (both, &expected, &vec![]), "{method:?} {n} {m}");
    }
}

#[test]
fn costs_are_what_sessions_count() {
    for (method, (n, m, both)) in METHODS.into_iter().flat_map(|method| SIZES.map(|sizes| (method, sizes))) {
        let (sender, receiver) = cost::psi(method, n as u64, m as u64);
        let outcomes = run(&World::new(2).seed(SEED), method, sets(n, m, both));
        let counted = |party: usize| outcomes[party].result.as_ref().expect("both are honest").1;
        // The sender of the last message does not see the round it makes.
        assert_eq!((counted(0).bytes, counted(1)), (sender.bytes, receiver), "{method:?} {n} {m}");
    }
}

#[test]
fn real_connections_give_the_same() {
    for method in METHODS {
        let sets = sets(50, 60, 20);
        let expected = common(&sets);
        let outcomes = run(&World::new(2).seed(SEED).over(Net::Quic), method, sets);
        assert_eq!(outcomes[1].result.as_ref().expect("both are honest").0, expected, "{method:?}");
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

fn tampered(method: Method, by: PartyId, frame: usize, change: Change) -> Vec<Outcome<Ran>> {
    let link = Link { latency: Duration::from_millis(1), bits_per_second: 0 };
    let world = World::new(2).seed(SEED).over(Net::Simulated(link)).deadline(Duration::from_millis(300));
    run(&world.tamper(by, frame, change), method, sets(20, 30, 10))
}

/// Frames that the sender and the receiver send.
fn frames(method: Method) -> [usize; 2] {
    match method {
        Method::DiffieHellman => [3, 1],
    }
}

#[test]
fn a_message_of_another_length_is_its_senders_fault() {
    for method in METHODS {
        for (by, count) in frames(method).into_iter().enumerate() {
            for (frame, change) in (0..count).flat_map(|frame| [(frame, Change::Truncate), (frame, Change::Extend)]) {
                let outcomes = tampered(method, PartyId(by as u8), frame, change);
                let error = outcomes[1 - by].result.as_ref().expect_err("the length is wrong");
                let named =
                    matches!(error, Error::Peer { party, fault: PeerFault::Length { .. }, .. } if party.index() == by);
                assert!(named, "{method:?}, frame {frame} of {by}: {error:?}");
            }
        }
    }
}

#[test]
fn a_flipped_bit_is_noticed_or_changes_only_the_result() {
    let mut noticed = 0;
    for method in METHODS {
        for (by, count) in frames(method).into_iter().enumerate() {
            for (frame, byte) in (0..count).flat_map(|frame| (0..40).map(move |byte| (frame, byte))) {
                let outcomes = tampered(method, PartyId(by as u8), frame, Change::FlipBody(byte));
                for (party, outcome) in outcomes.iter().enumerate().filter(|(party, _)| *party != by) {
                    match &outcome.result {
                        Ok((positions, _)) => assert!(positions.len() <= 10 && positions.iter().all(|p| *p < 30)),
                        Err(Error::Peer { party: blamed, fault: PeerFault::NonCanonical(_), .. }) => {
                            assert_eq!(blamed.index(), by);
                            noticed += 1;
                        }
                        Err(error) => panic!("site {party}: {error:?}"),
                    }
                }
            }
        }
    }
    println!("noticed: {noticed}");
    assert!(noticed > 0, "half of all strings are no points");
}
