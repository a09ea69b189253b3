//! A site that deviates in one frame, in every operation and at every frame.
//!
//! Frames that are not what the receiver waits for (cut, longer, missing, repeated, out of order, of another step, session or
//! sender) end the run, and an honest site names the sender. A frame with another content of the right length is what the
//! semi-honest model leaves open: the run must end at every site, with an error or with an answer, and the answer may be wrong.

mod conformance;
mod deviation;
mod operations;

use std::time::Duration;

use conformance::Case;
use deviation::{MALFORMED, is_blamed};
use mpc_core::error::{LocalFault, PeerFault};
use mpc_core::transport::memory::Link as Delay;
use mpc_core::transport::tamper::Change;
use mpc_core::world::{Net, Outcome, World};
use mpc_core::{Error, PartyId, Session};
use operations::{Operation, Size};
use protocols::additive::Additive;
use protocols::additive::demand::Link;

use Operation::*;

const SEED: u64 = 20_261_122;
const SIZE: Size = Size { rows: 5, bits: 4 };

/// What a site opened, and how many frames it had sent before and after the operation.
type Ran = (Vec<u128>, usize, usize);

fn run(operation: Operation, sites: usize, change: Option<(usize, usize, Change)>) -> Vec<Outcome<Ran>> {
    // Frames in memory; the clock stands still, so that deadlines take no time.
    let link = Delay { latency: Duration::from_millis(1), bits_per_second: 0 };
    let world = World::new(sites).seed(SEED).over(Net::Simulated(link)).deadline(Duration::from_millis(300));
    let world = match change {
        Some((by, frame, change)) => world.tamper(PartyId(by as u8), frame, change),
        None => world,
    };
    let (budget, to_open) = operation.budgets(sites, Link::Local, SIZE, SEED);
    let program = move |session: Session, (): ()| {
        let (budget, to_open) = (budget.clone(), to_open.clone());
        async move {
            let mut case = Case::new(&session, SEED);
            let mut engine = Additive::new(session, conformance::statement());
            let result = async {
                // What opening takes is made first, so that the frames after the operation are all part of opening it.
                engine.prepare(&to_open).await?;
                engine.prepare(&budget).await?;
                let start = frames(&mut engine);
                let output = operation.run(&mut engine, &mut case, SIZE, async |_| Ok(())).await?;
                let end = frames(&mut engine);
                Ok((output.open(&mut engine, &mut case).await?, start, end))
            };
            let result = result.await;
            (engine.into_session(), result)
        }
    };
    world.run(program, vec![(); sites])
}

fn frames(engine: &mut Additive) -> usize {
    engine.session().stats().messages() as usize
}

/// Goes through the frames of one operation at one deviating site. Returns how many flips of content made the answer wrong.
fn every_frame(operation: Operation, sites: usize, by: usize, preprocessing: bool) -> usize {
    println!("seed {SEED}, {operation:?}, {sites} sites, site {by} deviates");
    let honest = run(operation, sites, None);
    let answers: Vec<_> = honest.iter().map(|o| o.result.as_ref().expect("all are honest")).collect();
    let (answer, start, end) = answers[by].clone();
    assert!(end > start, "the operation sends frames");
    let mut wrong = 0;
    for frame in if preprocessing { 0..start } else { start..end } {
        for change in MALFORMED {
            let what = format!("{operation:?}, {sites} sites, site {by}, frame {frame}, {change:?}");
            is_blamed(&run(operation, sites, Some((by, frame, change))), by, change, &what);
        }
        wrong += usize::from(content(operation, sites, (by, frame), &answer));
        repeated(operation, sites, (by, frame), &answer);
    }
    println!("{operation:?}: frames {start} to {end}, {wrong} flips of content made the answer wrong or were noticed");
    wrong
}

