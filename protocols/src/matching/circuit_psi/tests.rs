use std::time::Duration;

use mpc_core::Z64;
use mpc_core::random::PrivateSeed;
use mpc_core::step::StepPath;
use mpc_core::world::World;

use super::*;
use crate::matching::{Further, PatientTable};

const SEED: u64 = 20_261_122;

/// Patients of both sites: enough that no bit is the same for all by chance.
const PATIENTS: usize = 300;

fn shape(numbers: usize) -> Shape {
    Shape { patients: PATIENTS, passes: 1, further: Further::NONE, numbers, bits: 0 }
}

/// The same patients at both sites, with numbers of a few bits.
fn entered(session: &mut Session, numbers: usize) -> Result<Entered> {
    let mut keys = vec![Block::ZERO; PATIENTS];
    let mut prg = PrivateSeed::new([24; 32]).prg(Domain::Test, &StepPath::root());
    prg.fill(bytemuck::cast_slice_mut(&mut keys));
    let column = (0..PATIENTS as u64).map(|i| Z64(i % 4)).collect();
    let keys = vec![keys.into_iter().map(Some).collect()];
    let table =
        PatientTable { keys, further: Vec::new(), numbers: vec![column; numbers], bits: Bits::zeros(PATIENTS, 0) };
    Entered::new(session, Some(table), shape(numbers))
}

/// Everything that a receiver gets in the bins of its patients, all of whom the sender has: by bin and block.
fn seen(numbers: usize) -> Vec<Vec<Block>> {
    println!("seed {SEED}, {numbers} numbers");
    let program = move |mut session: Session, (): ()| async move {
        let result = async {
            let mut ot = Ot::setup(&mut session).await?;
            let entered = entered(&mut session, numbers)?;
            if session.me() == PartyId(0) {
                let bins = Bins::new(&mut session, &entered, 0)?;
                look(&mut session, &mut ot, &bins, numbers).await
            } else {
                let choices = Choices::new(&session, PATIENTS);
                // The receiver leaves when it has seen enough.
                send(&mut session, &mut ot, PartyId(0), &choices, (&entered, 0)).await.map(|_| Vec::new())
            }
        };
        let result = result.await;
        (session, result)
    };
    let world = World::new(2).seed(SEED).deadline(Duration::from_secs(5));
    world.run(program, vec![(); 2]).swap_remove(0).result.expect("the sender is honest")
}

/// The first step of [`receive`], by a receiver that reads every bit.
async fn look(session: &mut Session, ot: &mut Ot, bins: &Bins, numbers: usize) -> Result<Vec<Vec<Block>>> {
    let mut session = session.step("circuit psi");
    let blocks = value_blocks(shape(numbers).layout().lanes());
    let mut seen = vec![vec![Block::ZERO; blocks]; bins.len()];
    let points = (&bins.points[..], CUCKOO_HASHES * shape(numbers).padded());
    opprf::ask(&mut session, ot, PartyId(1), points, blocks, |bin, block, value| seen[bin][block] = value).await?;
    Ok((0..bins.len()).filter(|bin| bins.row(*bin).is_some()).map(|bin| seen[bin].clone()).collect())
}

#[test]
fn no_bit_of_what_a_receiver_gets_is_the_same_for_all_patients_that_the_sender_has_too() {
    for numbers in 0..=4 {
        let seen = seen(numbers);
        assert_eq!(seen.len(), PATIENTS, "every patient has a bin");
        for block in 0..seen[0].len() {
            let column = || seen.iter().map(|blocks| blocks[block].0);
            let (ever, always) = (column().fold(0, |a, b| a | b), column().fold(u128::MAX, |a, b| a & b));
            assert_eq!((ever, always), (u128::MAX, 0), "{numbers} numbers, block {block}");
        }
    }
}
