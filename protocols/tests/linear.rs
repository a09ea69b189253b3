//! The linear layer against its plaintext twin, on every transport, with its cost, and against a party that deviates.

use std::time::Duration;

use mpc_core::random::{Domain, PrivateSeed};
use mpc_core::step::StepPath;
use mpc_core::transport::Header;
use mpc_core::transport::memory::Link;
use mpc_core::transport::tamper::Change;
use mpc_core::world::{Net, Outcome, World};
use mpc_core::{Error, PartyId, Result, Ring, Session, Z64, Z128};
use protocols::additive::Additive;
use protocols::clear::Clear;
use protocols::{Audience, Engine, Item, Kind, Statement, cost, key_union};

const SEED: u64 = 20_261_122;

fn answer(audience: Audience) -> Statement {
    Statement::new(vec![Item::new("answer", audience, Kind::Value)])
}

/// One vector is put in, doubled minus itself plus a public column, and opened.
async fn sum_and_open<E: Engine, R: Ring>(engine: &mut E, own: Vec<R>, public: &[R]) -> Result<Option<Vec<R>>> {
    let x = engine.input(own);
    let twice = engine.add(&x, &x)?;
    let once = engine.sub(&twice, &x)?;
    let shifted = engine.add_public(&once, public)?;
    let permit = engine.permit("answer", shifted.len())?;
    engine.reveal(shifted, permit).await
}

fn inputs<R: Ring>(parties: usize, len: usize) -> Vec<Vec<R>> {
    let column = |party: usize| {
        let mut prg = PrivateSeed::new([party as u8; 32]).prg(Domain::Test, &StepPath::root());
        (0..len).map(|_| prg.element()).collect()
    };
    (0..parties).map(column).collect()
}

fn run<R: Ring>(
    world: &World,
    clear: bool,
    sites: usize,
    analyst: bool,
    len: usize,
    audience: Audience,
) -> Vec<Outcome<Option<Vec<R>>>> {
    println!("seed {SEED}, {sites} sites, analyst {analyst}, {len} elements of {}, {audience:?}", R::NAME);
    let world = if analyst { world.clone().with_analyst() } else { world.clone() };
    let program = move |session: Session, own: Vec<R>| async move {
        let public = vec![R::default(); own.len()];
        if clear {
            let mut engine = Clear::new(session, answer(audience));
            let result = sum_and_open(&mut engine, own, &public).await;
            (engine.into_session(), result)
        } else {
            let mut engine = Additive::new(session, answer(audience));
            let result = sum_and_open(&mut engine, own, &public).await;
            (engine.into_session(), result)
        }
    };
    world.run(program, inputs::<R>(sites + usize::from(analyst), len))
}

fn conforms<R: Ring>(net: Net, sites: usize, analyst: bool, len: usize, audience: Audience) {
    let world = World::new(sites).seed(SEED).over(net);
    let ours = run::<R>(&world, false, sites, analyst, len, audience);
    let twin = run::<R>(&World::new(sites).seed(SEED), true, sites, analyst, len, audience);
    for (party, (a, b)) in ours.iter().zip(&twin).enumerate() {
        assert!(
            a.result.as_ref().unwrap() == b.result.as_ref().unwrap(),
            "party {party} differs from the plaintext twin"
        );
    }
    let predicted = cost::reveal(sites as u64, analyst, audience, len as u64, R::BYTES as u64);
    for outcome in &ours[..sites] {
        assert_eq!(outcome.stats.bytes(), predicted.bytes, "bytes of a site");
    }
    let rounds = ours.iter().map(|o| o.stats.rounds).max();
    assert_eq!(rounds, Some(predicted.rounds), "rounds");
}

#[test]
fn sums_equal_the_plaintext_twin_in_memory_at_their_predicted_cost() {
    for sites in [2, 3, 5, 8, 20] {
        for len in [0, 1, 1000] {
            conforms::<Z64>(Net::Memory, sites, false, len, Audience::Everyone);
            conforms::<Z128>(Net::Memory, sites, true, len, Audience::Analyst);
            conforms::<Z64>(Net::Memory, sites, true, len, Audience::Everyone);
        }
    }
}

#[test]
fn sums_equal_the_plaintext_twin_over_a_simulated_link() {
    for sites in [2, 3, 8] {
        conforms::<Z64>(Net::Simulated(Link::wan()), sites, true, 500, Audience::Analyst);
    }
}

#[test]
fn sums_equal_the_plaintext_twin_over_quic() {
    for sites in [2, 3, 5] {
        conforms::<Z64>(Net::Quic, sites, false, 300_000, Audience::Everyone);
        conforms::<Z128>(Net::Quic, sites, true, 1000, Audience::Analyst);
    }
}

