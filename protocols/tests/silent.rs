//! Silent OT in the place of SoftSpoken, on every transport, with its cost.

use mpc_core::error::{Error, LocalFault};
use mpc_core::random::{Domain, PrivateSeed};
use mpc_core::step::StepPath;
use mpc_core::world::{Net, Outcome, World};
use mpc_core::{Block, PartyId, Result, Session, Z64};
use protocols::cost::{self, SiteCost};
use protocols::ot::{Extension, Ot};
use protocols::parameters::{Code, Lpn};

const SEED: u64 = 20_261_122;
const BATCH: usize = 1 << 14;
const SILENT: Extension = Extension::Silent { batch: BATCH, code: Code::ExpandConvolute7 };

/// What one party has of the OTs with one other site.
#[derive(Default)]
struct Seen {
    choices: Vec<u64>,
    chosen: Vec<Block>,
    chosen_bits: Vec<u64>,
    masks: [Vec<Block>; 2],
    bits: [Vec<u64>; 2],
}

fn choices(me: PartyId, with: PartyId, words: usize) -> Vec<u64> {
    let mut prg = PrivateSeed::new([me.0 + 20 * with.0; 32]).prg(Domain::Test, &StepPath::root());
    (0..words).map(|_| prg.element::<Z64>().0).collect()
}

/// Set-up and preparation, then a call for each number of words, in both directions with every other site.
async fn calls(session: &mut Session, words: &[usize]) -> Result<Vec<Vec<Seen>>> {
    let mut ot = Ot::setup_with(session, SILENT).await?;
    let others = session.other_sites();
    ot.prepare(session, &others, 64 * words.iter().sum::<usize>()).await?;
    let mut all = Vec::new();
    for words in words {
        all.push(call(session, &mut ot, *words).await?);
    }
    Ok(all)
}

async fn call(session: &mut Session, ot: &mut Ot, words: usize) -> Result<Vec<Seen>> {
    let mut session = session.step("call");
    let me = session.me();
    let mut seen: Vec<Seen> = session.parties().sites().map(|_| Seen::default()).collect();
    for with in session.other_sites() {
        let seen = &mut seen[with.index()];
        seen.choices = choices(me, with, words);
        let received = ot.receiver(with).choose(&mut session, &seen.choices)?;
        received.hash_into(&mut seen.chosen);
        seen.chosen_bits = received.hash_bits();
    }
    for with in session.other_sites() {
        let seen = &mut seen[with.index()];
        let offered = ot.sender(with).offer(&mut session, words).await?;
        let [zero, one] = &mut seen.masks;
        offered.hash_into(zero, one);
        seen.bits = offered.hash_bits().into();
    }
    Ok(seen)
}

fn run(world: &World, sites: usize, words: &[usize]) -> Vec<Outcome<Vec<Vec<Seen>>>> {
    println!("seed {SEED}, {sites} sites, calls of {words:?} words");
    let words = words.to_vec();
    let program = move |mut session: Session, (): ()| {
        let words = words.clone();
        async move {
            let result = calls(&mut session, &words).await;
            (session, result)
        }
    };
    world.run(program, vec![(); sites])
}

fn fits(receiver: &Seen, sender: &Seen) -> bool {
    let bit = |words: &[u64], i: usize| (words[i / 64] >> (i % 64) & 1) as usize;
    let fits = |i: usize| {
        let choice = bit(&receiver.choices, i);
        let masks = [0, 1].map(|side: usize| sender.masks[side][i]);
        let bits = [0, 1].map(|side: usize| bit(&sender.bits[side], i));
        let same_bits = bits == masks.map(|mask| mask.0 as usize & 1) && bit(&receiver.chosen_bits, i) == bits[choice];
        receiver.chosen[i] == masks[choice] && receiver.chosen[i] != masks[1 - choice] && same_bits
    };
    (0..64 * receiver.choices.len()).all(fits)
}

#[test]
fn the_chosen_mask_is_the_offered_one_and_the_other_differs_on_every_transport() {
    // The third call takes the end of one batch and the beginning of the next.
    let words = [0, 3, 255, 17];
    for (net, sites) in [(Net::Memory, 2), (Net::Memory, 3), (Net::Quic, 2), (Net::Quic, 3)] {
        let outcomes = run(&World::new(sites).seed(SEED).over(net), sites, &words);
        let seen: Vec<_> = outcomes.iter().map(|o| o.result.as_ref().unwrap()).collect();
        for (a, b) in (0..sites).flat_map(|a| (0..sites).map(move |b| (a, b))).filter(|(a, b)| a != b) {
            let fitting = seen[a].iter().zip(seen[b]).map(|(mine, theirs)| fits(&mine[b], &theirs[a]));
            assert_eq!(fitting.collect::<Vec<_>>(), vec![true; words.len()], "{net:?}, {a} from {b}, by call");
        }
    }
}

