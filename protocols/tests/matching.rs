//! Aligned patients in a whole session: what is opened of them, and a site that deviates in one frame.

mod deviation;

use std::time::Duration;

use deviation::{MALFORMED, is_blamed};
use mpc_core::error::PeerFault;
use mpc_core::transport::memory::Link;
use mpc_core::transport::tamper::Change;
use mpc_core::world::{Net, Outcome, World};
use mpc_core::{Bits, Block, Error, PartyId, Result, Session, Z64};
use protocols::additive::Additive;
use protocols::matching::{Further, PatientTable, Run, Shape, align, rows};
use protocols::{Engine, Item, Statement};

const SEED: u64 = 20_261_122;
const PATIENTS: usize = 3;

/// Site k has patients k, k + 1 and k + 2; the values of patient p are 100·p and a set bit.
fn table(site: usize) -> PatientTable {
    let patients = (site..site + PATIENTS).map(|patient| patient as u64 + 1);
    PatientTable {
        keys: vec![
            patients
                .clone()
                .map(|p| Some(Block(u128::from(p).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))))
                .collect(),
        ],
        further: Vec::new(),
        numbers: vec![patients.map(|p| Z64(100 * p)).collect()],
        bits: Bits::from_column(&[1; PATIENTS], 1),
    }
}

/// Every site against all before it.
fn runs(sites: usize) -> Vec<Run> {
    (0..sites as u8).map(|site| (PartyId(site), (0..site).map(PartyId).collect())).collect()
}

/// What was opened, and how many frames the site had sent before and after the alignment.
type Ran = (Vec<u64>, usize, usize);

/// Opens the first sender's numbers in the last site's bins.
async fn program(engine: &mut Additive, sites: usize) -> Result<Ran> {
    let shape = Shape { patients: PATIENTS, passes: 1, further: Further::NONE, numbers: 1, bits: 1 };
    let frames = |engine: &mut Additive| engine.session().stats().messages() as usize;
    let own = table(engine.session().me().index());
    let mut segments = align(engine, &vec![shape; sites], &runs(sites), Some(own)).await?;
    let end = frames(engine);
    let mut last = segments.pop().expect("every site has a segment");
    let numbers = last.holders.remove(0).numbers.remove(0);
    let permit = engine.permit("numbers", rows(PATIENTS))?;
    let opened = engine.reveal(numbers, permit).await?.unwrap_or_default();
    Ok((opened.into_iter().map(|x| x.0).collect(), SET_UP_FRAMES * (sites - 1), end))
}

/// Base OTs: two messages to each other site. They have their own tests.
const SET_UP_FRAMES: usize = 2;

fn run(sites: usize, change: Option<(usize, usize, Change)>) -> Vec<Outcome<Ran>> {
    // Frames in memory; the clock stands still, so that deadlines take no time.
    let link = Link { latency: Duration::from_millis(1), bits_per_second: 0 };
    let world = World::new(sites).seed(SEED).over(Net::Simulated(link)).deadline(Duration::from_millis(300));
    let world = match change {
        Some((by, frame, change)) => world.tamper(PartyId(by as u8), frame, change),
        None => world,
    };
    let program = move |session: Session, (): ()| async move {
        let mut engine = Additive::new(session, Statement::new(vec![Item::to_everyone("numbers")]));
        let result = program(&mut engine, sites).await;
        (engine.into_session(), result)
    };
    world.run(program, vec![(); sites])
}

#[test]
fn what_is_opened_of_aligned_patients_is_the_sender_s_values_for_common_ones() {
    println!("seed {SEED}");
    for (sites, common) in [(2, vec![200, 300]), (3, vec![300])] {
        for outcome in run(sites, None) {
            let mut opened = outcome.result.expect("all are honest").0;
            opened.retain(|value| *value != 0);
            opened.sort_unstable();
            assert_eq!(opened, common, "{sites} sites");
        }
    }
}

/// Goes through the frames of the alignment at one deviating site. Returns how many flips of content had an effect.
fn every_frame(sites: usize, by: usize) -> usize {
    println!("seed {SEED}, {sites} sites, site {by} deviates");
    let (answer, start, end) = run(sites, None)[by].result.clone().expect("all are honest");
    assert!(end > start, "the alignment sends frames");
    let mut effects = 0;
    for frame in start..end {
        for change in MALFORMED {
            let what = format!("{sites} sites, site {by}, frame {frame}, {change:?}");
            is_blamed(&run(sites, Some((by, frame, change))), by, change, &what);
        }
        effects += usize::from(content(sites, (by, frame), &answer));
    }
    println!("frames {start} to {end}, {effects} flips of content made the answer wrong or were noticed");
    effects
}

/// Flips a bit of a frame's content: every site ends, and errors name the deviating site or nobody. Is there an error or a wrong
/// answer?
fn content(sites: usize, (by, frame): (usize, usize), answer: &[u64]) -> bool {
    let outcomes = run(sites, Some((by, frame, Change::FlipBody(0))));
    for (_, outcome) in outcomes.iter().enumerate().filter(|(party, _)| *party != by) {
        let harmless = match &outcome.result {
            Ok(_) | Err(Error::Stopped { .. }) => true,
            Err(Error::Peer { party, fault, .. }) => {
                *party == PartyId(by as u8) && matches!(fault, PeerFault::NonCanonical(_))
            }
            Err(_) => false,
        };
        assert!(harmless, "frame {frame} of site {by}: {:?}", outcome.result);
    }
    outcomes.iter().any(|o| o.result.as_ref().map_or(true, |(opened, ..)| opened != answer))
}

#[test]
fn one_changed_frame_of_an_alignment_is_blamed_on_its_sender() {
    let mut effects = 0;
    for (sites, by) in [(2, 0), (2, 1), (3, 1)] {
        effects += every_frame(sites, by);
    }
    // The control of the flips: they do reach the answer.
    assert!(effects > 0, "no flip of content had any effect");
}