#[test]
fn a_simulated_link_takes_the_time_of_its_rounds() {
    let link = Link { latency: Duration::from_millis(15), bits_per_second: 0 };
    let world = World::new(3).seed(SEED).over(Net::Simulated(link));
    let outcomes = run::<Z64>(&world, false, 3, false, 10, Audience::Everyone);
    assert!(outcomes.iter().all(|o| o.elapsed >= 3 * link.latency && o.elapsed < 4 * link.latency));
}

#[test]
fn sites_see_nothing_of_a_sealed_answer() {
    let outcomes = run::<Z64>(&World::new(3).seed(SEED), false, 3, true, 10, Audience::Analyst);
    assert!(outcomes[..3].iter().all(|o| matches!(o.result, Ok(None))));
    assert!(matches!(&outcomes[3].result, Ok(Some(values)) if values.len() == 10));
}

#[test]
fn two_openings_of_the_same_input_share_no_masked_element() {
    // What one site sends when it opens the same column twice: fresh zero-shares make every element differ.
    let log = mpc_core::transport::record::Log::default();
    let world = World::new(3).seed(SEED).record(PartyId(0), log.clone());
    let program = |session: Session, own: Vec<Z64>| async move {
        let mut engine = Additive::new(session, Statement::new(["a", "b"].map(Item::to_everyone).to_vec()));
        let (first, second) = (engine.input(own.clone()), engine.input(own));
        let result = async {
            let (a, b) = (engine.permit("a", first.len())?, engine.permit("b", second.len())?);
            engine.reveal(first, a).await?;
            engine.reveal(second, b).await
        };
        let result = result.await;
        (engine.into_session(), result)
    };
    let outcomes = world.run(program, inputs::<Z64>(3, 64));
    assert!(outcomes.iter().all(|o| o.result.is_ok()));
    let bodies: Vec<_> =
        log.lock().unwrap().iter().map(|(_, _, f)| f.body.clone()).filter(|b| b.len() == 512).collect();
    assert_eq!(bodies.len(), 4);
    assert!(bodies[0].chunks(8).zip(bodies[2].chunks(8)).all(|(a, b)| a != b));
    let plain = mpc_core::wire::encode(&inputs::<Z64>(3, 64)[0]);
    assert!(
        bodies.iter().all(|b| b.chunks(8).zip(plain.chunks(8)).all(|(a, b)| a != b)),
        "an input element was sent unmasked"
    );
}

#[test]
fn an_undeclared_or_repeated_opening_is_refused() {
    let program = |session: Session, own: Vec<Z64>| async move {
        let mut engine = Additive::new(session, answer(Audience::Everyone));
        let (x, y) = (engine.input(own.clone()), engine.input(own));
        let undeclared = engine.permit::<Z64>("other", 3).unwrap_err().to_string();
        let foreign = answer(Audience::Everyone).permit("answer", 3).unwrap();
        let foreign = engine.reveal(x, foreign).await.unwrap_err().to_string();
        let permit = engine.permit("answer", 3).unwrap();
        let again = engine.permit::<Z64>("answer", 3).unwrap_err().to_string();
        let opened = engine.reveal(y, permit).await;
        assert_eq!(engine.statement().opened().len(), 1);
        (engine.into_session(), opened.map(|_| [undeclared, foreign, again]))
    };
    for outcome in World::new(2).run(program, inputs::<Z64>(2, 3)) {
        assert!(outcome.result.unwrap().iter().all(|refusal| refusal.contains("not a declared release")));
    }
}

#[test]
fn randomness_cannot_be_asked_for_twice_at_one_step() {
    let program = |mut session: Session, (): ()| async move {
        let first = session.shared_rng(PartyId(1 - session.me().0), Domain::Test).map(drop);
        let second = session.shared_rng(PartyId(1 - session.me().0), Domain::Test).map(drop);
        (session, first.map(|()| second.is_err()))
    };
    assert!(World::new(2).run(program, vec![(), ()]).into_iter().all(|o| o.result == Ok(true)));
}

/// How many frames a site of three and an analyst sends: 2 commitments, 3 echoes, 1 salt and 1 opening.
const FRAMES: usize = 7;

fn tampered(by: usize, frame: usize, change: Change) -> Vec<Outcome<Option<Vec<Z64>>>> {
    let world = World::new(3).seed(SEED).deadline(Duration::from_millis(300)).tamper(PartyId(by as u8), frame, change);
    let link = Link { latency: Duration::from_millis(1), bits_per_second: 0 };
    run::<Z64>(&world.over(Net::Simulated(link)), false, 3, true, 20, Audience::Analyst)
}

/// The analyst takes no answer, and the deviating site is among those that the honest parties suspect at first hand (not
/// because somebody else stopped).
fn is_caught_and_blamed(by: usize, frame: usize, change: Change) {
    let outcomes = tampered(by, frame, change);
    assert!(outcomes[3].result.is_err(), "site {by}, frame {frame}, {change:?}: the analyst accepted an answer");
    let honest = outcomes.iter().enumerate().filter(|(party, _)| *party != by);
    let errors = honest.filter_map(|(_, outcome)| outcome.result.as_ref().err());
    let first_hand: Vec<&Error> = errors.filter(|e| !matches!(e, Error::Stopped { .. })).collect();
    let named = first_hand.iter().any(|error| error.blamed().contains(&PartyId(by as u8)));
    assert!(named, "site {by}, frame {frame}, {change:?}: not suspected in {first_hand:?}");
}