#[test]
fn no_mask_occurs_twice_in_any_call_or_direction() {
    let outcomes = run(&World::new(3).seed(SEED), 3, &[3, 250, 9]);
    let seen = outcomes.iter().flat_map(|o| o.result.as_ref().unwrap()).flatten();
    let mut masks: Vec<u128> = seen.flat_map(|seen| seen.masks.iter().flatten().map(|mask| mask.0)).collect();
    let all = masks.len();
    masks.sort_unstable();
    masks.dedup();
    assert!(all > 0 && masks.len() == all);
}

#[test]
fn a_batch_and_a_call_cost_what_is_documented() {
    let lpn = Lpn::silent(BATCH, Code::ExpandConvolute7).unwrap();
    for (sites, words, batches) in [(2, vec![1], 1), (3, vec![100, 100], 1), (2, vec![256, 1], 2)] {
        let outcomes = run(&World::new(sites).seed(SEED), sites, &words);
        let sites = sites as u64;
        let batch = |sum: SiteCost, _| sum.then(cost::silent_batch(sites, &lpn));
        let prepared = (0..batches).fold(cost::ot_setup(sites), batch);
        let predicted = words.iter().fold(prepared, |sum, w| sum.then(cost::silent_call(sites, 64 * *w as u64)));
        assert!(outcomes.iter().all(|o| o.stats.bytes() == predicted.bytes), "{sites} sites, {words:?}");
        assert_eq!(outcomes.iter().map(|o| o.stats.rounds).max(), Some(predicted.rounds), "{sites} sites, {words:?}");
    }
}

fn fault(extension: Extension, prepare: usize, words: usize) -> Error {
    let program = move |mut session: Session, (): ()| async move {
        let result = async {
            let mut ot = Ot::setup_with(&mut session, extension).await?;
            let others = session.other_sites();
            ot.prepare(&mut session, &others, prepare).await?;
            call(&mut session, &mut ot, words).await.map(|_| ())
        };
        let result = result.await;
        (session, result)
    };
    let parties = World::new(2).seed(SEED).run(program, vec![(), ()]);
    // Both meet it; the second may hear of it from the first before it does.
    let mut errors = parties.into_iter().filter_map(|party| party.result.err());
    errors.find(|error| !matches!(error, Error::Stopped { .. })).expect("somebody meets it")
}

#[test]
fn ots_beyond_the_prepared_ones_are_an_error_of_our_own() {
    let error = fault(SILENT, 1, 257);
    assert!(matches!(error, Error::Local { fault: LocalFault::Other(_), .. }), "{error}");
}

#[test]
fn a_batch_outside_the_table_is_refused() {
    let error = fault(Extension::Silent { batch: 1 << 13, code: Code::ExpandConvolute7 }, 1, 1);
    assert!(error.to_string().contains("8192"), "{error}");
}

#[test]
fn one_direction_alone_can_be_prepared_over_soft_spoken_bases() {
    use protocols::ot::{OtReceiver, OtSender};
    println!("seed {SEED}");
    let program = |mut session: Session, (): ()| async move {
        let result = async {
            let mut ot = Ot::setup_with(&mut session, SILENT).await?;
            let with = session.other_sites()[0];
            if session.me() == PartyId(0) {
                let OtSender::Silent(sender) = ot.sender(with) else { unreachable!("silent was asked for") };
                sender.prepare(&mut session).await?;
                let offered = sender.offer(&mut session, 1).await?;
                assert_eq!(sender.ready(), BATCH - 64);
                Ok(offered.hash_bits())
            } else {
                let OtReceiver::Silent(receiver) = ot.receiver(with) else { unreachable!("silent was asked for") };
                receiver.prepare(&mut session).await?;
                let received = receiver.choose(&mut session, &[u64::MAX])?;
                assert_eq!(receiver.ready(), BATCH - 64);
                Ok((Vec::new(), received.hash_bits()))
            }
        };
        let result = result.await;
        (session, result)
    };
    let outcomes = World::new(2).seed(SEED).run(program, vec![(), ()]);
    let [sender, receiver] = [0, 1].map(|party| outcomes[party].result.as_ref().unwrap());
    assert_eq!(sender.1, receiver.1);
}