/// Flips a bit of a frame's content. Whatever comes of it, errors name the deviating site or nobody, and every site ends.
/// Is there an error or a wrong answer?
fn content(operation: Operation, sites: usize, (by, frame): (usize, usize), answer: &[u128]) -> bool {
    let outcomes = run(operation, sites, Some((by, frame, Change::FlipBody(0))));
    for outcome in outcomes.iter().enumerate().filter(|(party, _)| *party != by).map(|(_, o)| o) {
        let harmless = match &outcome.result {
            Ok(_) | Err(Error::Stopped { .. }) => true,
            // A site may notice that what was opened makes no sense, and cannot tell who was wrong.
            Err(Error::Local { fault: LocalFault::Other(_), .. }) => true,
            // A point that is none; an opening that does not fit its commitment is not in these frames.
            Err(Error::Peer { party, fault, .. }) => {
                *party == PartyId(by as u8) && matches!(fault, PeerFault::NonCanonical(_))
            }
            Err(_) => false,
        };
        assert!(harmless, "{operation:?}, frame {frame} of site {by}: {:?}", outcome.result);
    }
    outcomes.iter().any(|o| o.result.as_ref().map_or(true, |(opened, ..)| opened != answer))
}

/// A frame sent twice is caught by its number where another follows on its lane, and one follows: the opening's.
fn repeated(operation: Operation, sites: usize, (by, frame): (usize, usize), answer: &[u128]) {
    let outcomes = run(operation, sites, Some((by, frame, Change::Duplicate)));
    let what = format!("{operation:?}, {sites} sites, site {by}, frame {frame} twice");
    assert!(outcomes.iter().all(|o| o.result.as_ref().is_ok_and(|(opened, ..)| opened == answer) || o.result.is_err()));
    is_blamed(&outcomes, by, Change::Duplicate, &what);
}

macro_rules! deviating {
    ($($name:ident => $operation:expr;)*) => {$(
        #[test]
        fn $name() {
            let mut wrong = 0;
            for (sites, by) in [(2, 0), (2, 1), (3, 1)] {
                wrong += every_frame($operation, sites, by, false);
            }
            // The control of the flips: they do reach the answer.
            assert!(wrong > 0, "no flip of content had any effect");
        }
    )*};
}

deviating! {
    one_changed_frame_of_a_product_is_blamed_on_its_sender => Mul64;
    one_changed_frame_of_a_wide_product_is_blamed_on_its_sender => Mul128;
    one_changed_frame_of_an_and_is_blamed_on_its_sender => And;
    one_changed_frame_of_a2b_is_blamed_on_its_sender => A2b;
    one_changed_frame_of_a_sign_is_blamed_on_its_sender => Negative;
    one_changed_frame_of_a_zero_test_is_blamed_on_its_sender => IsZero;
    one_changed_frame_of_b2a_is_blamed_on_its_sender => B2a64;
    one_changed_frame_of_a_selection_is_blamed_on_its_sender => Select64;
    one_changed_frame_of_a_shuffle_is_blamed_on_its_sender => Shuffle;
    one_changed_frame_of_a_placing_is_blamed_on_its_sender => Place;
}

#[test]
fn one_changed_frame_of_preprocessing_is_blamed_on_its_sender() {
    // Selections are made of daBits and a chain; a shuffle and daBits are made for placing; triples for the others.
    for operation in [Mul64, Negative, Select64, Place] {
        every_frame(operation, 2, 1, true);
    }
    every_frame(Place, 3, 1, true);
}

#[test]
fn a_second_operation_without_a_budget_of_its_own_is_refused() {
    for (operation, sites) in operations::ALL.into_iter().flat_map(|operation| [2, 4].map(|sites| (operation, sites))) {
        println!("seed {SEED}, {operation:?}, {sites} sites");
        let (budget, _) = operation.budgets(sites, Link::Local, SIZE, SEED);
        let program = move |session: Session, (): ()| {
            let budget = budget.clone();
            async move {
                let mut case = Case::new(&session, SEED);
                let mut engine = Additive::new(session, conformance::statement());
                let result = async {
                    engine.prepare(&budget).await?;
                    operation.run(&mut engine, &mut case, SIZE, async |_| Ok(())).await?;
                    Ok(operation.run(&mut engine, &mut case, SIZE, async |_| Ok(())).await.map(drop))
                };
                let result = result.await;
                (engine.into_session(), result)
            }
        };
        for outcome in World::new(sites).seed(SEED).run(program, vec![(); sites]) {
            let second = outcome.result.expect("the first one has its budget");
            assert!(matches!(second, Err(Error::Local { fault: LocalFault::Budget, .. })), "{operation:?}: {second:?}");
        }
    }
}