#[test]
fn one_changed_frame_of_any_site_at_every_step_is_caught_and_its_sender_suspected() {
    let mut cases = 0;
    for by in 0..3 {
        for frame in 0..FRAMES {
            let mut changes = vec![
                Change::FlipBody(0),
                Change::FlipBody(31),
                Change::FlipBody(95),
                Change::Truncate,
                Change::Extend,
                Change::Drop,
                Change::Replay,
            ];
            // All of the header but the length, which follows the body, and the depth, which only cost depends on.
            changes.extend((0..Header::BYTES - 4).filter(|at| !(4..8).contains(at)).map(Change::FlipHeader));
            for change in changes {
                is_caught_and_blamed(by, frame, change);
                cases += 1;
            }
        }
    }
    println!("{cases} changed frames, all caught");
    assert!(cases >= 100);
}

#[test]
fn a_repeated_frame_is_caught_by_its_number_where_another_follows_on_its_lane() {
    // Frames 0 and 1 are commitments to the other sites, 2 the echo to the analyst, 3 and 4 the echoes to the sites, 5 the
    // salt and 6 the opening to the analyst. After 3, 4 and 6 nobody reads the lane again.
    for (by, frame) in [0, 1, 2, 5].into_iter().flat_map(|frame| (0..3).map(move |by| (by, frame))) {
        is_caught_and_blamed(by, frame, Change::Duplicate);
    }
}

#[test]
fn an_untampered_run_is_accepted() {
    // The control of the tests above: the same world, a change beyond the last frame.
    assert!(tampered(1, FRAMES, Change::Drop).iter().all(|o| o.result.is_ok()));
}

#[test]
fn a_site_whose_message_never_comes_is_named_with_the_step() {
    for frame in 0..FRAMES {
        let outcomes = tampered(1, frame, Change::Drop);
        let names_it = |o: &Outcome<Option<Vec<Z64>>>| match &o.result {
            Err(Error::Peer { party, step, .. }) => *party == PartyId(1) && step.as_str().starts_with("/reveal/"),
            _ => false,
        };
        assert!([0, 2, 3].iter().any(|i| names_it(&outcomes[*i])), "frame {frame}: nobody names party 1 and a step");
    }
}

#[test]
fn keys_are_agreed_on_every_transport_at_their_predicted_cost() {
    for (net, sites) in
        [(Net::Memory, 2), (Net::Memory, 3), (Net::Memory, 8), (Net::Simulated(Link::wan()), 3), (Net::Quic, 3)]
    {
        let limits = key_union::Limits { max_keys: 200, contributors: sites, max_key_bytes: 12 };
        let program = move |session: Session, own: Vec<Vec<u8>>| async move {
            let mut engine = Additive::new(session, Statement::new(vec![Item::to_everyone("keys")]));
            let result = key_union::agree(&mut engine, &own, limits, "keys").await;
            (engine.into_session(), result)
        };
        let own = |site: usize| (0..20).map(|k| format!("key {}", k + 7 * site).into_bytes()).collect();
        let mut all: Vec<Vec<Vec<u8>>> = (0..sites).map(own).collect();
        all.push(Vec::new());
        let mut union: Vec<Vec<u8>> = all.concat();
        union.sort();
        union.dedup();
        let outcomes = World::new(sites).seed(SEED).with_analyst().over(net).run(program, all);
        let predicted = cost::key_union(sites as u64, limits.sketch_elements() as u64);
        for outcome in &outcomes {
            assert_eq!(outcome.result.as_ref(), Ok(&union), "over {net:?}");
        }
        assert!(outcomes[..sites].iter().all(|o| o.stats.bytes() == predicted.bytes));
        assert_eq!(outcomes.iter().map(|o| o.stats.rounds).max(), Some(predicted.rounds));
    }
}

#[test]
fn too_many_keys_are_an_error_for_everybody() {
    let limits = key_union::Limits { max_keys: 10, contributors: 2, max_key_bytes: 12 };
    let program = move |session: Session, own: Vec<Vec<u8>>| async move {
        let mut engine = Additive::new(session, Statement::new(vec![Item::to_everyone("keys")]));
        let result = key_union::agree(&mut engine, &own, limits, "keys").await;
        (engine.into_session(), result)
    };
    let keys: Vec<Vec<u8>> = (0..500u32).map(|k| k.to_le_bytes().to_vec()).collect();
    let outcomes = World::new(2).seed(SEED).with_analyst().run(program, vec![keys, Vec::new(), Vec::new()]);
    assert!(outcomes.iter().all(|o| o.result.is_err()));
}
