//! Work beside other work: engines with lanes of their own over the same base OTs, and what waits for a decision.

use std::collections::HashSet;

use futures::future::join;
use mpc_core::error::LocalFault;
use mpc_core::random::Domain;
use mpc_core::world::{Net, World};
use mpc_core::{Block, Error, Result, Session, Z64};
use protocols::additive::Additive;
use protocols::additive::demand::Link;
use protocols::ot::{Extension, Ot};
use protocols::parameters::Code;
use protocols::{Engine, Item, Statement};

const SEED: u64 = 20_261_122;
const WORDS: usize = 3;

/// Both masks of each OT, and the choices and chosen masks, of one call in each direction with the other site.
type Call = ([Vec<Block>; 2], Vec<u64>, Vec<Block>);

async fn call(session: &mut Session, ot: &mut Ot) -> Result<Call> {
    let with = session.other_sites()[0];
    let mut session = session.step("call");
    ot.prepare(&mut session, &[with], 64 * WORDS).await?;
    let mut choices = vec![0; WORDS];
    session.private_rng(Domain::Test)?.fill_words(&mut choices);
    let received = ot.receiver(with).choose(&mut session, &choices)?;
    let offered = ot.sender(with).offer(&mut session, WORDS).await?;
    let (mut chosen, mut zero, mut one) = (Vec::new(), Vec::new(), Vec::new());
    received.hash_into(&mut chosen);
    offered.hash_into(&mut zero, &mut one);
    Ok(([zero, one], choices, chosen))
}

/// Calls of OTs that were split, and split again, between calls.
async fn calls(session: &mut Session, extension: Extension) -> Result<Vec<Call>> {
    let mut ot = Ot::setup_with(session, extension).await?;
    let mut all = vec![call(session, &mut ot).await?];
    let [mut second, mut third] = session.fork(["second", "third"]);
    let mut beside = ot.split(&mut second)?;
    all.push(call(&mut second, &mut beside).await?);
    let mut further = beside.split(&mut third)?;
    all.push(call(&mut third, &mut further).await?);
    all.push(call(session, &mut ot).await?);
    all.push(call(&mut second, &mut beside).await?);
    Ok(all)
}

#[test]
fn split_ots_are_ots_and_no_mask_serves_twice() {
    for extension in [Extension::SoftSpoken, Extension::Silent { batch: 1 << 16, code: Code::ExpandConvolute7 }] {
        println!("seed {SEED}, {extension:?}");
        let program = move |mut session: Session, (): ()| async move {
            let result = calls(&mut session, extension).await;
            (session, result)
        };
        let sites = World::new(2).seed(SEED).run(program, vec![(); 2]);
        let sites: Vec<Vec<Call>> = sites.into_iter().map(|site| site.result.expect("all are honest")).collect();
        let mut seen = HashSet::new();
        for (sender, receiver) in [(0, 1), (1, 0)] {
            for ((masks, ..), (_, choices, chosen)) in sites[sender].iter().zip(&sites[receiver]) {
                for (ot, chosen) in chosen.iter().enumerate() {
                    let choice = (choices[ot / 64] >> (ot % 64) & 1) as usize;
                    assert_eq!(masks[choice][ot].0, chosen.0);
                    assert!(masks.iter().all(|mask| seen.insert(mask[ot].0)), "a mask was seen before");
                }
            }
        }
        assert_eq!(seen.len(), 2 * 5 * 2 * 64 * WORDS);
    }
}

/// Two engines side by side: one reveals `bit`, and the other `figure` if the first one's says so.
async fn both(session: Session, own: Option<u64>, bit: u64) -> (Session, Result<(u64, Result<Option<Vec<Z64>>>)>) {
    let mut engine =
        Additive::new(session, Statement::new(vec![Item::to_everyone("bit"), Item::to_everyone("figure")]));
    let result = async {
        let mut beside = engine.beside("ledger", &["bit"], Link::Local).await?;
        assert!(engine.permit::<Z64>("bit", 1).is_err(), "it is the other one's to open");
        let gate = engine.hold();
        let asking = async {
            let share = beside.input(vec![Z64(own.map_or(0, |own| if own == 0 { bit } else { 0 }))]);
            let permit = beside.permit("bit", 1)?;
            let bit = beside.reveal(share, permit).await?.expect("everybody gets it")[0].0;
            if bit == 1 {
                gate.open();
            }
            Ok::<_, Error>(bit)
        };
        let figure = async {
            let share = engine.input(vec![Z64(own.unwrap_or(0))]);
            let permit = engine.permit("figure", 1)?;
            engine.reveal(share, permit).await
        };
        let (bit, figure) = join(asking, figure).await;
        Ok((bit?, figure))
    }
    .await;
    let opened: Vec<String> = engine.statement().opened().into_iter().map(|opening| opening.item.id).collect();
    let figures = opened.iter().filter(|id| *id == "figure").count() as u64;
    assert_eq!(figures, bit, "opened: {opened:?}");
    (engine.into_session(), result)
}

#[test]
fn what_waits_for_a_decision_is_opened_if_it_falls_so_and_otherwise_nothing_of_it_is_sent() {
    for net in [Net::Memory, Net::Quic] {
        for bit in [0, 1] {
            println!("seed {SEED}, {net:?}, bit {bit}");
            let program = move |session: Session, own: Option<u64>| both(session, own, bit);
            let world = World::new(3).with_analyst().seed(SEED).over(net);
            for outcome in world.run(program, vec![Some(0), Some(5), Some(6), None]) {
                let (seen, figure) = outcome.result.expect("all are honest");
                assert_eq!(seen, bit);
                match figure {
                    Ok(figure) => assert_eq!((bit, figure), (1, Some(vec![Z64(11)]))),
                    Err(Error::Local { fault, .. }) => assert_eq!((bit, fault), (0, LocalFault::Held)),
                    Err(other) => panic!("{other}"),
                }
                let steps = outcome.stats.steps.keys().filter(|step| step.as_str().starts_with("/reveal"));
                assert!(bit == 1 || steps.count() == 0, "nothing of a figure is sent that is held");
            }
        }
    }
}
